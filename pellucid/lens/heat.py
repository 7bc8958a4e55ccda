"""Maps of numbers in a terminal: half blocks in color, or a ramp of characters where there is none. No torch.

Signed maps go from blue over the background to orange, magnitudes along viridis, pictures from black to
white.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from rich.console import Console
from rich.style import Style
from rich.text import Text

FOR = (230, 159, 0)
AGAINST = (0, 114, 178)
PAPER = (16, 19, 23)
"""Zero, on a dark terminal."""
VIRIDIS = ((68, 1, 84), (59, 82, 139), (33, 145, 140), (94, 201, 98), (253, 231, 37))
"""Five colors of viridis, from none to the most."""
RAMP = " .:-=+*#%@"
WIDEST = 80
HIGHEST = 40
LABEL = 16
"""Most characters of the label of a row."""

Color = tuple[int, int, int]


def draw(
    values: Sequence[Sequence[float]],
    console: Console,
    *,
    scale: str = "signed",
    labels: Sequence[str] = (),
    square: bool = True,
) -> None:
    """Print a map (H, W); larger ones are averaged down to what fits.

    Args:
        values: numbers; NaN is left blank.
        console: where.
        scale: "signed", "magnitude" or "picture".
        labels: one for each row, or none.
        square: whether cells are pixels: two rows are then one line.
    """
    height, width = len(values), len(values[0]) if values else 0
    if not height or not width:
        return
    across = min(width, WIDEST, max(console.width - (LABEL + 2 if labels else 0), 8))
    down = min(height, HIGHEST)
    if square and (across < width or down < height):  # the same factor for both
        factor = min(across / width, down / height)
        down, across = max(1, round(height * factor)), max(1, round(width * factor))
    shares = _shares(shrunk(values, down, across), scale)
    names = list(labels) if len(labels) == down else []
    if square and not names:
        _draw_pixels(shares, scale, console)
    else:
        _draw_rows(shares, names, scale, console)


def _draw_pixels(shares: list[list[float]], scale: str, console: Console) -> None:
    if console.color_system is None and len(shares) <= HIGHEST // 2 and 2 * len(shares[0]) <= console.width:
        for row in shares:  # two characters are as wide as a line is high
            console.print("".join(2 * character(share) for share in row))
        return
    for top in range(0, len(shares), 2):
        upper = shares[top]
        lower = shares[top + 1] if top + 1 < len(shares) else [math.nan] * len(upper)
        if console.color_system is None:
            pairs = zip(upper, lower, strict=True)
            console.print("".join(character(_either(a, b)) for a, b in pairs))
            continue
        line = Text()
        for a, b in zip(upper, lower, strict=True):
            line.append("▀", Style(color=hexed(color(a, scale)), bgcolor=hexed(color(b, scale))))
        console.print(line)


def _draw_rows(shares: list[list[float]], names: Sequence[str], scale: str, console: Console) -> None:
    wide = min(max((len(name) for name in names), default=0), LABEL)
    for place, row in enumerate(shares):
        name = names[place][:LABEL].replace("\n", "⏎") if names else ""
        line = Text(f"{name:<{wide}}  " if names else "")
        for share in row:
            if console.color_system is None:
                line.append(character(share))
            else:
                line.append(" ", Style(bgcolor=hexed(color(share, scale))))
        console.print(line)


def _either(one: float, other: float) -> float:
    known = [share for share in (one, other) if not math.isnan(share)]
    return math.fsum(known) / len(known) if known else math.nan


def _shares(values: list[list[float]], scale: str) -> list[list[float]]:
    known = [value for row in values for value in row if math.isfinite(value)]
    low = min(known, default=0.0) if scale == "picture" else 0.0
    size = max((abs(value - low) for value in known), default=0.0) or 1.0
    return [[(value - low) / size if math.isfinite(value) else math.nan for value in row] for row in values]


def character(share: float) -> str:
    """Return a character for a share, -1..1; a blank for NaN."""
    if math.isnan(share):
        return " "
    return RAMP[min(len(RAMP) - 1, round(abs(share) * (len(RAMP) - 1)))]


def color(share: float, scale: str = "signed") -> Color:
    """Return the color of a share, -1..1; that of nothing for NaN."""
    if math.isnan(share):
        return PAPER
    size = min(abs(share), 1.0)
    if scale == "picture":
        gray = round(255 * size)
        return gray, gray, gray
    if scale == "magnitude":
        place = size * (len(VIRIDIS) - 1)
        index = min(int(place), len(VIRIDIS) - 2)
        return _between(VIRIDIS[index], VIRIDIS[index + 1], place - index)
    return _between(PAPER, FOR if share > 0 else AGAINST, size)


def _between(one: Color, other: Color, share: float) -> Color:
    red, green, blue = (round(a + (b - a) * share) for a, b in zip(one, other, strict=True))
    return red, green, blue


def hexed(color: Color) -> str:
    """Return a color as rich writes it."""
    return "#{:02x}{:02x}{:02x}".format(*color)


def shrunk(values: Sequence[Sequence[float]], rows: int, columns: int) -> list[list[float]]:
    """Average blocks of a map, down to this number of rows and columns; NaN is not counted."""
    height, width = len(values), len(values[0])

    def mean(row: int, column: int) -> float:
        ys = range(row * height // rows, max(row * height // rows + 1, (row + 1) * height // rows))
        xs = range(
            column * width // columns, max(column * width // columns + 1, (column + 1) * width // columns)
        )
        block = [values[y][x] for y in ys for x in xs if not math.isnan(values[y][x])]
        return math.fsum(block) / len(block) if block else math.nan

    return [[mean(row, column) for column in range(columns)] for row in range(rows)]
