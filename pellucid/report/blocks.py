"""What a run has to show beyond its numbers: pictures, texts, tables, maps and charts, one block each.

Blocks are the facts under "blocks" in `evaluation/<split>.json`, drawn in their order by `report.views`, and
after them those of `evaluation/training.json`, written during training; its charts join the learning curves.
Every block has `kind`, `title` and `caption` (what one sees, in a sentence); the module of its kind lists
what else it has. A block that is damaged, or of an unknown kind, is left out, and the page says so.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from pellucid.record import Run
from pellucid.report import study_blocks
from pellucid.report.block import Section, Shelf
from pellucid.report.charts import Chart
from pellucid.report.split_results import Evaluation, blocks_of, training_blocks
from pellucid.report.views import MISSING, VIEWS


@dataclass(frozen=True)
class Block:
    """One thing to show.

    Attributes:
        kind: of the view that draws it.
        title, caption: from its facts.
        body: what the view prepared.
        half: whether two such blocks fit in a row.
        section: where it stands; None: the task's own section.
    """

    kind: str
    title: str
    caption: str
    body: Any
    half: bool = False
    section: Section | None = None


@dataclass(frozen=True)
class Blocks:
    """All blocks of a run.

    Attributes:
        title: of the task's own section.
        blocks: in order.
        left_out: a sentence for each block that could not be drawn.
        by_epoch: charts of what was seen during training.
        images_left_out, images_unreadable: single rows whose images did not fit, or could not be decoded.
    """

    title: str
    blocks: tuple[Block, ...]
    left_out: tuple[str, ...]
    by_epoch: tuple[Chart, ...]
    images_left_out: int = 0
    images_unreadable: int = 0


def blocks(run: Run, found: Evaluation | None) -> Blocks:
    """Prepare what an evaluated split and the training itself have to show."""
    shelf = Shelf(run.path, found.split if found else "")
    left_out: list[str] = []
    of_study = "parts" in run.facts
    facts = study_blocks.blocks(run.facts) if of_study else blocks_of(run, found)
    drawn = _drawn(facts, shelf, left_out)
    seen = _drawn(training_blocks(run), shelf, left_out)
    return Blocks(
        title="Runs" if of_study else run.spec.section,
        blocks=(*drawn, *(block for block in seen if block.kind != "lines")),
        left_out=tuple(left_out),
        by_epoch=tuple(replace(b.body.chart, note=b.caption) for b in seen if b.kind == "lines"),
        images_left_out=shelf.album.left_out,
        images_unreadable=shelf.album.unreadable,
    )


def _drawn(facts: list[Any], shelf: Shelf, left_out: list[str]) -> list[Block]:
    """Prepare blocks; a sentence on each that is damaged goes to `left_out`."""
    drawn: dict[int, Block] = {}
    for index in sorted(range(len(facts)), key=lambda index: not _goes_first(facts[index])):
        entry = facts[index]
        try:
            drawn[index] = _block(entry, shelf)
        except Exception as error:
            title = entry.get("title") if isinstance(entry, Mapping) else None
            missing = isinstance(error, KeyError)
            why = f"it has no {error.args[0]!r}" if missing else str(error) or type(error).__name__
            left_out.append(f"{f'“{title}”' if title else 'A block'} could not be drawn: {why}.")
    return [drawn[index] for index in sorted(drawn)]


def _goes_first(entry: Any) -> bool:
    view = VIEWS.get(str(entry.get("kind"))) if isinstance(entry, Mapping) else None
    return view is not None and view.first


def _block(facts: Mapping[str, Any], shelf: Shelf) -> Block:
    """Prepare one block.

    Raises:
        KeyError, TypeError, ValueError, AttributeError, OSError, OverflowError: it is damaged.
    """
    kind = str(facts["kind"])
    if kind not in VIEWS:
        reason = MISSING.get(str(kind)) or f"known are {', '.join(VIEWS)}"
        raise ValueError(f"blocks of kind {kind!r} are not known; {reason}")
    view, title = VIEWS[kind], str(facts["title"])
    body = view.prepare(facts, shelf)
    return Block(view.kind, title, str(facts.get("caption") or ""), body, view.half(body), view.section)
