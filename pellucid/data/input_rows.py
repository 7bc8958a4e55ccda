"""Prediction inputs after reading: the rows, what each is called, and what was left out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from pellucid.data import parse
from pellucid.data.dataset import Column
from pellucid.data.kinds.image import NAME
from pellucid.data.kinds.kind import ID_NAME, MOSTLY
from pellucid.data.sources.raw_files import printable

LONGEST_ID = 60
"""Characters of an id in a column that no name calls one; longer texts are content."""
LONGEST_NAMED = 1000
"""Characters of an id, such as a link or a key, in a column whose name calls it one."""

Names = tuple[Mapping[str, Any], ...]
"""What each row is called: "file", or "row" counted from 1; and its id, under the name of the column."""


@dataclass(frozen=True)
class InputRows:
    """Rows to predict.

    Attributes:
        table: N rows with the columns that the model learned from.
        names: what each of the N rows is called.
        notes: what the user should know about them, one line each.
        left_out: the names of rows that could not be read, each with its "reason".
    """

    table: pa.Table
    names: Names
    notes: tuple[str, ...] = ()
    left_out: Names = ()

    def __len__(self) -> int:
        return len(self.table)

    @property
    def files(self) -> list[str | None]:
        """The file of each row; None where it comes from a table or from memory."""
        return [name.get("file") if "row" not in name else None for name in self.names]


def numbered(table: pa.Table, start: int = 1) -> InputRows:
    """Call rows by their numbers."""
    return InputRows(table, tuple({"row": start + index} for index in range(len(table))))


def joined(parts: Sequence[InputRows]) -> InputRows:
    """Concatenate rows of several sources."""
    if len(parts) == 1:
        return parts[0]
    return InputRows(
        pa.concat_tables([part.table for part in parts], promote_options="permissive"),
        tuple(name for part in parts for name in part.names),
        tuple(dict.fromkeys(note for part in parts for note in part.notes)),
        tuple(name for part in parts for name in part.left_out),
    )


def within(place: Path, rows: InputRows) -> InputRows:
    """Add the file, or the folder of files, to the names of rows that are predicted together with others."""

    def named(name: Mapping[str, Any]) -> dict[str, Any]:
        inner = [name["file"]] if "file" in name and place.is_dir() else []
        others = {key: value for key, value in name.items() if key != "file"}
        return {"file": printable(Path(place, *inner).as_posix()), **others}

    return replace(rows, names=tuple(map(named, rows.names)), left_out=tuple(map(named, rows.left_out)))


def row_names(raw: pa.Table, columns: Sequence[Column], targets: Sequence[str] = ()) -> Names:
    """Name the rows of a table by their numbers, counted from 1 below the header, and by an id if it has one.

    Args:
        raw: the cells as they were read.
        columns: that the model reads; they are no ids.
        targets: that it predicts; neither are they.
    """
    read = {column.name for column in columns}
    found = _id_column(raw, read.union(targets))
    images = [column.name for column in columns if column.kind == "image"]
    shown = [name for name in (*images[:1], found) if name is not None and parse.is_text(raw[name].type)]
    if found is not None and found not in shown:
        shown.append(found)
    cells = {name: raw[name].to_pylist() for name in shown}
    return tuple(
        {"row": row + 1, **{name: values[row] for name, values in cells.items()}} for row in range(len(raw))
    )


def _id_column(raw: pa.Table, others: set[str]) -> str | None:
    """Return the column that identifies rows: by its name, or else texts in front that all differ."""
    free = [name for name in raw.column_names if name not in others and name not in ("row", "prediction")]
    for pattern in (ID_NAME, NAME):
        for name in free:
            if pattern.search(name) and _identifies(raw[name], LONGEST_NAMED):
                return name
    first = raw.column_names[0] if raw.column_names else None
    if first in free and _identifies(raw[first]) and _is_words(raw[first]):
        return first
    return None


def _identifies(values: pa.ChunkedArray, longest: int = LONGEST_ID) -> bool:
    if not (parse.is_text(values.type) or pa.types.is_integer(values.type)) or values.null_count:
        return False
    if values.type in (pa.string_view(),):
        values = values.cast(pa.large_string())
    cells = values.to_pylist()
    if any(isinstance(cell, str) and not 0 < len(cell) <= longest for cell in cells):
        return False
    return len(set(cells)) == len(cells) > 0


def _is_words(values: pa.ChunkedArray) -> bool:
    """Whether cells are mostly no numbers: measurements may all differ, too."""
    if not parse.is_text(values.type):
        return False
    return parse.numbers(values).null_count >= MOSTLY * len(values)


def without(rows: InputRows, bad: np.ndarray, reasons: Mapping[int, str]) -> InputRows:
    """Leave out rows, and keep the names of the others.

    Args:
        rows: N rows.
        bad: (N,) True for rows to leave out.
        reasons: why, by row.
    """
    if not bad.any():
        return rows
    dropped = tuple({**rows.names[row], "reason": reasons.get(int(row), "")} for row in np.flatnonzero(bad))
    names = tuple(name for name, out in zip(rows.names, bad, strict=True) if not out)
    return InputRows(rows.table.filter(pa.array(~bad)), names, rows.notes, (*rows.left_out, *dropped))
