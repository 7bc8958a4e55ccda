"""Charts of any number of named groups: lines with bands, and groups of points.

A group is identified by its color, by its dash or the shape of its points, and by its name.
"""

from __future__ import annotations

import itertools
import math
import statistics
import xml.etree.ElementTree as ET
from collections.abc import Callable, Sequence

from pellucid.report.charts import BOTTOM, LEFT, Line, Points, canvas, columns, grid, node, path
from pellucid.report.scales import Axis
from pellucid.report.words import count, number

HUES = 6
"""Colors in the style sheet, `g0` to `g5`; further groups repeat them, dashed or with square points."""
MEANING = {"known": "g5", "truth": "ink", "forecast": "g2"}
"""The classes of lines that mean the same in every chart."""
DOTTED = 30
"""Points are marked if no line has more of them than this."""
PICKED = 24
"""Groups that can be selected; if there are more, all are always shown."""
PICKS = "\n".join(
    f".picked:has(.pick-{i}:checked) :is(.cloud, .center):not(.of-{i}){{opacity:0.06}}" for i in range(PICKED)
)
"""The style rules that fade all groups but the selected one."""
SWATCH_WIDTH = 26  # pixels of the line next to a name
ROW_HEIGHT = 18  # pixels of a row of names
LETTER_WIDTH = 6.7  # pixels, on average


def role(index: int) -> str:
    """Return the classes of a group in the style sheet."""
    return f"g{index % HUES}" + (" second" if index // HUES % 2 else "")


def roles(names: Sequence[str]) -> list[str]:
    """Return the classes of lines: fixed for those with a meaning, the next free one for others."""
    taken = {MEANING[name] for name in names if name in MEANING}
    free = (role(i) for i in itertools.count() if role(i) not in taken)
    return [MEANING[name] if name in MEANING else next(free) for name in names]


def lines(
    series: Sequence[Line],
    names: tuple[str, str],
    *,
    width: int,
    write: Callable[[float], str] = number,
    shares: bool = False,
    x_log: bool = False,
) -> ET.Element:
    """Draw lines with their bands, and their names above.

    Args:
        series: with at least one point in all; not finite values break a line.
        names: of the x and the y axis.
        width: of the drawing, in pixels.
        write: writes a y value for tooltips.
        shares: y values are shares of 1, ticked in percent.
        x_log: x values are all above 0, and their axis is logarithmic.
    """
    top = 40 + _names_height(series, width)
    height = top + 212 + BOTTOM
    every = [point for line in series for point in (*line.points, *line.low, *line.high)]
    x = _across(every, width, log=x_log)
    y = Axis.fit([b for _, b in every if math.isfinite(b)], height - BOTTOM, top, shares=shares)
    svg = canvas(width, height)
    _name(svg, series, width)
    grid(svg, x, y, names[0] + (", log scale" if x.log else ""), "")
    node(svg, "text", names[1] + (", log scale" if y.log else ""), class_="name", x=0, y=top - 14)
    for line in series:
        if line.low and line.high:
            back = path(line.high[::-1], x, y).replace("M", "L")
            node(svg, "path", class_=f"band {line.role}", d=f"{path(line.low, x, y)}{back}Z")
    dotted = all(len(line.points) <= DOTTED for line in series)
    for line in series:
        node(svg, "path", class_=f"line {line.role}", d=path(line.points, x, y))
        for a, b in line.points if dotted else ():
            if math.isfinite(b):
                node(svg, "circle", class_=f"dot {line.role}", cx=x(a), cy=y(b), r=2.5)
    columns(svg, series, x, y, names[0], write)
    return svg


def clouds(groups: Sequence[Line], names: tuple[str, str], *, width: int) -> ET.Element:
    """Draw groups of points, each with its name at its middle.

    Args:
        groups: each with at least one point; points are finite.
        names: of the x and the y axis.
        width: of the drawing, in pixels; it is as high.
    """
    every = [point for group in groups for point in group.points]
    x = _across(every, width)
    ys = [b for _, b in every]
    room = 0.03 * (max(ys) - min(ys)) or 0.5
    y = Axis(min(ys) - room, max(ys) + room, width - BOTTOM, 26)
    svg = canvas(width, width)
    grid(svg, x, y, *names)
    size = 5.0 if len(every) < 600 else 4.0 if len(every) < 1500 else 3.4
    for i, group in enumerate(groups):
        drawn = "".join(f"M{x(a):.1f} {y(b):.1f}h0" for a, b in group.points)
        dots = node(svg, "path", class_=f"hit cloud {group.role} of-{i}", d=drawn, stroke_width=size)
        node(dots, "title", f"{group.name}: {count(len(group.points))} points".lstrip(": "))
    for i, group in enumerate(groups if len(groups) > 1 else ()):
        a, b = middle(group.points)
        node(svg, "text", group.name, class_=f"mark center of-{i}", x=x(a), y=y(b) + 5, text_anchor="middle")
    return svg


def middle(points: Points) -> tuple[float, float]:
    """Return the median of points, by axis."""
    return statistics.median(a for a, _ in points), statistics.median(b for _, b in points)


# ---- pieces ------------------------------------------------------------------------------------------


def _across(points: Points, width: int, log: bool = False) -> Axis:
    """An axis from the first x to the last, with a little room at its ends."""
    low, high = min(a for a, _ in points), max(a for a, _ in points)
    if log:
        return Axis(low / 1.1, high * 1.1, LEFT, width - 16, log=True)
    room = 0.02 * (high - low) or 0.5
    return Axis(low - room, high + room, LEFT, width - 16)


def _laid_out(series: Sequence[Line], width: int) -> list[tuple[str, int, float]]:
    """Where each name goes: (what fits of it, row, left)."""
    most = int((width - SWATCH_WIDTH) / LETTER_WIDTH)
    places: list[tuple[str, int, float]] = []
    row, left = 0, 0.0
    for line in series:
        name = line.name if len(line.name) <= most else line.name[: most - 1] + "…"
        wide = SWATCH_WIDTH + LETTER_WIDTH * len(name)
        if left and left + wide > width:
            row, left = row + 1, 0.0
        places.append((name, row, left))
        left += wide + 14
    return places


def _names_height(series: Sequence[Line], width: int) -> int:
    return ROW_HEIGHT * (_laid_out(series, width)[-1][1] + 1)


def _name(svg: ET.Element, series: Sequence[Line], width: int) -> None:
    """Write the names of the lines, each next to a sample of it."""
    for line, (name, row, left) in zip(series, _laid_out(series, width), strict=True):
        y = 12 + ROW_HEIGHT * row
        node(svg, "path", class_=f"line {line.role}", d=f"M{left:.1f} {y - 4}h18")
        node(svg, "text", name, class_="key", x=left + 24, y=y)
