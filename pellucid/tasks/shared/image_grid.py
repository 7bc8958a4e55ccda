"""Pictures for the report: many small images in one PNG.

Shapes: N images (N, C, H, W) with pixels in 0..1; what leaves that range is cut off. Images of one channel
are gray, those of three in color; of any other number the first channel is shown.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from pellucid.evaluation import SAMPLES

GAP = 2
"""Transparent pixels between two images."""


def grid(images: Tensor, columns: int) -> bytes:
    """Lay out images row by row.

    Args:
        images: (N, C, H, W).
        columns: images in a row; the last row may have fewer.

    Returns:
        PNG bytes; between images it is transparent.
    """
    pixels = _bytes(images)  # (N, H, W, 1 or 3)
    count, height, width, channels = pixels.shape
    rows = -(-count // columns)
    canvas = np.zeros(
        (rows * (height + GAP) - GAP, min(columns, count) * (width + GAP) - GAP, channels + 1), np.uint8
    )
    for number, image in enumerate(pixels):
        row, column = divmod(number, columns)
        top, left = row * (height + GAP), column * (width + GAP)
        canvas[top : top + height, left : left + width, :channels] = image
        canvas[top : top + height, left : left + width, channels] = 255
    out = io.BytesIO()
    Image.fromarray(canvas, "LA" if channels == 1 else "RGBA").save(out, "PNG")
    return out.getvalue()


def picture_bytes(image: Tensor) -> bytes:
    """Return one image (C, H, W) as a PNG file, gray or in color."""
    pixels, out = _bytes(image[None])[0], io.BytesIO()
    Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels).save(out, "PNG")
    return out.getvalue()


def stacked(rows: Sequence[Tensor]) -> bytes:
    """Lay out equally many images under each other: the first of every row in the first column."""
    return grid(torch.cat([row.cpu() for row in rows]), len(rows[0]))


def picture(title: str, caption: str, file: str) -> dict[str, Any]:
    """Return the block that shows a picture of the run."""
    return {"kind": "picture", "title": title, "caption": caption, "file": f"{SAMPLES}/{file}"}


def _bytes(images: Tensor) -> np.ndarray:
    """(N, C, H, W) -> (N, H, W, 1 or 3) uint8."""
    shown = images.detach().cpu().float().nan_to_num(0).clamp(0, 1)
    shown = shown if shown.shape[1] == 3 else shown[:, :1]
    return (shown * 255).round().to(torch.uint8).permute(0, 2, 3, 1).numpy()
