"""Blocks that are charts or tables, prepared: each chart with a table that tells the same."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from xml.etree.ElementTree import Element

from markupsafe import Markup

from pellucid.report import charts, plots, words
from pellucid.report.charts import Chart, Line

POINTS, TABLE = 3000, 200
"""Points of a cloud, and rows of a table, that are drawn."""


@dataclass(frozen=True)
class Table:
    """Cells as text; `numeric` says which columns hold numbers alone."""

    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    numeric: tuple[bool, ...]
    left_out: int = 0


@dataclass(frozen=True)
class Plot:
    """A chart and its twin; `groups` are the names that can be picked out, () where there are none."""

    chart: Chart
    table: Table
    groups: tuple[str, ...] = ()


def scatter(facts: Mapping[str, Any]) -> Plot:
    """Prepare a cloud of points; those that are not finite are left out.

    Raises:
        KeyError, TypeError, ValueError: it is damaged, or has no points.
    """
    names = (str(facts["x_label"]), str(facts["y_label"]))
    groups: list[Line] = []
    total = sum(len(group["points"]) for group in facts["groups"])
    step = max(1, -(-total // POINTS))
    for group in facts["groups"]:
        points = [(number(x), number(y)) for x, y in group["points"][::step]]
        points = [point for point in points if all(map(math.isfinite, point))]
        if points:
            groups.append(Line(str(group["name"]), plots.role(len(groups)), points))
    if not groups:
        raise ValueError("it has no points")
    drawn = sum(len(group.points) for group in groups)
    note = f"{words.count(drawn)} of {words.count(total)} points are drawn." if step > 1 else ""
    rows = [(g.name, words.count(len(g.points)), *map(words.number, plots.middle(g.points))) for g in groups]

    def draw(width: int) -> Element:
        return plots.clouds(groups, names, width=width)

    twin = Table(
        ("group", "points", f"median {names[0]}", f"median {names[1]}"),
        tuple(rows),
        (False, True, True, True),
    )
    picked = tuple(group.name for group in groups) if 1 < len(groups) <= plots.PICKED else ()
    return Plot(charts.chart(str(facts["title"]), draw, note), twin, picked)


def lines(facts: Mapping[str, Any]) -> Plot:
    """Prepare lines with their bands; values that are missing break a line.

    Raises:
        KeyError, TypeError, ValueError: it is damaged, or has no points.
    """
    names = (str(facts["x_label"]), str(facts["y_label"]))
    roles = plots.roles([str(entry["name"]) for entry in facts["series"]])
    series = [_line(entry, role) for entry, role in zip(facts["series"], roles, strict=True)]
    if not any(math.isfinite(y) for line in series for _, y in line.points):
        raise ValueError("it has no points")
    share, x_log = bool(facts.get("share")), bool(facts.get("x_log"))
    write = words.percent if share else words.number

    def draw(width: int) -> Element:
        return plots.lines(series, names, width=width, write=write, shares=share, x_log=x_log)

    at = sorted({x for line in series for x, _ in line.points})
    values = [dict(line.points) for line in series]
    rows = [(words.plain(x), *(write(found.get(x)) for found in values)) for x in at]
    columns = (names[0], *(line.name for line in series))
    twin = Table(columns, tuple(rows[:TABLE]), (True,) * len(columns), max(0, len(rows) - TABLE))
    return Plot(charts.chart(str(facts["title"]), draw), twin)


def _line(entry: Mapping[str, Any], role: str) -> Line:
    x = [number(value) for value in entry["x"]]
    if not all(map(math.isfinite, x)):
        raise ValueError(f"{entry['name']} has places that are not numbers")

    def along(key: str) -> list[tuple[float, float]]:
        return list(zip(x, map(number, entry[key]), strict=True))

    band = (along("low"), along("high")) if entry.get("low") and entry.get("high") else ([], [])
    kept = [i for i in range(len(band[0])) if all(math.isfinite(edge[i][1]) for edge in band)]
    low, high = ([edge[i] for i in kept] for edge in band)
    return Line(str(entry["name"]), role, along("y"), low, high)


def table(facts: Mapping[str, Any]) -> Table:
    """Prepare a table.

    Raises:
        KeyError, TypeError, ValueError: it is damaged.
    """
    columns = tuple(str(name) for name in facts["columns"])
    rows = facts["rows"]
    if any(len(row) != len(columns) for row in rows):
        raise ValueError(f"not all of its rows have {len(columns)} cells")
    numeric = tuple(all(_is_number(row[i]) for row in rows) for i in range(len(columns)))
    cells = tuple(tuple(_cell(cell) for cell in row) for row in rows[:TABLE])
    return Table(columns, cells, numeric, max(0, len(rows) - TABLE))


def _cell(value: Any) -> str:
    if isinstance(value, Mapping):
        return _linked(value["text"], value["link"]) if "link" in value else str(value["text"])
    if value is None:
        return words.NOTHING
    if isinstance(value, float):
        return words.number(value)
    large = isinstance(value, int) and abs(value) >= 10_000
    return words.count(value) if large else str(value)


def _linked(text: Any, link: str) -> Markup:
    """A link to a file beside this one; the text and the link are escaped.

    Raises:
        ValueError: it leads elsewhere.
    """
    if ":" in link or link.startswith("/"):
        raise ValueError(f"{link} is not a path from the run folder")
    return Markup('<a href="{}">{}</a>').format(link, text)


def _is_number(value: Any) -> bool:
    if isinstance(value, Mapping):
        return bool(value.get("number"))
    return value is None or (isinstance(value, (int, float)) and not isinstance(value, bool))


def number(value: Any) -> float:
    """A number of a chart; one that is missing is not finite.

    Raises:
        ValueError: it is something else.
    """
    if not _is_number(value):
        raise ValueError(f"{value!r} is not a number")
    return math.nan if value is None else float(value)
