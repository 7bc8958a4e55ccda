"""A map of values: `{"kind": "heatmap", "rows": [names], "columns": [names], "values": [[...]]}`."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pellucid.report import words
from pellucid.report.block import Shelf, View
from pellucid.report.scales import magnitude_class, signed_class
from pellucid.report.text_tables import number

MAX_SIDE = 64  # rows and columns that are drawn
NUMBERED_UP_TO = 12  # columns; with more, cells show no numbers


@dataclass(frozen=True)
class HeatmapCell:
    """One cell of a map: its class and its number."""

    mark: str
    value: str


@dataclass(frozen=True)
class Heatmap:
    """A map; `low` and `high` are the ends of its scale, which is diverging where it is `signed`."""

    columns: tuple[str, ...]
    rows: tuple[tuple[str, tuple[HeatmapCell, ...]], ...]
    signed: bool
    low: str
    high: str
    numbered: bool
    left_out: str


def prepare(facts: Mapping[str, Any], shelf: Shelf) -> Heatmap:
    """Color each cell by its value."""
    values = [[number(value) for value in row] for row in facts["values"]]
    return heatmap([str(name) for name in facts["rows"]], [str(name) for name in facts["columns"]], values)


def heatmap(rows: Sequence[str], columns: Sequence[str], values: Sequence[Sequence[float]]) -> Heatmap:
    """Prepare a map of values, (rows, columns).

    Raises:
        ValueError: there are not as many values as rows and columns, or none that is finite.
    """
    if len(values) != len(rows) or any(len(row) != len(columns) for row in values):
        raise ValueError(f"its values are not {len(rows)} rows of {len(columns)}")
    finite = [value for row in values for value in row if math.isfinite(value)]
    if not finite:
        raise ValueError("it has no values")
    signed = min(finite) < 0
    largest = max(map(abs, finite)) or 1.0
    numbered = len(columns) <= NUMBERED_UP_TO

    def cell(value: float) -> HeatmapCell:
        if not math.isfinite(value):
            return HeatmapCell("", words.NOTHING)
        share = value / largest
        return HeatmapCell(
            signed_class(share) if signed else magnitude_class(share), words.plain(round(value, 3))
        )

    drawn = tuple(
        (name, tuple(cell(value) for value in row[:MAX_SIDE]))
        for name, row in zip(rows[:MAX_SIDE], values[:MAX_SIDE], strict=True)
    )
    cut = len(rows) > MAX_SIDE or len(columns) > MAX_SIDE
    whole = f"{words.count(len(rows))} × {words.count(len(columns))}"
    return Heatmap(
        columns=tuple(columns[:MAX_SIDE]),
        rows=drawn,
        signed=signed,
        low=words.number(-largest) if signed else "0",
        high=words.number(largest),
        numbered=numbered,
        left_out=f"The first {MAX_SIDE} rows and columns of {whole}." if cut else "",
    )


VIEW = View("heatmap", prepare)
