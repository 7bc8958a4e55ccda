"""Convert text cells to typed values, a whole column at a time.

Every function returns the values, missing where a cell could not be read; the caller compares what is missing
now with what was missing before.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from pellucid.data.compute import pc

WORDS = ("NA", "N/A", "n/a", "na", "NULL", "null", "None", "NIL", "nil", "N.A.", "n.a.")
"""Words that mean a missing value in an input or among numbers; in a target of words they are classes."""

MISSING = (
    *("", *WORDS, "#N/A", "#NA", "<NA>", "NaN", "nan", "-nan", "-NaN", "NaT", "?", "-", "--", ".", "..."),
    *("#VALUE!", "#DIV/0!", "#REF!", "#NUM!", "#NAME?", "#NULL!"),
    *("0000-00-00", "0000-00-00 00:00:00"),
)
"""Cells that mean a missing value in a table of text."""

BOOLEANS = (("false", "true"), ("no", "yes"), ("f", "t"), ("n", "y"))
"""Pairs of words for no and yes, in any case."""

_NUMBER = r"^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$|^[+-]?(?i:inf|infinity)$"


def clean(column: pa.ChunkedArray, missing: Sequence[str] | None = None) -> pa.ChunkedArray:
    """Trim white space and turn the words for a missing value into missing values; None: the usual ones."""
    trimmed = pc.utf8_trim_whitespace(column)
    words = MISSING if missing is None else ("", *missing)
    blank = pc.is_in(trimmed, value_set=pa.array(words).cast(trimmed.type))
    return pc.if_else(blank, pa.scalar(None, trimmed.type), trimmed) if pc.any(blank).as_py() else trimmed


def numbers(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Read numbers, as int64 if all are whole; other cells become missing; infinities are kept."""
    if (values := all_numbers(column)) is not None:
        return values
    plain = pc.if_else(pc.match_substring_regex(column, _NUMBER), column, pa.scalar(None, column.type))
    return without_nan(pc.replace_substring_regex(plain, r"^\+", "").cast(pa.float64()))


def all_numbers(column: pa.ChunkedArray) -> pa.ChunkedArray | None:
    """Read numbers where all cells that are present are plain ones; None as soon as one is not."""
    for kind in (pa.int64(), pa.float64()):
        try:
            return without_nan(column.cast(kind))
        except pa.ArrowInvalid:
            continue
    return None


def without_nan(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Turn NaN into missing."""
    if not pa.types.is_floating(column.type):
        return column
    holes = pc.is_nan(column)
    return pc.if_else(holes, pa.scalar(None, column.type), column) if pc.any(holes).as_py() else column


def booleans(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Read yes and no in any of their spellings, also 0 and 1; other cells become missing."""
    lower = pc.utf8_lower(column)
    no = pc.is_in(lower, value_set=pa.array([pair[0] for pair in BOOLEANS] + ["0"]).cast(lower.type))
    yes = pc.is_in(lower, value_set=pa.array([pair[1] for pair in BOOLEANS] + ["1"]).cast(lower.type))
    return pc.if_else(pc.or_(no, yes), yes, pa.scalar(None, pa.bool_()))


def is_text(kind: pa.DataType) -> bool:
    """Return whether an Arrow type holds text."""
    return pa.types.is_string(kind) or pa.types.is_large_string(kind)


def distinct(column: pa.ChunkedArray) -> pa.Array:
    """Return the different values, without missing ones."""
    return pc.drop_null(pc.unique(column))


def as_text(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Write values as text; whole numbers without a decimal point."""
    if is_text(column.type):
        return column
    if pa.types.is_floating(column.type) and whole(column):
        column = column.cast(pa.int64())
    return column.cast(pa.string())


def whole(column: pa.ChunkedArray) -> bool:
    """Return whether every number is whole (and fits in 53 bits)."""
    if pa.types.is_integer(column.type):
        return True
    values = column.drop_null().to_numpy()
    return bool(
        np.all(np.isfinite(values)) and np.all(np.abs(values) < 2**53) and np.all(values == np.floor(values))
    )
