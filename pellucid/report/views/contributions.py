"""Signed numbers as bars from a middle line.

{"kind": "contributions", "columns": [name, value, number], "rows": [[name, value, number], ...]}
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pellucid.report import words
from pellucid.report.block import Shelf, View
from pellucid.report.text_tables import number

MAX_ROWS = 40

STYLE = """
.contributions td.side{width:34%;padding:2px 0}
.contributions .arm{display:block;height:1em;border-radius:2px;width:calc(100% * var(--share))}
.contributions .against .arm{background:#0072b2;margin-left:auto}
.contributions .for .arm{background:#e69f00}
.contributions td.against{border-right:1px solid currentColor}
"""


@dataclass(frozen=True)
class Bar:
    """One bar; `share` of the longest, 0..1, to the right where it is `positive`."""

    name: str
    value: str
    number: str
    share: float
    positive: bool


@dataclass(frozen=True)
class Bars:
    """All bars, the longest first."""

    columns: tuple[str, ...]
    bars: tuple[Bar, ...]
    left_out: int


def prepare(facts: Mapping[str, Any], shelf: Shelf) -> Bars:
    """Order the rows by the size of their numbers."""
    rows = [(str(name), value, number(amount)) for name, value, amount in facts["rows"]]
    rows = sorted((row for row in rows if math.isfinite(row[2])), key=lambda row: -abs(row[2]))
    largest = max((abs(row[2]) for row in rows), default=0.0) or 1.0
    bars = tuple(
        Bar(name, _cell(value), words.signed(amount), abs(amount) / largest, amount >= 0)
        for name, value, amount in rows[:MAX_ROWS]
    )
    return Bars(tuple(map(str, facts["columns"])), bars, max(0, len(rows) - MAX_ROWS))


def _cell(value: Any) -> str:
    if value is None:
        return words.NOTHING
    return words.number(value) if isinstance(value, float) else str(value)


VIEW = View("contributions", prepare, style=STYLE)
