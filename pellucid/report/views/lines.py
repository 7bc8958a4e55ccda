"""Lines with bands: `{"kind": "lines", "x_label", "y_label", "series": [{"name", "x", "y", "low", "high"}]}`.

`low` and `high` are optional. `x_log` asks for a logarithmic axis; `share` says that y values are shares of
1, which are written in percent.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any
from xml.etree.ElementTree import Element

from pellucid.report import charts, plots, words
from pellucid.report.block import Shelf, View
from pellucid.report.charts import Line
from pellucid.report.text_tables import ROWS, Plot, Table, number

TEMPLATE = "{% from 'parts.html' import plot %}{{ plot(body, id) }}"


def prepare(facts: Mapping[str, Any], shelf: Shelf) -> Plot:
    """Draw lines with their bands; missing values break a line."""
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
    rows = [(words.plain(x), *(_cell(found.get(x), write) for found in values)) for x in at]
    columns = (names[0], *(line.name for line in series))
    twin = Table(columns, tuple(rows[:ROWS]), (True,) * len(columns), max(0, len(rows) - ROWS))
    return Plot(charts.chart(str(facts["title"]), draw), twin)


def _cell(value: float | None, write: Callable[[float], str]) -> str:
    return words.NOTHING if value is None or math.isnan(value) else write(value)


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


VIEW = View("lines", prepare, TEMPLATE, half=lambda body: True)
