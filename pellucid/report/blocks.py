"""What a run has to show beyond its numbers: pictures, films, texts, maps and charts, one block each.

Blocks are the plain facts under "blocks" in `evaluation/<split>.json`, drawn in their order, and after them
those of `evaluation/training.json`, written while it trained; its charts belong to the learning curves. Every
block has `kind`, `title` and `caption` (what one sees, in a sentence), and by kind

    picture  file, alt (optional)                         a PNG in the run folder
    film     frames: [{label, file}]                      the same picture over training
    texts    rows: [{text, note, label (optional)}]
    tokens   rows: [{tokens, weights, label, note}]       signed weights, one for each token
    heatmap  rows, columns (names), values                (rows, columns)
    scatter  x_label, y_label, groups: [{name, points}]
    lines    x_label, y_label, series: [{name, x, y, low and high (optional)}],
             x_log (optional), share (optional)           y are shares of 1, written in percent
    table    columns, rows                                a cell is a value, or {text, link or number: true};
                                                          a link is a path from the run folder

A block that is damaged, or of a kind not known here, is left out and said to be.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from PIL import Image

from pellucid.record import Run
from pellucid.report import study_blocks
from pellucid.report.chart_blocks import lines, number, scatter, table
from pellucid.report.charts import Chart
from pellucid.report.heat_blocks import heatmap, tokens
from pellucid.report.mistakes import Evaluation
from pellucid.report.pictures import Picture, picture

BUDGET = 4_000_000
"""Characters of pictures on a page; what no longer fits is left out and said to be."""
ROOM, BESIDE, NARROW, HALF = (720, 560), (288, 288), (356, 480), 424
"""Pixels (width, height) a picture may fill: alone, beside others and on a phone; and half the page."""
LARGEST_SCALE, FLAT = 8, 2
"""Times a picture is made larger at most; and how much wider than high it is to be shown under its like."""
FRAMES, TEXTS, LETTERS = 24, 48, 4000


@dataclass(frozen=True)
class Block:
    """One thing to show; `body` is what its kind draws, `half` whether two of its like fit in a row."""

    kind: str
    title: str
    caption: str
    body: Any
    half: bool = False


@dataclass(frozen=True)
class Blocks:
    """The section: its title, its blocks, and a sentence for each that could not be drawn.

    `by_epoch` are the charts of what was seen while it trained.
    """

    title: str
    blocks: tuple[Block, ...]
    left_out: tuple[str, ...]
    by_epoch: tuple[Chart, ...]

    def __bool__(self) -> bool:
        return bool(self.blocks or self.left_out)


@dataclass(frozen=True)
class Shown:
    """A picture, and its width in pixels: alone, beside others, on a phone; 0 if it is large."""

    uri: str
    alt: str
    label: str
    wide: int
    beside: int
    narrow: int
    flat: bool


@dataclass(frozen=True)
class Quote:
    """One text."""

    text: str
    note: str
    label: str


def blocks(run: Run, found: Evaluation | None) -> Blocks:
    """Prepare what an evaluated split and the training itself have to show."""
    shelf = _Shelf(run.path)
    left_out: list[str] = []
    of_study = "parts" in run.facts
    given = study_blocks.blocks(run.facts) if of_study else found.facts.get("blocks") if found else None
    drawn = _drawn(given, shelf, left_out)
    seen = _drawn(_while_training(run), shelf, left_out)
    return Blocks(
        title="Run by run" if of_study else run.spec.section,
        blocks=(*drawn, *(block for block in seen if block.kind != "lines")),
        left_out=tuple(left_out),
        by_epoch=tuple(replace(b.body.chart, note=b.caption) for b in seen if b.kind == "lines"),
    )


def _while_training(run: Run) -> Any:
    path = run.path / "evaluation" / "training.json"
    try:
        return json.loads(path.read_text(encoding="utf-8")).get("blocks")
    except (OSError, ValueError, AttributeError):
        return None


def _drawn(facts: Any, shelf: _Shelf, left_out: list[str]) -> list[Block]:
    """Prepare blocks; a sentence on each that is damaged goes to `left_out`."""
    drawn = []
    for entry in facts if isinstance(facts, list) else ():
        try:
            drawn.append(_block(entry, shelf))
        except (KeyError, TypeError, ValueError, AttributeError, OSError, OverflowError) as error:
            title = entry.get("title") if isinstance(entry, Mapping) else None
            missing = isinstance(error, KeyError)
            why = f"it has no {error.args[0]!r}" if missing else str(error) or type(error).__name__
            left_out.append(f"{f'“{title}”' if title else 'A block'} could not be drawn: {why}.")
    return drawn


def _block(facts: Mapping[str, Any], shelf: _Shelf) -> Block:
    """Prepare one block.

    Raises:
        KeyError, TypeError, ValueError, AttributeError, OSError, OverflowError: it is damaged.
    """
    kind = str(facts["kind"])
    if kind not in _KINDS:
        raise ValueError(f"blocks of kind {kind!r} are not known")
    body = _KINDS[kind](facts, shelf)
    half = kind in ("lines", "scatter") or (isinstance(body, Shown) and 0 < body.wide <= HALF)
    return Block(kind, str(facts["title"]), str(facts.get("caption") or ""), body, half)


class _Shelf:
    """The pictures of a run folder, until the page holds enough of them."""

    def __init__(self, folder: Path):
        self._folder = folder.resolve()
        self._left = BUDGET

    def times(self, files: list[Any]) -> int:
        """How many times the room that is left these pictures would fill, rounded up; at least 1."""
        paths = [self._folder / str(file) for file in files]
        size = sum(path.stat().st_size for path in paths if path.is_file()) * 4 / 3  # as base64
        return max(1, math.ceil(size / max(self._left, 1)))

    def take(self, file: Any) -> Picture:
        """Read a picture by its path within the run folder.

        Raises:
            ValueError: it is elsewhere, missing, damaged, or no longer fits.
        """
        path = (self._folder / str(file)).resolve()
        if not path.is_relative_to(self._folder):
            raise ValueError(f"{file} is not in the run folder")
        try:
            found = picture(path.read_bytes())
        except FileNotFoundError:
            raise ValueError(f"{file} is missing") from None
        except (OSError, ValueError, Image.DecompressionBombError):
            raise ValueError(f"{file} is not a picture that can be read") from None
        if len(found.uri) > self._left:
            raise ValueError("the page holds as many pictures as it can")
        self._left -= len(found.uri)
        return found


# ---- pictures and texts ------------------------------------------------------------------------------


def _picture(facts: Mapping[str, Any], shelf: _Shelf) -> Shown:
    alt = str(facts.get("alt") or f"{facts['title']}. {facts.get('caption') or ''}".strip())
    return _shown(shelf.take(facts["file"]), alt)


def _film(facts: Mapping[str, Any], shelf: _Shelf) -> tuple[Shown, ...]:
    frames = facts["frames"]
    if not frames:
        raise ValueError("it has no frames")
    step = max(-(-len(frames) // FRAMES), shelf.times([frame["file"] for frame in frames]))
    chosen = frames[::-1][::step][::-1]  # the last frame is always among them
    return tuple(
        _shown(shelf.take(frame["file"]), f"{facts['title']}, {frame['label']}", str(frame["label"]))
        for frame in chosen
    )


def _shown(found: Picture, alt: str, label: str = "") -> Shown:
    wide, beside, narrow = (
        found.width * min(found.scale(*room), LARGEST_SCALE) for room in (ROOM, BESIDE, NARROW)
    )
    return Shown(found.uri, alt, label, wide, beside, narrow, flat=found.width > FLAT * found.height)


def _texts(facts: Mapping[str, Any], shelf: _Shelf) -> tuple[Quote, ...]:
    def cut(value: Any) -> str:
        text = str(value or "")
        return text if len(text) <= LETTERS else f"{text[:LETTERS]} …"

    return tuple(
        Quote(cut(r["text"]), cut(r.get("note")), cut(r.get("label"))) for r in facts["rows"][:TEXTS]
    )


# ---- marked words and cells ----------------------------------------------------------------------------


def _tokens(facts: Mapping[str, Any], shelf: _Shelf) -> Any:
    return tokens(
        [(r["tokens"], list(map(number, r["weights"])), r.get("label"), r.get("note")) for r in facts["rows"]]
    )


def _heatmap(facts: Mapping[str, Any], shelf: _Shelf) -> Any:
    values = [[number(value) for value in row] for row in facts["values"]]
    return heatmap([str(name) for name in facts["rows"]], [str(name) for name in facts["columns"]], values)


_KINDS: dict[str, Callable[[Mapping[str, Any], _Shelf], Any]] = {
    "picture": _picture,
    "film": _film,
    "texts": _texts,
    "tokens": _tokens,
    "heatmap": _heatmap,
    "scatter": lambda facts, _: scatter(facts),
    "lines": lambda facts, _: lines(facts),
    "table": lambda facts, _: table(facts),
}
