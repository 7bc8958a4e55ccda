"""One row as a person can look at it: a small picture, or a line of text."""

from __future__ import annotations

import io

import numpy as np
import pyarrow as pa
from PIL import Image

from pellucid.data.dataset import Column

LARGEST_SIDE = 96
LONGEST_TEXT = 400


def picture(table: pa.Table, column: Column, row: int) -> bytes | None:
    """Return a row's image as PNG bytes, at most 96 pixels a side; None if the column is no image."""
    value = table[column.name][row]
    if column.kind == "image":
        cell = value.as_py()
        stored = cell["bytes"] if cell["bytes"] is not None else open_bytes(cell["path"])
        image = Image.open(io.BytesIO(stored))
    elif column.kind == "tensor":
        array = np.asarray(value.to_numpy())
        if array.ndim not in (2, 3):
            return None
        image = Image.fromarray(_pixels(array))
    else:
        return None
    image = image if image.mode in ("L", "RGB") else image.convert("RGB")
    image.thumbnail((LARGEST_SIDE, LARGEST_SIDE))
    out = io.BytesIO()
    image.save(out, "PNG", optimize=True)
    return out.getvalue()


def line(table: pa.Table, columns: tuple[Column, ...], row: int) -> str:
    """Return a row as `name=value, ...`, or as its text where that is all there is; shortened."""
    shown = [(c.name, str(table[c.name][row].as_py())) for c in columns if c.kind not in ("image", "tensor")]
    alone = len(columns) == 1 and columns[0].kind == "text"
    text = shown[0][1] if alone else ", ".join(f"{name}={value}" for name, value in shown)
    return text if len(text) <= LONGEST_TEXT else text[: LONGEST_TEXT - 3] + "..."


def open_bytes(path: str) -> bytes:
    with open(path, "rb") as file:
        return file.read()


def _pixels(array: np.ndarray) -> np.ndarray:
    """Bring numbers of any range to bytes, and channels to the end."""
    if array.ndim == 3:
        array = np.moveaxis(array, 0, -1) if array.shape[0] in (1, 3) else array
        array = array[..., 0] if array.shape[-1] not in (3,) else array
    if array.dtype != np.uint8:
        low, high = float(array.min()), float(array.max())
        array = (255 * (array - low) / ((high - low) or 1)).astype(np.uint8)
    return array
