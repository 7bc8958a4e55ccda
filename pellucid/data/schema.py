"""Read a column as the kind it looks like, or as the kind the user named.

`read_column` looks at the values (and a little at the name), says what it decided and why, and marks the
cells that do not fit. It refuses nothing: that is done by `build_dataset`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa

from pellucid.data import kinds, parse
from pellucid.data.compute import pc
from pellucid.data.kinds.kind import ID_NAME, Cells, Kind, Reading
from pellucid.data.marks import UNKNOWN, Marks


def read_column(
    name: str,
    raw: pa.ChunkedArray,
    kind: str | None = None,
    folder: Path | None = None,
    *,
    marks: Marks = UNKNOWN,
    form: Mapping[str, Any] | None = None,
) -> Reading:
    """Read a column as `kind`, or as what it looks like.

    Args:
        name: of the column; it counts only for what may be an id.
        raw: unparsed text of a file, or typed values.
        kind: the kind the user named; None: it is inferred.
        folder: where relative paths of images start; None: cells are not paths.
        marks: what is known of how the file writes numbers, dates and missing values.
        form: how the cells of this column were written in training; None: found out.

    Raises:
        UnknownNameError: there is no such kind.
    """
    cells = Cells(name, _plain(raw), folder, marks, form)
    if kind is not None:
        found = kinds.find(kind)
        return _named(found, replace(found.read(cells), reason="set by the user"), cells)
    if (cells.is_text and not cells.present) or pa.types.is_null(cells.type):
        return Reading(cells.cleaned, "it has no values", usable=False)
    for found in kinds.all_kinds():
        reading = found.infer(cells)
        if reading is not None:
            return _named(found, reading, cells)
    return Reading(cells.raw, f"a column of type {cells.type} is not supported", usable=False)


def _named(kind: Kind, reading: Reading, cells: Cells) -> Reading:
    name, expected = kind.name if reading.usable else None, reading.expected or kind.expected
    words = {} if cells.marks.missing is None else {"missing": list(cells.marks.missing)}
    return replace(reading, kind=name, expected=expected, form={**reading.form, **words})


def _plain(raw: pa.ChunkedArray) -> pa.ChunkedArray:
    """Values without a dictionary, and views of text as text."""
    if pa.types.is_dictionary(raw.type):
        raw = pa.chunked_array([chunk.dictionary_decode() for chunk in raw.chunks], raw.type.value_type)
    return raw.cast(pa.large_string()) if pa.types.is_string_view(raw.type) else raw


def nothing_to_learn(name: str, reading: Reading) -> str | None:
    """Say why a column is of no use as an input, or None: empty, constant, or it identifies the row."""
    values = reading.values
    if reading.kind is None:
        return reading.reason
    if len(values) < 2 or not _is_comparable(values.type):
        return None
    if values.null_count == len(values):
        return "it has no values"
    if values.null_count == 0 and _constant(values):
        return f"it is always {values[0].as_py()!r}"
    if ID_NAME.search(name) and (parse.is_text(values.type) or _is_whole(values)):
        return "it identifies the row, every value differs" if _all_differ(values) else None
    if kinds.find(reading.kind).repeats and _all_differ(values):
        return "every value differs"
    return None


def _is_comparable(kind: pa.DataType) -> bool:
    """True for numbers, booleans, dates and text."""
    return pa.types.is_primitive(kind) or pa.types.is_boolean(kind) or parse.is_text(kind)


def _is_whole(values: pa.ChunkedArray) -> bool:
    """Whether values are whole numbers, also where they are too large for an integer."""
    if not pa.types.is_floating(values.type):
        return pa.types.is_integer(values.type)
    return values.null_count == 0 and pc.all(pc.equal(values, pc.floor(values))).as_py()


def _constant(values: pa.ChunkedArray) -> bool:
    ends = pc.min_max(values).as_py()
    return ends["min"] == ends["max"]


def _all_differ(values: pa.ChunkedArray) -> bool:
    return values.null_count == 0 and pc.count_distinct(values).as_py() == len(values)
