"""Groups of points: `{"kind": "scatter", "x_label", "y_label", "groups": [{"name", "points": [[x, y]]}]}`."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any
from xml.etree.ElementTree import Element

from pellucid.report import charts, plots, words
from pellucid.report.block import Shelf, View
from pellucid.report.charts import Line
from pellucid.report.text_tables import Plot, Table, number

POINTS = 3000
"""Points that are drawn; of more, every n-th."""
TEMPLATE = "{% from 'parts.html' import plot %}{{ plot(body, id) }}"


def prepare(facts: Mapping[str, Any], shelf: Shelf) -> Plot:
    """Draw the points; those that are not finite are left out."""
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


VIEW = View("scatter", prepare, TEMPLATE, half=lambda body: True)
