"""Continue with the preprocessing of an earlier run on new data: its tokens, statistics and order of classes.

The weights of a model only mean something with what they were trained on: each row of an embedding is one
token, each logit one class, each input one column on one scale. So a model that starts from the weights of a
run keeps these, and data that does not have them is refused.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa

from pellucid.config import TextConfig
from pellucid.data import kinds, parse, targets
from pellucid.data.dataset import Column, Dataset
from pellucid.data.encoder import FitOptions, Inputs
from pellucid.data.inputs import TableInputs
from pellucid.data.kinds.kind import LISTED
from pellucid.data.preprocess import Preprocess
from pellucid.data.series import SeriesInputs
from pellucid.data.targets.classes import Classes
from pellucid.data.targets.labels import Labels
from pellucid.data.targets.numbers import Numbers
from pellucid.data.targets.target import Target
from pellucid.data.targets.tokens import Tokens
from pellucid.data.tensor_column import tensor, tensor_values
from pellucid.data.text.text_inputs import UNK, TextInputs
from pellucid.errors import ModelError

MOST_UNKNOWN = 0.75
"""Share of unknown tokens from which a run has nothing to continue from."""


def go_on(
    before: Preprocess, dataset: Dataset, text: TextConfig, run: str, *, whole_texts: bool = False
) -> Preprocess:
    """Return the preprocessing of a run for new data: inputs as the run had them, the run's classes first.

    Args:
        before: what the run fitted.
        dataset: the new data, with its splits made.
        text: how long texts may be.
        run: what to call the run in messages.
        whole_texts: texts are concatenated rather than truncated.

    Raises:
        ModelError: the columns differ from those that the run learned from; names them.
    """
    columns, encoded = _inputs(before, dataset, text, run)
    if isinstance(encoded, TextInputs):
        _check_known(encoded, dataset.splits["train"], run)
    target, notes = _target(before.target, dataset, encoded, text, run)
    tokens = text if isinstance(encoded, TextInputs) else None
    seen = encoded.notes(dataset.splits, FitOptions(text=tokens, whole_texts=whole_texts))
    kept = [] if tokens else [f"continues with the {_what(encoded)} of run {run}"]
    return Preprocess(columns, encoded, target, (*kept, *notes, *seen), dataset.written)


def _check_known(encoded: TextInputs, train: pa.Table, run: str) -> None:
    """Refuse texts that a run would read as unknown tokens, such as those of another alphabet."""
    unknown = encoded.column(train).ids == UNK
    if unknown.size and unknown.mean() > MOST_UNKNOWN:
        raise ModelError(
            f"{unknown.mean():.0%} of the tokens of the new texts are unknown to run {run} "
            f"({encoded.kind}): its weights say nothing about them.",
            remedy="train without --from, or start from a run on texts of this language and alphabet",
        )


def go_on_series(before: Preprocess, fresh: Preprocess, run: str) -> Preprocess:
    """Return the preprocessing of a new series, with each channel on the scale that a run had.

    Args:
        before: what the run fitted.
        fresh: what was fitted on the new series.
        run: what to call the run in messages.

    Raises:
        ModelError: the channels, the window or the horizon differ; says how.
    """
    old, new = before.encoded, fresh.encoded
    if not isinstance(old, SeriesInputs) or not isinstance(new, SeriesInputs):
        raise ModelError(f"Run {run} did not learn from a series.", remedy="other weights")
    for what, was, now in (
        ("channels", old.names, new.names),
        ("channels to forecast", old.forecast_names, new.forecast_names),
        ("data.series.window", old.window, new.window),
        ("data.series.horizon", old.horizon, new.horizon),
    ):
        if was != now:
            raise ModelError(
                f"Run {run} learned with other {what.removeprefix('data.')}: {_listed(was)}, now "
                f"{_listed(now)}.",
                remedy=f"--set {what}={was}" if what.startswith("data.") else "a file with the same columns",
            )
    kept = f"continues with the scales of run {run}"
    encoded = replace(new, mean=old.mean, std=old.std)
    return replace(fresh, encoded=encoded, notes=(*fresh.notes, kept))


def _listed(value: Any) -> str:
    return _some(list(map(repr, value))) if isinstance(value, tuple) else str(value)


def _what(encoded: Inputs) -> str:
    return "columns and their scales" if isinstance(encoded, TableInputs) else "size and statistics"


# ---- inputs --------------------------------------------------------------------------------------


def _inputs(
    before: Preprocess, dataset: Dataset, text: TextConfig, run: str
) -> tuple[tuple[Column, ...], Inputs]:
    """Return the columns of the new data that stand for those of the run, and how they are encoded."""
    encoded: Any = before.encoded
    if isinstance(encoded, TableInputs):
        _check_columns(before.columns, dataset, run)
        return before.columns, encoded
    (theirs,) = before.columns
    fitting = [column for column in dataset.inputs if column.kind == theirs.kind]
    named = [column for column in fitting if column.name == theirs.name] or fitting
    if len(named) != 1:
        raise ModelError(
            f"Run {run} learned from the column {_described(theirs)}; the new data has "
            f"{', '.join(map(_described, dataset.inputs)) or 'no columns'}.",
            remedy=f"data with one column of the kind {theirs.kind}, or --set data.inputs=[NAME]",
        )
    changes: dict[str, Any] = {"name": named[0].name}
    if isinstance(encoded, TextInputs):
        changes |= {"max_seq_len": text.max_seq_len, "truncation": text.truncation}
    return (named[0],), replace(encoded, **changes)


def _check_columns(theirs: Sequence[Column], dataset: Dataset, run: str) -> None:
    """Refuse a table with other columns than those that the run learned from."""
    mine = {column.name: column.kind for column in dataset.inputs}
    wanted = {column.name: column.kind for column in theirs}
    missing = [repr(name) for name in wanted if name not in mine]
    new = [repr(name) for name in mine if name not in wanted]
    other = [
        f"{name!r} was {kind}, is {mine[name]}"
        for name, kind in wanted.items()
        if mine.get(name, kind) != kind
    ]
    parts = [f"{word} {_some(names)}" for word, names in (("without", missing), ("new:", new)) if names]
    if not parts and not other:
        return
    remedy = "the columns that the run learned from, or other weights"
    if new and not missing and not other:
        remedy = f"--set 'data.inputs=[{', '.join(wanted)}]'"
    elif other and not missing and not new:
        name = next(name for name, kind in wanted.items() if mine[name] != kind)
        remedy = f"--set 'data.columns={{{name}: {wanted[name]}}}'"
    raise ModelError(
        f"The new data has other columns than run {run}: {'; '.join([*parts, *other[:LISTED]])}.",
        remedy=remedy,
    )


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - LISTED} more" if len(names) > LISTED else ""
    return ", ".join(names[:LISTED]) + more


def _described(column: Column) -> str:
    return f"{column.name!r} ({column.kind})"


# ---- targets -------------------------------------------------------------------------------------


def _target(
    before: Target | None, dataset: Dataset, encoded: Inputs, text: TextConfig, run: str
) -> tuple[Target | None, list[str]]:
    """Return the target of the new data, with the run's classes, scale or tokens where they are the same."""
    kind = targets.of(dataset)
    if kind is None or dataset.target is None:
        return None, []
    column = dataset.column(dataset.target)
    if isinstance(before, (Classes, Labels)) and type(before) is kind:
        merged, notes = _merged(before.classes, column.categories, run)
        return kind(replace(column, categories=merged)), notes  # type: ignore[call-arg]
    if isinstance(before, Tokens) and kind is Tokens:
        tokens = replace(
            before.tokens, name=column.name, max_seq_len=text.max_seq_len, truncation=text.truncation
        )
        return Tokens(column, tokens), []
    if isinstance(before, Numbers) and kind is Numbers and _same_numbers(before.column, column):
        return replace(before, column=column), []
    options = FitOptions(text=text if isinstance(encoded, TextInputs) else None)
    fitted = kind.fit(column, dataset.splits["train"], options, encoded)
    was = f"{before.column.name!r}, the target" if before is not None else "nothing, the target"
    other = before is not None
    return fitted, [f"The target is {column.name!r}, not {was} of run {run}."] if other else []


def _same_numbers(one: Column, other: Column) -> bool:
    return (one.name, one.categories) == (other.name, other.categories)


def _merged(before: Sequence[str], now: Sequence[str], run: str) -> tuple[tuple[str, ...], list[str]]:
    """Return the classes in the order of the logits: those of the run, then new ones."""
    new = [name for name in now if name not in before]
    if len(new) == len(now):
        return tuple(now), [
            f"None of the classes ({_some(now)}) is one of run {run} ({_some(before)}), so the last layer is "
            "new."
        ]
    if new:
        return (*before, *new), [
            f"The {len(before)} classes of run {run} come first; new: {_some(new)}. The last layer keeps the "
            "rows of the known classes."
        ]
    if absent := [name for name in before if name not in now]:
        return tuple(before), [f"The classes are those of run {run}; not in the new data: {_some(absent)}."]
    return tuple(before), []


def known_outputs(before: Preprocess, now: Preprocess) -> int | None:
    """Return how many of the first outputs mean what they meant in an earlier run; None: all of them."""
    known, classes = before.classes, now.classes
    if not known or not classes or known == classes:
        return None
    return len(known) if classes[: len(known)] == known else 0


# ---- rows ----------------------------------------------------------------------------------------


def aligned(dataset: Dataset, preprocess: Preprocess) -> Dataset:
    """Return a dataset whose class indices are those of a preprocessing, which may have more classes.

    A class that the preprocessing lacks is left as it is, for the encoder to refuse.
    """
    dataset = _with_input_names(dataset, preprocess)
    target = preprocess.target
    if not isinstance(target, (Classes, Labels)) or dataset.target is None or dataset.task != target.task:
        return dataset
    column = dataset.column(dataset.target)
    classes = target.classes
    if column.categories == classes or not set(column.categories) <= set(classes):
        return dataset
    places = np.array([classes.index(name) for name in column.categories], np.int64)
    moved = {name: _moved(table, column.name, places, len(classes)) for name, table in dataset.splits.items()}
    columns = tuple(
        replace(each, categories=classes) if each.name == column.name else each for each in dataset.columns
    )
    return replace(dataset, splits=moved, columns=columns)


def _moved(table: pa.Table, name: str, places: np.ndarray, count: int) -> pa.Table:
    """Replace the class indices of a column, or move its columns of 0 and 1."""
    if name not in table.column_names or parse.is_text(table[name].type):
        return table
    values, at = table[name], table.column_names.index(name)
    if isinstance(values.type, pa.FixedShapeTensorType):
        hot = np.zeros((len(table), count), np.float32)
        hot[:, places] = tensor_values(values)
        return table.set_column(at, name, tensor(hot))
    moved = pa.chunked_array([pa.array(places)]).take(values.combine_chunks())
    return table.set_column(at, name, moved)


def _with_input_names(dataset: Dataset, preprocess: Preprocess) -> Dataset:
    """Turn indices of input categories into their names, where the preprocessing numbers them otherwise."""
    theirs: Mapping[str, Column] = {column.name: column for column in preprocess.columns}
    splits, changed = dict(dataset.splits), False
    for column in dataset.inputs:
        known = theirs.get(column.name)
        if known is None or not column.categories or known.categories == column.categories:
            continue
        if kinds.find(column.kind).name != "category":
            continue
        names = pa.chunked_array([pa.array(column.categories)])
        for split, table in splits.items():
            if column.name in table.column_names and pa.types.is_integer(table[column.name].type):
                at = table.column_names.index(column.name)
                texts = names.take(table[column.name].combine_chunks())
                splits[split], changed = table.set_column(at, column.name, texts), True
    return replace(dataset, splits=splits) if changed else dataset
