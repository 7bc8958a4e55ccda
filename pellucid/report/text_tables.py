"""Tables as text, and the numbers in the facts of blocks."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pellucid.report.charts import Chart

ROWS = 200
"""Rows of a table that are drawn."""


@dataclass(frozen=True)
class Link:
    """A cell that leads to another file in the folder of runs."""

    text: str
    link: str


@dataclass(frozen=True)
class Table:
    """Cells as text; `numeric` tells which columns hold only numbers."""

    columns: tuple[str, ...]
    rows: tuple[tuple[str | Link, ...], ...]
    numeric: tuple[bool, ...]
    left_out: int = 0


@dataclass(frozen=True)
class Plot:
    """A chart and the same as a table; `groups` are the names that can be selected, if any."""

    chart: Chart
    table: Table
    groups: tuple[str, ...] = ()


def is_number(value: Any) -> bool:
    """Whether a cell holds a number, or nothing."""
    if isinstance(value, Mapping):
        return bool(value.get("number"))
    return value is None or (isinstance(value, (int, float)) and not isinstance(value, bool))


def number(value: Any) -> float:
    """Return a number of a chart; one that is missing is not finite.

    Raises:
        ValueError: it is something else.
    """
    if not is_number(value):
        raise ValueError(f"{value!r} is not a number")
    return math.nan if value is None else float(value)
