"""A view in a terminal: a sentence, then its maps and tables."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from pellucid.lens.heat import draw
from pellucid.lens.views.seen import Panel, Rows, Seen
from pellucid.terminal import printed

WIDTH = 110
LONGEST = 24
"""Rows of a table that are printed."""


def show(seen: Seen, console: Console) -> None:
    """Print a view."""
    console.print(f"{seen.headline}.")
    for panel in seen.panels():
        console.print()
        console.print(Text(panel.title, style="dim"))
        if isinstance(panel, Rows):
            _table(panel, console)
        else:
            _map(panel, console)


def as_text(seen: Seen, width: int = WIDTH) -> str:
    """Return a view as plain text."""
    return printed(lambda console: show(seen, console), width)


def _map(panel: Panel, console: Console) -> None:
    draw(panel.values.tolist(), console, scale=panel.scale, labels=panel.rows, square=panel.square)


def _table(rows: Rows, console: Console) -> None:
    made = Table(box=None, pad_edge=False, header_style="bold")
    for place, column in enumerate(rows.columns):
        numbers = all(isinstance(cells[place], (int, float)) or cells[place] == "" for cells in rows.cells)
        made.add_column(column, justify="right" if numbers else "left", no_wrap=place == 0)
    for cells in rows.cells[:LONGEST]:
        made.add_row(*map(_cell, cells))
    console.print(made)
    if len(rows.cells) > LONGEST:
        console.print(f"{len(rows.cells) - LONGEST} more rows; --json has all.")


def _cell(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
