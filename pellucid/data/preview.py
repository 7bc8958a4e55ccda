"""One row as a user can look at it: a small picture, or a line of text."""

from __future__ import annotations

import io

import pyarrow as pa

from pellucid.data import kinds
from pellucid.data.dataset import Column, Dataset

LARGEST_SIDE = 96
LONGEST_TEXT = 400


def picture(table: pa.Table, column: Column, row: int) -> bytes | None:
    """Return a row as PNG bytes, at most 96 pixels a side; None if the column cannot be drawn."""
    draw = kinds.find(column.kind).picture
    image = draw(table[column.name][row]) if draw else None
    if image is None:
        return None
    image = image if image.mode in ("L", "RGB") else image.convert("RGB")
    image.thumbnail((LARGEST_SIDE, LARGEST_SIDE))
    out = io.BytesIO()
    image.save(out, "PNG", optimize=True)
    return out.getvalue()


def is_drawable(column: Column) -> bool:
    """Whether a column is shown as pictures rather than as text."""
    return kinds.find(column.kind).picture is not None


def line(table: pa.Table, columns: tuple[Column, ...], row: int) -> str:
    """Return a row as `name=value, ...`, or as its text where that is all there is; shortened."""
    found = [(column, kinds.find(column.kind)) for column in columns[:LONGEST_TEXT]]  # more are cut anyway
    shown = [(c.name, str(table[c.name][row].as_py())) for c, kind in found if kind.picture is None]
    only_text = len(found) == 1 and found[0][1].takes_text
    text = shown[0][1] if only_text else ", ".join(f"{name}={value}" for name, value in shown)
    return text if len(text) <= LONGEST_TEXT else text[: LONGEST_TEXT - 3] + "..."


def row_file(dataset: Dataset, table: pa.Table, row: int) -> str:
    """Return the file that the picture of a row came from; "" where it has none."""
    pictured = next(filter(is_drawable, dataset.inputs), None)
    cell = table[pictured.name][row].as_py() if pictured is not None else None
    return (cell.get("path") or "") if isinstance(cell, dict) else ""
