"""A confusion matrix with the rows behind its cells.

{"kind": "confusion", "classes": [names], "counts": [[rows of class i predicted as j]],
 "examples": path of a Parquet file in the run folder (optional)}
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pellucid.report import words
from pellucid.report.block import Section, Shelf, View
from pellucid.report.example_rows import Example, example
from pellucid.report.scales import readable_on, viridis

SECTION = Section("mistakes", "Mistakes", "Mistakes on the {split} split")
MATRIX = 20
"""A matrix of more classes would not be readable; the most confused ones are shown."""
PAIRS = 200


@dataclass(frozen=True)
class ConfusionCell:
    """One cell of the matrix; `panel` is the id of the panel that holds its rows, or ""."""

    count: int
    label: str
    fill: str = ""
    ink: str = ""
    panel: str = ""
    right: bool = False


@dataclass(frozen=True)
class Panel:
    """The rows of one cell."""

    id: str
    title: str
    examples: tuple[Example, ...]
    count: int


@dataclass(frozen=True)
class Pair:
    """One kind of mistake: how often `target` was predicted as `prediction`."""

    target: str
    prediction: str
    count: int
    share: str
    panel: str


@dataclass(frozen=True)
class Confusion:
    """The matrix, its panels, and the same as a list: every kind of mistake, most frequent first."""

    classes: tuple[str, ...]
    rows: tuple[tuple[ConfusionCell, ...], ...]
    panels: tuple[Panel, ...]
    pairs: tuple[Pair, ...]
    pairs_left_out: int
    hidden_classes: int


Counts = Sequence[Sequence[int]]
Behind = dict[tuple[int, int], tuple[Example, ...]]
"""The rows of each cell."""


def prepare(facts: Mapping[str, Any], shelf: Shelf) -> Confusion:
    """Build the matrix with its panels."""
    counts, classes = facts["counts"], [str(name) for name in facts["classes"]]
    if len(counts) != len(classes) or any(len(row) != len(classes) for row in counts):
        raise ValueError(f"its counts are not {len(classes)} rows of {len(classes)}")
    drawn = _most_confused(counts)
    behind = _by_cell(shelf.rows(facts.get("examples")), classes, shelf)
    pairs = _pairs(classes, counts, behind)
    return Confusion(
        classes=tuple(classes[i] for i in drawn),
        rows=tuple(tuple(_cell(classes, counts, i, j, behind) for j in drawn) for i in drawn),
        panels=tuple(_panel(classes, counts, cell, rows) for cell, rows in behind.items()),
        pairs=tuple(pairs[:PAIRS]),
        pairs_left_out=max(0, len(pairs) - PAIRS),
        hidden_classes=len(counts) - len(drawn),
    )


def _most_confused(counts: Counts) -> list[int]:
    """The classes to show: all, or the `MATRIX` that take part in the most mistakes."""
    size = len(counts)
    if size <= MATRIX:
        return list(range(size))
    mistakes = [sum(counts[i]) + sum(row[i] for row in counts) - 2 * counts[i][i] for i in range(size)]
    return sorted(sorted(range(size), key=lambda i: -mistakes[i])[:MATRIX])


def _by_cell(rows: Sequence[Mapping[str, Any]], classes: Sequence[str], shelf: Shelf) -> Behind:
    """Group examples by cell, mistakes first, so that they are the ones that fit on the page."""
    groups: dict[tuple[int, int], list[Mapping[str, Any]]] = {}
    for row in rows:
        groups.setdefault((int(row["target"]), int(row["prediction"])), []).append(row)
    ordered = sorted(groups, key=lambda cell: (cell[0] == cell[1], cell))
    return {cell: tuple(example(row, shelf.album, classes) for row in groups[cell]) for cell in ordered}


def _cell(classes: Sequence[str], counts: Counts, i: int, j: int, behind: Behind) -> ConfusionCell:
    count, total = counts[i][j], sum(counts[i])
    of = f"{words.count(count)} of {words.count(total)} rows of {classes[i]}"
    label = f"{of} {'correct' if i == j else f'predicted as {classes[j]}'}"
    if not count:
        return ConfusionCell(0, label, right=i == j)
    color = viridis(math.sqrt(count / total))
    fill = f"rgb({color[0]} {color[1]} {color[2]})"
    return ConfusionCell(count, label, fill, readable_on(color), _panel_id((i, j), behind), right=i == j)


def _panel_id(cell: tuple[int, int], behind: Behind) -> str:
    return f"cell-{cell[0]}-{cell[1]}" if cell in behind else ""


def _panel(classes: Sequence[str], counts: Counts, cell: tuple[int, int], rows: tuple[Example, ...]) -> Panel:
    target, prediction = classes[cell[0]], classes[cell[1]]
    title = f"{target}, correct" if cell[0] == cell[1] else f"{target}, predicted as {prediction}"
    return Panel(_panel_id(cell, {cell: rows}), title, rows, counts[cell[0]][cell[1]])


def _pairs(classes: Sequence[str], counts: Counts, behind: Behind) -> list[Pair]:
    wrong = [(count, i, j) for i, row in enumerate(counts) for j, count in enumerate(row) if count and i != j]
    wrong.sort(key=lambda entry: (-entry[0], entry[1:]))
    return [
        Pair(classes[i], classes[j], count, words.percent(count / sum(counts[i])), _panel_id((i, j), behind))
        for count, i, j in wrong
    ]


VIEW = View("confusion", prepare, section=SECTION)
