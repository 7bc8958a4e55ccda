"""Prompts and sources of the tasks that write texts: a text, texts, a file with one a line, or a column."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from pellucid.data.input_rows import InputRows
from pellucid.data.preprocess import Preprocess
from pellucid.data.sources import tables, textfiles
from pellucid.data.text.text_inputs import UNK, TextInputs
from pellucid.errors import BadDataError, ModelError, UsageError
from pellucid.evaluation import Trained
from pellucid.tasks.shared.writing import Reading
from pellucid.tasks.task import Task

PROMPTS = ("prompt", "prompts", "text", "input", "source", "question", "instruction", "sentence")
"""Usual names of a column of prompts, the most likely first."""
MOST_READ = 1000
"""Texts that are looked through for unknown words."""
UNKNOWN = "[UNK]"


def read_prompts(preprocess: Preprocess, source: Any, how: Reading, *, skip_bad: bool = False) -> InputRows:
    """Read the inputs of a task that writes texts.

    A text file holds one input a line, and blank lines are left out; with `how.lines` false it is one input.
    Of a table, `how.column` is read, or the column named as in training.

    Args:
        preprocess: fitted; its only column is one of text.
        source: a text, texts, a text file, or a table, in memory or in a file; or rows that were read before.
        how: `column` and `lines`.
        skip_bad: leave out rows that cannot be read.

    Returns:
        The texts as the column that the model learned from; "row" is the line of a text file.

    Raises:
        BadDataError: a text file has no text.
        ModelError: a table has no such column.
        UsageError: a column is named, and the input has none.
    """
    if isinstance(source, InputRows):
        return source
    path = _path(source)
    if path is None or not textfiles.is_text(path):
        return _table(preprocess, source, how.column, skip_bad)
    if how.column is not None:
        raise UsageError(
            f"column: {path} is a text, which has no columns.", remedy="a CSV file, or one prompt a line"
        )
    if not how.lines:
        return preprocess.read(path)
    lines = textfiles.read_text(path)[0].splitlines()
    kept = [(row, line) for row, line in enumerate(lines, 1) if line.strip()]
    if not kept:
        raise BadDataError(f"{path} has no text: expected one input a line.")
    table = pa.table({preprocess.columns[0].name: pa.array([line for _, line in kept], pa.large_string())})
    return InputRows(table, tuple({"row": row} for row, _ in kept))


def prompt_texts(preprocess: Preprocess, rows: InputRows) -> list[str]:
    """Return the texts of rows, with an empty text for a missing one."""
    return [text or "" for text in rows.table[preprocess.columns[0].name].to_pylist()]


def _path(source: Any) -> Path | None:
    """Return a source as the path of a file; None if it is something else."""
    if isinstance(source, str):
        return Path(source) if os.path.isfile(source) else None
    return Path(source) if isinstance(source, os.PathLike) and Path(source).is_file() else None


def _table(preprocess: Preprocess, source: Any, column: str | None, skip_bad: bool) -> InputRows:
    (trained,) = preprocess.columns
    if column is None:
        try:
            return preprocess.read(source, skip_bad=skip_bad)
        except ModelError as error:
            if error.remedy is not None or "no column" not in error.message:
                raise
            found = _usual(source)
            if found is None:
                raise ModelError(error.message, remedy="--set column=NAME says which to read") from None
            rows = _table(preprocess, source, found, skip_bad)
            note = f"read from the column {found!r}, since there is none called {trained.name!r}"
            return replace(rows, notes=(*rows.notes, note))
    if not isinstance(source, str | os.PathLike | Mapping) and not hasattr(source, "columns"):
        raise UsageError(f"column: the input, {type(source).__name__}, has no columns.")
    renamed = replace(preprocess, columns=(replace(trained, name=column),))
    rows = renamed.read(source, skip_bad=skip_bad)
    return replace(rows, table=rows.table.rename_columns([trained.name]))


def _usual(source: Any) -> str | None:
    """Return the column of a table that usually holds prompts, or its only one; None without either."""
    names = [str(name) for name in _names(source)]
    plain = {name.lower(): name for name in reversed(names)}
    usual = next((plain[name] for name in PROMPTS if name in plain), None)
    return usual or (names[0] if len(names) == 1 else None)


def _names(source: Any) -> Iterable[Any]:
    if isinstance(source, str | os.PathLike):
        path = Path(source)
        found = path.is_file() and tables.is_table_file(path)
        return tables.raw_tables(path).splits["train"].column_names if found else ()
    return getattr(source, "column_names", None) or (
        source if isinstance(source, Mapping) else getattr(source, "columns", ())
    )


def _unknown(preprocess: Preprocess, rows: InputRows) -> tuple[str, ...]:
    """Say which texts have words or characters that training had not, and which have nothing else."""
    encoded = preprocess.encoded
    if not isinstance(encoded, TextInputs):
        return ()
    texts = prompt_texts(preprocess, rows)
    shares = np.array(
        [np.mean(encoded.read([text]).ids == UNK) if text.strip() else 0.0 for text in texts[:MOST_READ]]
    )
    what = "characters" if encoded.kind == "characters" else "words"
    if not (shares > 0).any():
        return ()
    count, all_of_them = int((shares > 0).sum()), int((shares == 1).sum())
    nothing = f"; of {all_of_them:,} it had none at all" if all_of_them else ""
    return (
        f"{count:,} of {len(texts):,} texts have {what} that training had not, read as {UNKNOWN}{nothing}",
    )


class ReadsPrompts(Task):
    """A task whose inputs are prompts; `column` and `lines` are among its options of `predict`."""

    def reading(self, options: Mapping[str, Any]) -> dict[str, Any]:
        return {name: value for name, value in options.items() if name in ("column", "lines")}

    def read(
        self,
        trained: Trained,
        inputs: Any,
        *,
        skip_bad: bool = False,
        column: str | None = None,
        lines: bool = True,
    ) -> InputRows:
        rows = read_prompts(trained.preprocess, inputs, Reading(column, lines), skip_bad=skip_bad)
        if isinstance(inputs, InputRows):
            return rows
        return replace(rows, notes=(*rows.notes, *_unknown(trained.preprocess, rows)))
