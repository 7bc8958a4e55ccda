"""Charts as SVG text, drawn in Python, so that they need no JavaScript.

A chart is drawn twice, for a wide and for a narrow page, so that its text keeps its size; the style sheet
shows one. Colors are classes of the style sheet, so charts follow the theme. What is under the pointer has
the class `hit` and a `<title>`: the browser's own tooltip, which the script makes quicker and reachable by
arrow keys.
"""

from __future__ import annotations

import math
import xml.etree.ElementTree as ET
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from pellucid.report.scales import Axis
from pellucid.report.words import count, interval, number, percent, plain

CHART_WIDTH = 428  # pixels; two charts next to each other
PHONE_WIDTH = 342  # pixels
LEFT = 46  # pixels of the margins
RIGHT = 78
TOP = 42
BOTTOM = 38
LABEL_GAP = 31

Points = Sequence[tuple[float, float]]


@dataclass(frozen=True)
class Line:
    """One curve: its label ("" where the title says it), its role in the style sheet, its points (x, y).

    `low` and `high` are the ends of the band around it, or empty.
    """

    name: str
    role: str
    points: Points
    low: Points = ()
    high: Points = ()


@dataclass(frozen=True)
class Chart:
    """A drawing with its finding as title.

    Attributes:
        title: the finding, as a sentence without a full stop.
        wide, narrow: the SVG for each page width.
        note: what a reader must know to read it, or "".
    """

    title: str
    wide: Markup
    narrow: Markup
    note: str = ""


def chart(title: str, draw: Callable[[int], ET.Element], note: str = "") -> Chart:
    """Draw for both widths."""

    def drawing(width: int) -> Markup:
        svg = draw(width)
        svg.set("aria-label", title)
        return Markup(ET.tostring(svg, encoding="unicode"))

    return Chart(title, drawing(CHART_WIDTH), drawing(PHONE_WIDTH), note)


def gaps(lines: Sequence[Line]) -> str:
    """Return a sentence for each line with values that are not finite; "" if there are none."""
    sentences = []
    for line in lines:
        bad, of = sum(not math.isfinite(value) for _, value in line.points), f"{line.name} values".strip()
        if bad == len(line.points) > 0:
            sentences.append(f"Not one of the {bad:,} {of} is a finite number, so there is no line for them.")
        elif bad:
            verb = "is not a finite number: a gap" if bad == 1 else "are not finite numbers: gaps"
            sentences.append(f"{bad:,} of {len(line.points):,} {of} {verb} in the line.")
    return " ".join(sentences)


# ---- curves ------------------------------------------------------------------------------------------


def curves(
    lines: Sequence[Line],
    names: tuple[str, str],
    write: Callable[[float], str],
    *,
    width: int,
    raw: Points = (),
    best: tuple[float, str] | None = None,
    shares: bool = False,
) -> ET.Element:
    """Draw curves with direct labels at their ends.

    Args:
        lines: the curves, on common x values as far as they have them.
        names: of the x and the y axis, with units.
        write: writes a y value for labels and tooltips.
        width: of the drawing, in pixels.
        raw: a finer curve, drawn thin behind the others.
        best: (x, label) of the best step.
        shares: y values are shares of 1, ticked in percent.
    """
    height = 292
    values = [y for line in lines for _, y in line.points if math.isfinite(y)]
    reach = [x for line in lines for x, _ in line.points]
    x = Axis(min([*reach, *(a for a, _ in raw[:1])]), max(reach), LEFT, width - RIGHT, whole=True)
    y = Axis.fit(values, height - BOTTOM, TOP, shares=shares)
    svg = canvas(width, height)
    grid(svg, x, y, names[0], names[1] + (", log scale" if y.log else ""))
    if raw:
        node(svg, "path", class_="line raw", d=path(raw, x, y))
    if best:
        node(svg, "line", class_="best", x1=x(best[0]), x2=x(best[0]), y1=TOP, y2=height - BOTTOM)
        _best_label(svg, x(best[0]), best[1], width - RIGHT)
    for line in lines:
        node(svg, "path", class_=f"line {line.role}", d=path(line.points, x, y))
        if len(line.points) <= 30:
            for a, b in line.points:
                if math.isfinite(b):
                    node(svg, "circle", class_=f"dot {line.role}", cx=x(a), cy=y(b), r=2.5)
    _end_labels(svg, lines, y, write, width - RIGHT + 10)
    columns(svg, lines, x, y, names[0], write)
    return svg


def _best_label(svg: ET.Element, at: float, label: str, right: float) -> None:
    anchor = "end" if at > right - 60 else "start" if at < LEFT + 60 else "middle"
    node(svg, "text", label, class_="mark", x=at, y=TOP - 10, text_anchor=anchor)


def _end_labels(
    svg: ET.Element, lines: Sequence[Line], y: Axis, write: Callable[[float], str], at: float
) -> None:
    """Name every curve at its last finite value, pushed apart so that no two labels touch."""
    last = [(line, [value for _, value in line.points if math.isfinite(value)][-1:]) for line in lines]
    ends = sorted(
        ((y(value), line, value) for line, values in last for value in values), key=lambda end: end[0]
    )
    tops = [top for top, _, _ in ends]
    for i in range(1, len(tops)):
        tops[i] = max(tops[i], tops[i - 1] + LABEL_GAP)
    lowest = y.start - 14
    for i in reversed(range(len(tops))):
        tops[i] = min(tops[i], lowest)
        lowest = tops[i] - LABEL_GAP
    for top, (_, line, value) in zip(tops, ends, strict=True):
        node(svg, "text", line.name, class_=f"label {line.role}", x=at, y=top)
        node(svg, "text", write(value), class_="value", x=at, y=top + 15)


# ---- calibration -------------------------------------------------------------------------------------


def reliability(bins: Sequence[dict], *, width: int) -> ET.Element:
    """Draw accuracy against confidence with 95 % intervals, and the number of rows below."""
    plot, strip = 220, 34
    base = TOP + plot + 26 + strip
    height = base + 28
    x = Axis(0, 1, LEFT, width - 16, shares=True)
    y = Axis(0, 1, TOP + plot, TOP, shares=True)
    svg = canvas(width, height)
    grid(svg, x, y, "", "accuracy")
    node(svg, "line", class_="ideal", x1=x(0), y1=y(0), x2=x(1), y2=y(1))
    node(svg, "text", "perfectly calibrated", class_="mark", x=x(0.02), y=y(0.34))
    most = max((entry["count"] for entry in bins), default=1) or 1
    for entry in bins:
        if not entry["count"]:
            continue
        confidence, accuracy, rows = entry["confidence"], entry["accuracy"], entry["count"]
        low, high = interval(accuracy, rows)
        node(svg, "line", class_="whisker", x1=x(confidence), x2=x(confidence), y1=y(low), y2=y(high))
        node(svg, "circle", class_="dot test", cx=x(confidence), cy=y(accuracy), r=4.5)
        tall = strip * rows / most
        left, right = x(entry["low"]) + 1, x(entry["high"]) - 1
        node(svg, "rect", class_="bar test", x=left, width=right - left, y=base - tall, height=max(tall, 0.8))
        hit = node(svg, "rect", class_="hit", x=left, width=right - left, y=TOP, height=base - TOP)
        text = f"{count(rows)} rows at {percent(confidence)} confidence: {percent(accuracy)} correct"
        node(hit, "title", f"{text} (95 % interval {percent(low)} to {percent(high)})")
    node(svg, "line", class_="axis", x1=LEFT, x2=width - 16, y1=base, y2=base)
    node(svg, "text", "rows", class_="tick", x=LEFT - 8, y=base - 2, text_anchor="end")
    node(svg, "text", "confidence", class_="name", x=width - 16, y=height - 8, text_anchor="end")
    return svg


# ---- regression --------------------------------------------------------------------------------------


def scatter(pairs: Points, target: str, *, width: int) -> ET.Element:
    """Draw prediction against true value, (true, predicted), with the line on which they are equal."""
    height = 356
    values = [value for pair in pairs for value in pair]
    x = Axis.fit(values, LEFT, width - 16)
    y = Axis.fit(values, height - BOTTOM, TOP)
    svg = canvas(width, height)
    grid(svg, x, y, f"true {target}", f"predicted {target}")
    node(svg, "line", class_="ideal", x1=x(x.low), y1=y(x.low), x2=x(x.high), y2=y(x.high))
    for true, predicted in pairs:
        hit = node(svg, "circle", class_="hit point", cx=x(true), cy=y(predicted), r=3.5)
        node(hit, "title", f"true {number(true)}, predicted {number(predicted)}")
    return svg


def histogram(bins: Sequence[tuple[float, float, int]], name: str, *, width: int) -> ET.Element:
    """Draw counts over (low, high, count) bins, with zero marked."""
    height = 356
    x = Axis(bins[0][0], bins[-1][1], LEFT, width - 16)
    y = Axis(0, max(rows for _, _, rows in bins) or 1, height - BOTTOM, TOP)
    svg = canvas(width, height)
    grid(svg, x, y, name, "rows")
    for low, high, rows in bins:
        left, wide = x(low) + 1, max(1, x(high) - x(low) - 2)
        node(svg, "rect", class_="bar test", x=left, width=wide, y=y(rows), height=y(0) - y(rows))
        hit = node(svg, "rect", class_="hit", x=left, width=wide, y=TOP, height=y(0) - TOP)
        node(hit, "title", f"{count(rows)} rows between {number(low)} and {number(high)}")
    if x.low < 0 < x.high:
        node(svg, "line", class_="best", x1=x(0), x2=x(0), y1=TOP, y2=height - BOTTOM)
        node(svg, "text", "exact", class_="mark", x=x(0), y=TOP - 10, text_anchor="middle")
    return svg


# ---- pieces ------------------------------------------------------------------------------------------


def columns(
    svg: ET.Element, lines: Sequence[Line], x: Axis, y: Axis, name: str, write: Callable[[float], str]
) -> None:
    """Lay an invisible column over every x value, with the numbers there as its title."""
    found: dict[float, list[tuple[str, float]]] = {}
    for line in lines:
        for a, b in line.points:
            found.setdefault(a, []).append((line.name, b))
    at, unit = sorted(found), name.split(" ")[0]
    for i, a in enumerate(at):
        left = x.start if i == 0 else (x(at[i - 1]) + x(a)) / 2
        right = x.end if i == len(at) - 1 else (x(a) + x(at[i + 1])) / 2
        text = f"{unit} {plain(a)}: " + ", ".join(f"{who} {write(b)}".strip() for who, b in found[a])
        hit = node(svg, "rect", class_="hit", x=left, width=max(1, right - left), y=y.end)
        hit.set("height", f"{y.start - y.end:.1f}")
        hit.set("data-x", f"{x(a):.1f}")
        hit.set("data-y", " ".join(f"{y(b):.1f}" for _, b in found[a] if math.isfinite(b)))
        node(hit, "title", text)


def canvas(width: int, height: int) -> ET.Element:
    """Return an empty SVG of this size in pixels, which can take the focus."""
    return ET.Element("svg", {"viewBox": f"0 0 {width} {height}", "role": "img", "tabindex": "0"})


def grid(svg: ET.Element, x: Axis, y: Axis, x_name: str, y_name: str) -> None:
    """Draw the ticks and the names of both axes, and horizontal grid lines."""
    for value, text in y.ticks():
        node(svg, "line", class_="grid", x1=x.start, x2=x.end, y1=y(value), y2=y(value))
        node(svg, "text", text, class_="tick", x=x.start - 8, y=y(value) + 4, text_anchor="end")
    for value, text in x.ticks():
        node(svg, "line", class_="axis", x1=x(value), x2=x(value), y1=y.start, y2=y.start + 4)
        node(svg, "text", text, class_="tick", x=x(value), y=y.start + 17, text_anchor="middle")
    node(svg, "line", class_="axis", x1=x.start, x2=x.end, y1=y.start, y2=y.start)
    if y_name:
        node(svg, "text", y_name, class_="name", x=0, y=12)
    if x_name:
        node(svg, "text", x_name, class_="name", x=x.end, y=y.start + 33, text_anchor="end")


def path(points: Points, x: Axis, y: Axis) -> str:
    """Join points by straight lines; a value that is not finite breaks the line."""
    parts, pen = [], "M"
    for a, b in points:
        if math.isfinite(b) and (b > 0 or not y.log):
            parts.append(f"{pen}{x(a):.1f} {y(b):.1f}")
            pen = "L"
        else:
            pen = "M"
    return "".join(parts)


def node(parent: ET.Element, tag: str, text: str | None = None, **attributes: str | float) -> ET.Element:
    """Append an element; `class_` is the attribute class, and underscores become hyphens."""
    named = {
        key.rstrip("_").replace("_", "-"): f"{value:.1f}" if isinstance(value, float) else str(value)
        for key, value in attributes.items()
    }
    child = ET.SubElement(parent, tag, named)
    child.text = text
    return child
