"""The columns that a model reads, and a table of prediction inputs read as these columns."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from pellucid.data import kinds, schema
from pellucid.data.build_dataset import Locate
from pellucid.data.dataset import Column
from pellucid.data.input_rows import InputRows, row_names, without
from pellucid.data.kinds.kind import LISTED, Kind
from pellucid.data.kinds.tensor import shorter
from pellucid.errors import BadDataError, ModelError

MOST_NAMES = 20
"""Columns that a message lists."""


@dataclass(frozen=True)
class Wanted:
    """What a model reads.

    Attributes:
        columns: that it learned from.
        shape: of one example.
        written: how files of text are written, as in `data.csv`.
        targets: the columns that it predicts.
        skip_bad: leave out rows and files that cannot be read.
        scaled: brings pixels in memory to the scale of the training images.
        from_bytes: brings pixels of image files to the scale of the training arrays.
    """

    columns: Sequence[Column]
    shape: tuple[int, ...]
    written: Mapping[str, Any] = field(default_factory=dict)
    targets: tuple[str, ...] = ()
    skip_bad: bool = False
    scaled: Callable[[Any], Any] = lambda source: source
    from_bytes: Callable[[np.ndarray], np.ndarray] = lambda pixels: pixels

    @property
    def kind(self) -> Kind | None:
        """The kind of the only column; None if there are several."""
        return kinds.find(self.columns[0].kind) if len(self.columns) == 1 else None

    @property
    def names(self) -> list[str]:
        """The names of the columns."""
        return [column.name for column in self.columns]

    @property
    def words(self) -> str:
        """The columns and their kinds, for messages; for images and texts what they are."""
        kind = self.kind
        if kind is not None and kind.name == "image":
            channels = "color" if self.shape[0] == 3 else "gray"
            return f"images, which become {self.shape[2]} x {self.shape[1]} {channels} pixels"
        if kind is not None and kind.name == "tensor":
            return f"arrays of shape {self.shape}"
        return f"the column{'s' if len(self.columns) > 1 else ''} {self.listed}"

    @property
    def listed(self) -> str:
        """The columns, and of several their kinds, for messages."""
        if len(self.columns) == 1:
            return repr(self.columns[0].name)
        shown = ", ".join(f"{column.name!r} ({_described(column)})" for column in self.columns[:MOST_NAMES])
        more = len(self.columns) - MOST_NAMES
        return f"{shown} and {more:,} more" if more > 0 else shown


def _described(column: Column) -> str:
    few = ", ".join(column.categories[:3]) if column.kind == "category" else ""
    return f"{column.kind}: {few}{' ...' if len(column.categories) > 3 else ''}" if few else column.kind


def check_type(column: Column, found: pa.DataType, input_shape: tuple[int, ...]) -> None:
    """Raise for a column of another type than in training.

    Raises:
        ModelError: names the column, the expected and the received type.
    """
    if not kinds.find(column.kind).fits(found):
        raise ModelError(f"Column {column.name!r}: expected {column.kind}, received {found}.")
    if isinstance(found, pa.FixedShapeTensorType) and len(input_shape) > 1:
        received = tuple(found.shape)
        fits = {input_shape, *shorter(input_shape)}
        if received not in fits and received != (*input_shape[1:], input_shape[0]):
            raise ModelError(
                f"Column {column.name!r}: expected arrays of shape {input_shape}, received {received}."
            )


def typed(
    raw: pa.Table | None, wanted: Wanted, folder: Path | None, origin: str, locate: Locate | None = None
) -> InputRows:
    """Read the required columns as the kinds they had in training."""
    assert raw is not None
    table, said = _by_place(raw, wanted)
    lacking = [column.name for column in wanted.columns if column.name not in table.column_names]
    if lacking:
        raise ModelError(
            f"{origin} has no column {', '.join(map(repr, lacking))}: expected {wanted.listed}, "
            f"received {', '.join(map(repr, table.column_names)) or 'none'}."
        )
    if not table.num_rows:
        raise BadDataError(f"{origin} has no rows: expected at least 1.")
    places = locate or (lambda rows: [f"{origin} row {row + 1:,}" for row in rows])
    made, bad, why = {}, np.zeros(len(table), bool), {}
    for column in wanted.columns:
        made[column.name], wrong = _read(table[column.name], column, folder)
        if wrong and not wanted.skip_bad:
            row, message = next(iter(wrong.items()))
            raise BadDataError(
                f"{places([row])[0]}, {message}",
                remedy="write it as in training, leave the cell empty if it has no value, or leave such rows "
                "out with skip_bad",
            )
        bad[list(wrong)] = True
        why |= wrong
    present = [name for name in wanted.targets if name in table.column_names]
    some = ", ".join(map(repr, present[:LISTED])) + (" ..." if len(present) > LISTED else "")
    notes = [f"not read: {some}, which this run predicts; evaluate compares predictions with it"]
    rows = InputRows(
        pa.table(made), row_names(table, wanted.columns, wanted.targets), (*(notes if present else ()), *said)
    )
    return some_of(without(rows, bad, why), origin)


NO_NAME = re.compile(r"(column_)?\d+")
"""The names of columns without one, of pandas and polars."""


def _by_place(raw: pa.Table, wanted: Wanted) -> tuple[pa.Table, tuple[str, ...]]:
    """Give columns the names of training by their order, where one side has none, and say so."""
    names = [column.name for column in wanted.columns]
    if raw.num_columns != len(names) or set(names) & set(raw.column_names):
        return raw, ()
    unnamed = all(map(NO_NAME.fullmatch, raw.column_names))
    if not unnamed and names != [f"x{place}" for place in range(len(names))]:  # those of arrays
        return raw, ()
    note = () if unnamed else (f"the columns {', '.join(raw.column_names[:LISTED])} are read in this order",)
    return raw.rename_columns(names), note


def some_of(rows: InputRows, origin: str) -> InputRows:
    """Refuse inputs of which nothing can be read."""
    if not len(rows):
        raise BadDataError(
            f"None of the {len(rows.left_out):,} rows of {origin} can be read: {rows.left_out[0]['reason']}"
        )
    return rows


def _read(
    raw: pa.ChunkedArray, column: Column, folder: Path | None
) -> tuple[pa.ChunkedArray, dict[int, str]]:
    """Return a column as its kind in training, and what is wrong with cells that do not fit, by row."""
    if pa.types.is_null(raw.type):
        empty = kinds.find(column.kind).empty
        return (raw.cast(empty) if empty is not None else raw), {}
    reading = schema.read_column(column.name, raw, column.kind, folder or Path(), form=column.form)
    wrong = {}
    for row in np.flatnonzero(reading.bad).tolist() if reading.bad is not None else ():
        more = f": {reading.why[row]}" if row in reading.why else ""
        wrong[row] = (
            f"column {column.name!r}: expected {reading.expected}, received {raw[row].as_py()!r:.60}{more}."
        )
    return reading.values, wrong
