"""Whether quotation marks in a table of text enclose cells, or are stray and join rows."""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa

from pellucid.data import parse
from pellucid.data.compute import pc

FEW = 20
_SMALLEST = 20


def swallowed_rows(quoted: pa.Table, plain: pa.Table, breaks: Sequence[str]) -> bool:
    """Whether rows are missing where quotation marks enclose cells.

    They are if the columns stay what they are in the longer table: numbers stay numbers, and few different
    values stay the same ones. In a text of several lines, what would be a row is something else.

    Args:
        quoted: the table with quotation marks around cells.
        plain: the table with quotation marks as part of the text; all of its lines have the right width.
        breaks: columns of `quoted` in which a cell has several lines.
    """
    if len(plain) < max(_SMALLEST, len(quoted) + 1):
        return False
    stays = [_stays(quoted[name], plain[name]) for name in quoted.column_names]
    return False not in stays and True in stays


def _stays(before: pa.ChunkedArray, after: pa.ChunkedArray) -> bool | None:
    """Whether a column stays numbers, or the same few values; None where it is neither."""
    numbers = parse.numbers(parse.clean(before))
    if numbers.null_count < 0.1 * len(numbers):
        return parse.numbers(parse.clean(after)).null_count <= 0.1 * len(after)
    values = pc.unique(before)
    if len(values) > min(FEW, len(before) // 2):
        return None
    return pc.all(pc.is_in(after, value_set=values)).as_py()
