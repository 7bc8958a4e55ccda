"""What it gets wrong: the confusion matrix with the rows behind its cells, and the worst mistakes.

Everything is read from `evaluation/<split>.json` and `evaluation/<split>-examples.parquet`.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from pellucid.record import Run
from pellucid.report import words
from pellucid.report.pictures import Album
from pellucid.report.scales import readable_on, viridis

MATRIX = 20
"""A matrix of more classes than this would not be readable; the most confused ones are shown."""
WORST, PAIRS = 24, 200


@dataclass(frozen=True)
class Example:
    """One row of data: its picture or its text, what it is and what was said of it."""

    row: int
    target: str
    prediction: str
    confidence: str
    right: bool
    picture: str | None = None
    text: str = ""
    error: str = ""


@dataclass(frozen=True)
class Cell:
    """One cell of the matrix; `panel` is the id of the panel that holds its rows, or ""."""

    count: int
    label: str
    fill: str = ""
    ink: str = ""
    panel: str = ""
    right: bool = False


@dataclass(frozen=True)
class Panel:
    """The rows behind one cell."""

    id: str
    title: str
    examples: tuple[Example, ...]
    count: int


@dataclass(frozen=True)
class Pair:
    """One kind of mistake: how often `target` was taken for `prediction`."""

    target: str
    prediction: str
    count: int
    share: str
    panel: str


@dataclass(frozen=True)
class Confusion:
    """The matrix, the panels behind it, and its twin: every kind of mistake, most frequent first."""

    classes: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    panels: tuple[Panel, ...]
    pairs: tuple[Pair, ...]
    pairs_left_out: int
    hidden_classes: int


@dataclass(frozen=True)
class Evaluation:
    """One evaluated split, as it is on disk."""

    split: str
    facts: Mapping[str, Any]
    examples: Sequence[Mapping[str, Any]]

    @property
    def rows(self) -> int:
        return int(self.facts.get("rows") or 0)

    @property
    def classes(self) -> tuple[str, ...]:
        return tuple(str(name) for name in self.facts.get("classes") or ())


def evaluation(run: Run) -> Evaluation | None:
    """Read the test split's evaluation, or the validation split's where there is no test split."""
    for split in ("test", "validation"):
        path = run.path / "evaluation" / f"{split}.json"
        try:
            facts = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            continue
        return Evaluation(split, facts, _rows(path.with_name(f"{split}-examples.parquet")))
    return None


def _rows(path: Path) -> list[dict[str, Any]]:
    try:
        return pq.read_table(path).to_pylist()
    except (OSError, pa.ArrowInvalid):
        return []


def confusion(found: Evaluation, album: Album) -> Confusion | None:
    """Build the matrix with its panels; None where the task has none."""
    counts = found.facts.get("confusion")
    if not counts:
        return None
    shown = _most_confused(counts)
    behind = _by_cell(found, album)
    pairs = _pairs(found, counts, behind)
    return Confusion(
        classes=tuple(found.classes[i] for i in shown),
        rows=tuple(tuple(_cell(found, counts, i, j, behind) for j in shown) for i in shown),
        panels=tuple(_panel(found, counts, cell, rows) for cell, rows in behind.items()),
        pairs=tuple(pairs[:PAIRS]),
        pairs_left_out=max(0, len(pairs) - PAIRS),
        hidden_classes=len(counts) - len(shown),
    )


def worst(found: Evaluation, album: Album) -> tuple[Example, ...]:
    """The rows with the largest loss: wrong classes, or the largest errors of a regression."""
    wrong = [row for row in found.examples if not _is_class_hit(found, row)]
    wrong.sort(key=lambda row: -_finite(row.get("loss")))
    return tuple(_example(found, row, album) for row in wrong[:WORST])


# ---- the matrix --------------------------------------------------------------------------------------

Behind = dict[tuple[int, int], tuple[Example, ...]]


def _most_confused(counts: Sequence[Sequence[int]]) -> list[int]:
    """The classes to show: all, or the `MATRIX` that take part in the most mistakes."""
    size = len(counts)
    if size <= MATRIX:
        return list(range(size))
    mistakes = [sum(counts[i]) + sum(row[i] for row in counts) - 2 * counts[i][i] for i in range(size)]
    return sorted(sorted(range(size), key=lambda i: -mistakes[i])[:MATRIX])


def _by_cell(found: Evaluation, album: Album) -> Behind:
    """Group examples by cell, mistakes first, so that they are the ones that fit on the page."""
    groups: dict[tuple[int, int], list[Mapping[str, Any]]] = {}
    for row in found.examples:
        groups.setdefault((int(row["target"]), int(row["prediction"])), []).append(row)
    ordered = sorted(groups, key=lambda cell: (cell[0] == cell[1], cell))
    return {cell: tuple(_example(found, row, album) for row in groups[cell]) for cell in ordered}


def _cell(found: Evaluation, counts: Sequence[Sequence[int]], i: int, j: int, behind: Behind) -> Cell:
    count, total = counts[i][j], sum(counts[i])
    of = f"{words.count(count)} of {words.count(total)} rows of {found.classes[i]}"
    says = f"{of} {'recognized' if i == j else f'taken for {found.classes[j]}'}"
    if not count:
        return Cell(0, says, right=i == j)
    color = viridis(math.sqrt(count / total))
    fill = f"rgb({color[0]} {color[1]} {color[2]})"
    panel = _panel_id((i, j)) if (i, j) in behind else ""
    return Cell(count, says, fill, readable_on(color), panel, right=i == j)


def _panel_id(cell: tuple[int, int]) -> str:
    return f"cell-{cell[0]}-{cell[1]}"


def _panel(
    found: Evaluation, counts: Sequence[Sequence[int]], cell: tuple[int, int], rows: tuple[Example, ...]
) -> Panel:
    target, prediction = found.classes[cell[0]], found.classes[cell[1]]
    title = f"{target}, recognized" if cell[0] == cell[1] else f"{target}, taken for {prediction}"
    return Panel(_panel_id(cell), title, rows, counts[cell[0]][cell[1]])


def _pairs(found: Evaluation, counts: Sequence[Sequence[int]], behind: Behind) -> list[Pair]:
    wrong = [(count, i, j) for i, row in enumerate(counts) for j, count in enumerate(row) if count and i != j]
    wrong.sort(key=lambda entry: (-entry[0], entry[1:]))
    return [
        Pair(
            found.classes[i],
            found.classes[j],
            count,
            words.percent(count / sum(counts[i])),
            _panel_id((i, j)) if (i, j) in behind else "",
        )
        for count, i, j in wrong
    ]


# ---- examples ----------------------------------------------------------------------------------------


def _example(found: Evaluation, row: Mapping[str, Any], album: Album) -> Example:
    target, prediction = row["target"], row["prediction"]
    numeric = "confusion" not in found.facts and "scatter" in found.facts
    return Example(
        row=int(row["row"]),
        target=_name(found, target),
        prediction=_name(found, prediction),
        confidence=words.percent(row.get("confidence")),
        right=_is_class_hit(found, row),
        picture=album.add(row.get("image")),
        text=str(row.get("text") or ""),
        error=words.signed(prediction - target) if numeric else words.number(row.get("loss")),
    )


def _is_class_hit(found: Evaluation, row: Mapping[str, Any]) -> bool:
    return "confusion" in found.facts and row["target"] == row["prediction"]


def _name(found: Evaluation, value: Any) -> str:
    """A class by its name where there is one, a number otherwise."""
    if "confusion" in found.facts and isinstance(value, int) and 0 <= value < len(found.classes):
        return found.classes[value]
    return words.plain(value) if isinstance(value, (int, float)) else str(value)


def _finite(value: float | None) -> float:
    return value if value is not None and math.isfinite(value) else -math.inf
