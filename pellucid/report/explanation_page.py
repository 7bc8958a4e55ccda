"""The page of an explanation: one HTML file, made from the plain data of `Explanation.to_dict()`."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from markupsafe import Markup
from PIL import Image

from pellucid.record import files
from pellucid.report import page, scales, words
from pellucid.report.block import Shelf
from pellucid.report.blocks import Block
from pellucid.report.pictures import FittedPicture, fitted, picture
from pellucid.report.views import VIEWS

GRAY = 0.55
"""How much of the picture is seen below its explanation."""


@dataclass(frozen=True)
class PageRow:
    """One explained row: what is said above its blocks, and the blocks."""

    title: str
    says: str
    adds_up: str
    blocks: tuple[Block, ...]


def write(facts: Mapping[str, Any], to: str | Path) -> Path:
    """Write the page, whole or not at all, and return its path.

    Raises:
        StorageError: it cannot be written.
    """
    path = Path(to)
    files.write(path, html(facts), "`--out FILE` in a folder you may write")
    return path


def html(facts: Mapping[str, Any]) -> str:
    """Return the page of an explanation.

    Args:
        facts: what `Explanation.to_dict()` returned, read from JSON or not.
    """
    rows = [_row(row, facts) for row in facts["rows"]]
    kinds = {block.kind for row in rows for block in row.blocks}
    own = [VIEWS[kind].style for kind in sorted(kinds) if VIEWS[kind].style]
    sheet = (page.HERE / "style.css").read_text(encoding="utf-8")
    made = page.templates().get_template("explanation.html")
    style = "\n".join([sheet, scales.palette(), *own])
    return made.render(facts=facts, about=facts["about"], rows=rows, style=Markup(style)).lstrip()


def _row(row: Mapping[str, Any], facts: Mapping[str, Any]) -> PageRow:
    blocks = tuple(block for part in row["parts"] for block in _blocks(part, facts))
    name = ", ".join(f"{key} {value}" if key == "row" else str(value) for key, value in row["name"].items())
    found = row["completeness"]
    adds_up = (
        f"The numbers add up to {words.number(found['sum'])}; the output minus the output for the baseline "
        f"is {words.number(found['difference'])}. The error is {found['error']:.2g} after "
        f"{found['steps']} steps."
        if found
        else ""
    )
    says = f"explained: {row['target']}, {facts['unit']} {words.number(row['output'])}"
    return PageRow(": ".join(filter(None, (name, row["prediction"]))), says, adds_up, blocks)


def _blocks(part: Mapping[str, Any], facts: Mapping[str, Any]) -> list[Block]:
    made = _BLOCKS[part["kind"]](part, part["name"] or _TITLES[part["kind"]], facts["about"])
    return made if isinstance(made, list) else [made]


_TITLES = {"text": "Tokens", "table": "Columns", "series": "Steps", "picture": "Picture"}


def _drawn(kind: str, title: str, caption: str, **facts: Any) -> Block:
    view = VIEWS[kind]
    return Block(kind, title, caption, view.prepare({"title": title, **facts}, Shelf(Path())))


def _text(part: Mapping[str, Any], title: str, about: Mapping[str, Any]) -> Block:
    rows = [{"tokens": part["labels"], "weights": part["values"]}]
    return _drawn("tokens", title, about["meaning"], rows=rows)


def _table(part: Mapping[str, Any], title: str, about: Mapping[str, Any]) -> Block:
    cells = part["cells"] or [None] * len(part["labels"])
    rows = [list(row) for row in zip(part["labels"], cells, part["values"], strict=True)]
    return _drawn(
        "contributions", title, about["meaning"], columns=["column", "value", about["title"]], rows=rows
    )


def _series(part: Mapping[str, Any], title: str, about: Mapping[str, Any]) -> Block:
    values = part["values"]
    labels = part["labels"] or [str(place) for place in range(len(values))]
    steps = len(values[0])
    width = -(-steps // 64)  # a map draws 64 columns; more steps are averaged
    starts = range(0, steps, width)
    means = [[float(np.mean(row[start : start + width])) for start in starts] for row in values]
    names = [str(start + 1) for start in starts]
    return _drawn("heatmap", title, about["meaning"], rows=labels, columns=names, values=means)


def _picture(part: Mapping[str, Any], title: str, about: Mapping[str, Any]) -> list[Block]:
    values = np.asarray(part["values"], float)
    height, width = values.shape
    pixels = _pixels(part["image"], (width, height))
    heat = _heat(values, np.full((*values.shape, 3), 255.0))
    over = _heat(values, 255 - GRAY * (255 - pixels.mean(2, keepdims=True).repeat(3, axis=2)))
    what = "Orange: for it. Blue: against it." if values.min() < 0 else "The darker the orange, the more."
    shown = (
        ("The picture", "As the model reads it.", pixels),
        (
            "The explanation",
            f"{about['meaning']} {what} Full color is {np.abs(values).max():.3g}.",
            heat,
        ),
        ("Both", "The explanation over the picture.", over),
    )
    prefix = f"{title}: " if part["name"] else ""
    return [
        Block("picture", f"{prefix}{name}", caption, _fitted(array, name), half=True)
        for name, caption, array in shown
    ]


def _pixels(uri: str, size: tuple[int, int]) -> np.ndarray:
    with Image.open(io.BytesIO(base64.b64decode(uri.partition(",")[2]))) as image:
        return np.asarray(image.convert("RGB").resize(size), float)


def _heat(values: np.ndarray, paper: np.ndarray) -> np.ndarray:
    """Mix the colors of signed values (H, W) into a background (H, W, 3)."""
    share = values / (np.abs(values).max() or 1.0)
    ends = np.where((share > 0)[..., None], scales.POSITIVE, scales.NEGATIVE)
    return paper + (ends - paper) * np.abs(share)[..., None]


def _fitted(array: np.ndarray, alt: str) -> FittedPicture:
    buffer = io.BytesIO()
    Image.fromarray(array.round().clip(0, 255).astype(np.uint8)).save(buffer, "PNG")
    data = buffer.getvalue()
    return fitted(picture(data), alt)


_BLOCKS = {"text": _text, "table": _table, "series": _series, "picture": _picture}
