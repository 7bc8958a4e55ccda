"""Convert text cells to typed values, a whole column at a time.

Every function returns the values, missing where a cell could not be read; the caller compares what is missing
now with what was missing before.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from pellucid.data.compute import pc

MISSING = ("", "NA", "N/A", "n/a", "#N/A", "NaN", "nan", "NULL", "null", "None", "?", "-")
"""Cells that mean a missing value in a table of text."""

BOOLEANS = (("false", "true"), ("no", "yes"), ("f", "t"), ("n", "y"))
"""Pairs of words for no and yes, in any case."""

DATES = (
    ("%d/%m/%Y", r"^\d{1,2}/\d{1,2}/\d{4}$"),
    ("%m/%d/%Y", r"^\d{1,2}/\d{1,2}/\d{4}$"),
    ("%d.%m.%Y", r"^\d{1,2}\.\d{1,2}\.\d{4}$"),
    ("%d-%m-%Y", r"^\d{1,2}-\d{1,2}-\d{4}$"),
    ("%Y/%m/%d", r"^\d{4}/\d{1,2}/\d{1,2}$"),
    ("%d/%m/%Y %H:%M", r"^\d{1,2}/\d{1,2}/\d{4} \d{1,2}:\d{2}$"),
    ("%m/%d/%Y %H:%M", r"^\d{1,2}/\d{1,2}/\d{4} \d{1,2}:\d{2}$"),
    ("%Y/%m/%d %H:%M:%S", r"^\d{4}/\d{1,2}/\d{1,2} \d{1,2}:\d{2}:\d{2}$"),
    ("%d %b %Y", r"^\d{1,2} [A-Za-z]{3} \d{4}$"),
    ("%b %d, %Y", r"^[A-Za-z]{3} \d{1,2}, \d{4}$"),
    ("%d %B %Y", r"^\d{1,2} [A-Za-z]{4,} \d{4}$"),
    ("%B %d, %Y", r"^[A-Za-z]{4,} \d{1,2}, \d{4}$"),
)
"""Date formats besides ISO 8601, with the pattern of a cell."""

_NUMBER = r"^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$|^[+-]?(?i:inf|infinity)$"


def clean(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Trim white space and turn the usual markers of a missing value into missing values."""
    trimmed = pc.utf8_trim_whitespace(column)
    blank = pc.is_in(trimmed, value_set=pa.array(MISSING).cast(trimmed.type))
    return pc.if_else(blank, pa.scalar(None, trimmed.type), trimmed) if pc.any(blank).as_py() else trimmed


def numbers(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Read numbers, as int64 if all are whole; other cells become missing; infinities are kept."""
    for kind in (pa.int64(), pa.float64()):
        try:
            return without_nan(column.cast(kind))
        except pa.ArrowInvalid:
            continue
    plain = pc.if_else(pc.match_substring_regex(column, _NUMBER), column, pa.scalar(None, column.type))
    return without_nan(pc.replace_substring_regex(plain, r"^\+", "").cast(pa.float64()))


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


def dates(column: pa.ChunkedArray) -> tuple[pa.ChunkedArray, str]:
    """Read dates in the first format that fits all cells, else in the one that fits most.

    Returns:
        Timestamps in microseconds, without a time zone (UTC where the cells have one), and the format;
        cells that do not fit are missing.
    """
    try:
        return column.cast(pa.timestamp("us")), "ISO 8601"
    except pa.ArrowInvalid:
        pass
    try:
        return column.cast(pa.timestamp("us", "UTC")).cast(pa.timestamp("us")), "ISO 8601, in UTC"
    except pa.ArrowInvalid:
        pass
    best, name, missing = None, "", len(column) + 1
    for form, pattern in DATES:
        read = _strptime(column, form, pattern)
        if read.null_count < missing:
            best, name, missing = read, form, read.null_count
    assert best is not None
    return best, name


def looks_like_dates(sample: pa.ChunkedArray) -> bool:
    """Return whether every cell of a small sample without missing cells is a date."""
    first = sample[0].as_py() if len(sample) else ""
    if not any(mark in first for mark in "-/. ") or not any(letter.isdigit() for letter in first):
        return False
    return dates(sample)[0].null_count == 0


def _strptime(column: pa.ChunkedArray, form: str, pattern: str) -> pa.ChunkedArray:
    """Parse one format; the pattern is checked too, since the parser ignores what follows a match."""
    fits = pc.match_substring_regex(column, pattern)
    plain = pc.if_else(fits, column, pa.scalar(None, column.type))
    return pc.strptime(plain, format=form, unit="us", error_is_null=True)


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
