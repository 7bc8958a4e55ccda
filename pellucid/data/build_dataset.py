"""Build a `Dataset` from raw tables: read every column, refuse or skip what does not fit, and say so."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from pellucid.config import ColumnKind, CsvConfig
from pellucid.data import kinds, parse, schema
from pellucid.data.compute import pc
from pellucid.data.dataset import SPLITS, UNLABELED, Column, Dataset, Source, Task
from pellucid.data.kinds.kind import Reading
from pellucid.data.marks import UNKNOWN, Marks
from pellucid.data.reading_notes import looks_like, reading_notes
from pellucid.data.targets.choose import choose, read_target
from pellucid.data.targets.target import TargetColumn
from pellucid.errors import BadCellsError, BadDataError, UnknownNameError, worded

Locate = Callable[[Sequence[int]], list[str]]
"""Names the places of rows, counted from 0, as a user would look for them: "titanic.csv line 7"."""

LISTED = 100
SHOWN = 5


@dataclass(frozen=True)
class DataOptions:
    """What the user said about the data; None is inferred.

    Attributes:
        target: the column to predict; several with commas between them.
        inputs: the columns to learn from.
        columns: kinds of columns.
        skip_bad: skip rows that do not fit, instead of raising.
        labelled: whether a target is needed; otherwise an obvious and complete one is kept.
        targets: whether there can be a target at all.
        keep: columns that are needed for something else, and stay even if nothing can be learned from them.
        csv: how files of text are written.
        task: classification, multilabel or regression.
        file_column: the name of a column that says which file of a folder a row is from; None: there is none.
        fewest_classes: class folders of images that there must be.
    """

    target: str | None = None
    inputs: Sequence[str] | None = None
    columns: Mapping[str, ColumnKind] = field(default_factory=dict)
    skip_bad: bool = False
    task: Task | None = None
    labelled: bool = True
    targets: bool = True
    keep: Sequence[str] = ()
    csv: CsvConfig = field(default_factory=lambda: CsvConfig())
    file_column: str | None = None
    fewest_classes: int = 2


@dataclass(frozen=True)
class RawTables:
    """What a reader found.

    Attributes:
        name: of the dataset.
        splits: raw tables by split; those from text files hold only text.
        source: where they came from.
        locate: names the places of the rows of each split.
        folder: where relative paths of images start; None: no paths.
        classes: class names that the source declares, by column.
        skipped: what the reader skipped already.
        notes: what the reader decided already.
        documents: whether the rows are whole texts, without a target.
        marks: what is known of how text cells are written.
        written: how the file is written, as in `data.csv`, so that other files are read the same way.
    """

    name: str
    splits: Mapping[str, pa.Table]
    source: Source
    locate: Mapping[str, Locate] = field(default_factory=dict)
    folder: Path | None = None
    classes: Mapping[str, Sequence[str]] = field(default_factory=dict)
    skipped: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    documents: bool = False
    marks: Marks = UNKNOWN
    written: Mapping[str, Any] = field(default_factory=dict)


def build_dataset(raw: RawTables, options: DataOptions | None = None) -> Dataset:
    """Build a dataset from raw tables.

    Raises:
        UnknownNameError: a column that was asked for is not there.
        BadDataError: a cell does not fit; names file, row and column.
    """
    options = options or DataOptions()
    splits, notes = _same_columns(raw, options)
    table = pa.concat_tables(splits.values(), promote_options="permissive").unify_dictionaries()
    names = table.column_names
    for asked in (*options.columns, *(options.inputs or ()), *options.keep):
        if asked not in names:
            raise UnknownNameError(f"column in {raw.name}", asked, names)
    rows = _Rows(raw, {name: len(split) for name, split in splits.items()}, options)

    targets, note = _choose(raw, options, table)
    target = _target(raw, options, table, targets, rows)
    columns, values, left_out = _inputs(raw, options, table, targets if target else [], rows)
    rows.refuse()
    if target is not None and target.task == "translation":
        sides = {column.name: values[column.name] for column in columns if column.kind == "text"}
        rows.leave_out_empty({**sides, target.column.name: target.values})

    predicted = {target.column.name: target.values} if target else {}
    return Dataset(
        name=raw.name,
        splits=rows.split(pa.table({**values, **predicted})),
        columns=(*columns, *([target.column] if target else [])),
        target=target.column.name if target else None,
        task=target.task if target else None,
        encoding=target.encoding if target else None,
        source=raw.source,
        written=raw.written,
        read_columns=tuple(names),
        skipped=(*raw.skipped, *rows.skipped()),
        notes=tuple(
            map(
                worded,
                (
                    *(*raw.notes, *notes, *([note] if note and target else []), *left_out),
                    *([target.note] if target and target.note else []),
                    *reading_notes(columns, target.column if target else None, _cells(table), values),
                ),
            )
        ),
    )


def _choose(raw: RawTables, options: DataOptions, table: pa.Table) -> tuple[list[str], str]:
    """Return the columns to predict; [] if there are none and none is needed."""
    if not options.targets:
        return [], ""
    names = table.column_names
    while len(names) > 1 and options.target is None and _is_blank(table[names[-1]]):
        names = names[:-1]  # commas at the end of every line
    declared = [name for name in names if name in raw.classes]
    return choose(names, options.target, declared, needed=options.labelled and not raw.documents)


def _is_blank(column: pa.ChunkedArray) -> bool:
    return column.null_count == len(column) or (
        parse.is_text(column.type)
        and pc.all(pc.equal(pc.utf8_trim_whitespace(column), "")).as_py() is not False
    )


def _target(
    raw: RawTables, options: DataOptions, table: pa.Table, targets: Sequence[str], rows: _Rows
) -> TargetColumn | None:
    """Read the columns to predict; where no target is needed, one with missing values is not used."""
    if not targets:
        return None
    read = [table[name] for name in targets]
    kind, classes = options.columns.get(targets[0]), raw.classes.get(targets[0])
    try:
        target = read_target(
            targets,
            read,
            kind=kind,
            classes=classes,
            task=options.task,
            marks=raw.marks,
            written=raw.source.kind == "csv",
        )
    except BadDataError:
        if options.labelled:
            raise
        return None
    if target.task == "translation":
        return target  # its rows without a text are left out
    if options.labelled:
        rows.check(target.column.name, read, target)
    elif target.bad is not None and target.bad[rows.labelled].any():
        return None
    return target


def _same_columns(raw: RawTables, options: DataOptions) -> tuple[dict[str, pa.Table], list[str]]:
    """Select the columns of the training split in all splits.

    Raises:
        BadDataError: a split lacks a column of the training split, or there is nothing in it.
    """
    if "train" not in raw.splits:
        raise BadDataError(
            f"{raw.name} has no training split: received {', '.join(raw.splits) or 'nothing'}."
        )
    train, kept, notes = raw.splits["train"], {}, []
    if not train.num_columns or not train.num_rows:
        raise BadDataError(f"{raw.name} has no rows: expected at least 1, received 0.")
    targets = _choose(raw, options, train)[0]
    for split in (*SPLITS, UNLABELED):
        table = raw.splits.get(split)
        if table is None or not len(table):
            continue
        present = set(table.column_names)
        lacking = [name for name in train.column_names if name not in present]
        if lacking and set(lacking) <= set(targets):
            notes.append(
                f"{split}: not used, since it has no column {', '.join(map(repr, lacking))} to compare with"
            )
            continue
        if lacking:
            raise BadDataError(
                f"{raw.name}: {split} has no column {', '.join(map(repr, lacking))}, but train does.",
                remedy="give all splits the same columns",
            )
        same = table.column_names == train.column_names
        kept[split] = table if same else table.select(train.column_names)
    return kept, notes


def _inputs(
    raw: RawTables, options: DataOptions, table: pa.Table, targets: Sequence[str], rows: _Rows
) -> tuple[list[Column], dict[str, pa.ChunkedArray], list[str]]:
    """Read the columns to learn from; return their schema, their values and what was left out."""
    columns, values, notes = [], {}, []
    cells = _cells(table)
    wished = options.inputs if options.inputs is not None else table.column_names
    wished = [*wished, *(name for name in options.keep if name not in wished)]
    for name in [name for name in wished if name not in targets]:
        column = cells[name]
        if name in raw.classes and not pa.types.is_list(column.type):
            names = tuple(raw.classes[name])
            reading = Reading(column.cast(pa.int64()), "declared as class labels", kind="category")
        else:
            if raw.documents:
                reading = Reading(column, "whole texts", kind="text")
            else:
                reading = schema.read_column(
                    name, column, options.columns.get(name), raw.folder, marks=raw.marks
                )
            names = kinds.find(reading.kind).categories(reading.values) if reading.kind else ()
        useless = None if raw.documents else schema.nothing_to_learn(name, reading)
        if useless and name in options.keep and reading.kind is not None:
            useless = None
        if useless and ((name not in options.columns and options.inputs is None) or reading.kind is None):
            said = looks_like(column)[1] if reading.kind in ("category", "text") else ""
            notes.append(f"left out {name!r}: {useless}" + (f"; {said}" if said else ""))
            continue
        assert reading.kind is not None
        rows.check(name, [column], reading)
        notes += reading.notes
        columns.append(Column(name, reading.kind, names, reading.reason, reading.form))
        values[name] = reading.values
    if not columns:
        raise BadDataError(
            f"{raw.name} has no column to learn from: "
            + ("; ".join(notes) or f"it has only {', '.join(map(repr, targets))}")
            + ".",
            remedy="--set data.columns={NAME: KIND} keeps a column that was left out"
            if notes
            else "--set data.csv.delimiter=MARK says what separates cells",
        )
    return columns, values, notes


def _cells(table: pa.Table) -> dict[str, pa.ChunkedArray]:
    """Return the columns of a table by name; looking one up in the table compares all names."""
    return dict(zip(table.column_names, table.columns, strict=True))


class _Rows:
    """All splits, concatenated: which rows are bad, where they are, and which remain."""

    def __init__(self, raw: RawTables, sizes: Mapping[str, int], options: DataOptions):
        self.raw, self.sizes, self.options = raw, sizes, options
        self.bad = np.zeros(sum(sizes.values()), bool)
        self.faults: list[tuple[str, int, list[str]]] = []  # (column, how many, the first of them in words)
        self.empty: list[str] = []  # texts without a partner, in words, one line a column
        self.remedy = ""  # what to try for the first column

    @property
    def labelled(self) -> np.ndarray:
        """True for the rows that should have a target."""
        return np.repeat([split != UNLABELED for split in self.sizes], list(self.sizes.values()))

    def check(
        self, name: str, cells_before: Sequence[pa.ChunkedArray], reading: Reading | TargetColumn
    ) -> None:
        """Record the cells of a column that do not fit."""
        if reading.bad is None or not reading.bad.any():
            return
        found = np.flatnonzero(reading.bad)
        listed = found[: LISTED if self.options.skip_bad else SHOWN]
        why = getattr(reading, "why", {})
        lines = []
        for place, row in zip(self.places(listed), listed.tolist(), strict=True):
            cell = [column[row].as_py() for column in cells_before]
            shown = "nothing" if cell[0] in (None, "") else repr(cell[0] if len(cell) == 1 else cell)[:60]
            more = f": {why[row]}" if row in why else ""
            lines.append(f"{place}, column {name!r}: expected {reading.expected}, received {shown}{more}")
        if not self.faults:
            self.remedy = self._remedy(name, cells_before[0].take(pa.array(found)), reading)
        self.faults.append((name, len(found), lines))
        self.bad |= reading.bad

    def leave_out_empty(self, sides: Mapping[str, pa.ChunkedArray]) -> None:
        """Leave out the pairs of texts with an empty side: from them, a model learns to write nothing."""
        for name, texts in sides.items():
            empty = pc.fill_null(pc.equal(pc.utf8_trim_whitespace(texts), ""), True).to_numpy()
            empty &= self.labelled
            if empty.any():
                count, found = int(empty.sum()), np.flatnonzero(empty)[:SHOWN]
                more = ", ..." if count > SHOWN else ""
                pairs = "pair has" if count == 1 else "pairs have"
                self.empty.append(
                    f"{count:,} {pairs} no text in column {name!r}: {', '.join(self.places(found))}{more}"
                )
                self.bad |= empty

    def places(self, found: np.ndarray) -> list[str]:
        """Name the places of rows."""
        places, start = [], 0
        for split, size in self.sizes.items():
            inside = [int(row) - start for row in found if start <= row < start + size]
            if inside:
                locate = self.raw.locate.get(split) or (lambda rows, split=split: _row_names(split, rows))
                places += locate(inside)
            start += size
        return places

    def refuse(self) -> None:
        """Raise for bad cells, unless they are skipped."""
        if not self.faults or self.options.skip_bad:
            return
        lines = []
        for _, count, shown in self.faults:
            lines += shown + (
                [f"... and {count - len(shown):,} more in this column"] if count > len(shown) else []
            )
        raise BadCellsError("\n".join(lines), remedy=self.remedy)

    def _remedy(self, name: str, cells: pa.ChunkedArray, reading: Reading | TargetColumn) -> str:
        """Say what to try for the bad cells of a column, given all of them."""
        words = pc.unique(cells).to_pylist() if parse.is_text(cells.type) else []
        if isinstance(reading, TargetColumn) and not any(words):
            return "fill them in, or skip such rows with --skip-bad"
        word = str(words[0]).strip() if len(words) == 1 and isinstance(reading, Reading) else ""
        missing = f", --set 'data.csv.missing=[{word}]' if that means a missing value" if word else ""
        return (
            f"correct them, skip such rows with --skip-bad{missing}, "
            f"or say what the column is: --set 'data.columns={{{name}: category}}'"
        )

    def skipped(self) -> list[str]:
        """Return the rows that were skipped, one line each, up to a limit."""
        lines = []
        for name, count, shown in self.faults:
            lines += shown + (
                [f"... and {count - len(shown):,} more in column {name!r}"] if count > len(shown) else []
            )
        return lines + self.empty

    def split(self, table: pa.Table) -> dict[str, pa.Table]:
        """Cut a table of all rows back into splits, without the bad rows."""
        parts, start = {}, 0
        for split, size in self.sizes.items():
            part, bad = table.slice(start, size), self.bad[start : start + size]
            parts[split] = part.filter(pa.array(~bad)) if bad.any() else part
            start += size
        if not len(parts["train"]):
            raise BadDataError(f"{self.raw.name}: no training row is left after leaving out the bad ones.")
        return {split: part for split, part in parts.items() if len(part)}


def _row_names(split: str, rows: Sequence[int]) -> list[str]:
    return [f"{split} row {row + 1:,}" for row in rows]
