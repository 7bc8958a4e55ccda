"""An explanation in a terminal: colored tokens, bars of columns, a small heat map. No torch.

Orange speaks for the output, blue against it; the largest number is in full color. Where there is no color,
signs and a ramp of characters say the same.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.style import Style
from rich.text import Text

from pellucid.lens.heat import AGAINST, FOR, character, color, hexed, shrunk

if TYPE_CHECKING:
    from pellucid.lens.explain.explanation import Explained, Explanation, Part

WIDEST_MAP = 40
HIGHEST_MAP = 20
SHOWN_COLUMNS = 20
STRONGEST = 8
BAR = 24
CONTINUES = "##"
STARTS = "▁Ġ"


def show(explanation: Explanation, console: Console) -> None:
    """Print an explanation."""
    how = explanation.how
    reason = f", chosen for {explanation.reason}" if explanation.reason else ""
    console.print(f"{how.title[0].upper()}{how.title[1:]} ({how.paper}){reason}.")
    console.print(Text(how.meaning, style="dim"))
    if explanation.baseline:
        console.print(Text(f"Baseline: {explanation.baseline}.", style="dim"))
    for row in explanation.rows:
        console.print()
        _show_row(row, explanation, console)
    for note in explanation.notes:
        console.print(f"note: {note}")


def _show_row(row: Explained, explanation: Explanation, console: Console) -> None:
    called = "  ".join(f"{key} {value}" if key == "row" else str(value) for key, value in row.name.items())
    console.print(f"{called + ': ' if called else ''}{row.prediction}")
    console.print(f"explained: {row.target}, {explanation.unit} {row.output:.5g}")
    largest = max((abs(value) for part in row.parts for value in _flat(part.values)), default=0.0)
    for part in row.parts:
        if part.name:
            console.print(f"{part.name}:")
        _DRAWN[part.kind](part, largest or 1.0, console)
    found = row.completeness
    if found is not None:
        console.print(
            f"The numbers add up to {found.sum:.5g}; output minus output for the baseline is "
            f"{found.difference:.5g}, error {found.error:.2g} ({found.steps} steps)."
        )


def _flat(values: Any) -> list[float]:
    return [leaf for value in values for leaf in _flat(value)] if isinstance(values, list) else [values]


def _style(share: float) -> Style:
    paper = color(share)
    ink = "black" if sum(paper) > 330 else "white"
    return Style(color=ink, bgcolor=hexed(paper))


# ---- texts --------------------------------------------------------------------------------------------


def _show_text(part: Part, largest: float, console: Console) -> None:
    line = Text()
    apart = not any(label[:1] in (*STARTS, " ", "\n") for label in part.labels if label)
    apart = apart and any(len(label) > 1 for label in part.labels)
    for label, value in zip(part.labels, part.values, strict=True):
        if apart and line and not label.startswith(CONTINUES):
            line.append(" ")
        shown = label.removeprefix(CONTINUES)
        for start in STARTS:
            shown = shown.replace(start, " ")
        line.append(shown, _style(value / largest) if round(abs(value / largest), 1) else None)
    console.print(line)
    strongest = [f"{label.strip(STARTS + ' ')} {value:+.3g}" for label, value in part.ranked()[:STRONGEST]]
    console.print(f"strongest: {', '.join(strongest)}")


# ---- columns ------------------------------------------------------------------------------------------


def _show_table(part: Part, largest: float, console: Console) -> None:
    cells = part.cells or [""] * len(part.labels)
    rows = sorted(zip(part.labels, cells, part.values, strict=True), key=lambda row: -abs(row[2]))
    wide, filled = (
        max((len(_cell(row[index])) for row in rows[:SHOWN_COLUMNS]), default=0) for index in (0, 1)
    )
    for label, cell, value in rows[:SHOWN_COLUMNS]:
        line = Text(f"{_cell(label):<{wide}}  {_cell(cell):>{filled}}  {value:>+10.3g}  ")
        length = round(BAR * abs(value) / largest)
        line.append("█" * length, Style(color=hexed(FOR if value > 0 else AGAINST)))
        console.print(line)
    if len(rows) > SHOWN_COLUMNS:
        console.print(f"{len(rows) - SHOWN_COLUMNS} columns with smaller numbers are left out.")


def _cell(value: Any) -> str:
    text = f"{value:.6g}" if isinstance(value, float) else "" if value is None else str(value)
    return text if len(text) <= 30 else text[:29] + "…"


# ---- maps ---------------------------------------------------------------------------------------------


def _show_map(part: Part, largest: float, console: Console) -> None:
    values = part.values
    height, width = len(values), len(values[0]) if values else 0
    if not height or not width:
        return
    rows = min(height, HIGHEST_MAP * 2 if part.kind == "picture" else HIGHEST_MAP)
    columns = min(width, WIDEST_MAP)
    small = shrunk(values, rows, columns)
    if part.kind == "series":
        names = part.labels if rows == height else [""] * rows
        wide = max((len(_cell(name)) for name in names), default=0)
        for name, row in zip(names, small, strict=True):
            line = Text(f"{_cell(name):<{wide}}  ")
            for value in row:
                line.append(_cell_of_map(value / largest, console), _plain_style(value / largest, console))
            console.print(line)
        return
    if console.color_system is None:
        for top in range(0, rows, 2):
            console.print("".join(_cell_of_map(value / largest, console) * 2 for value in small[top]))
        return
    for top in range(0, rows, 2):
        line = Text()
        for column in range(columns):
            upper = color(small[top][column] / largest)
            lower = color(small[top + 1][column] / largest if top + 1 < rows else 0.0)
            line.append("▀", Style(color=hexed(upper), bgcolor=hexed(lower)))
        console.print(line)


def _cell_of_map(share: float, console: Console) -> str:
    return character(share) if console.color_system is None else " "


def _plain_style(share: float, console: Console) -> Style | None:
    return None if console.color_system is None else Style(bgcolor=hexed(color(share)))


_DRAWN = {"text": _show_text, "table": _show_table, "picture": _show_map, "series": _show_map}
