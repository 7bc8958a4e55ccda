"""Pictures of where an image is strange: its error map in red over the image, at the size of its file.

Shapes: images (N, C, H, W) with pixels in 0..1, error maps (N, H, W).
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from PIL import Image
from torch import Tensor

from pellucid.data.image_fit import placed_back
from pellucid.evaluation import Trained
from pellucid.record import files
from pellucid.tasks.shared.own_size import own_pictures

RED = np.array([255.0, 30.0, 0.0])
STRONGEST = 0.85
"""How much of a pixel the color covers at most."""
WEAK, STRONG = 0.5, 0.999
"""Quantiles of the errors in normal images: nothing is colored below the first, and nothing below
twice the second is at full strength."""


def save_heat_maps(
    trained: Trained,
    table: pa.Table,
    images: Tensor,
    maps: Tensor,
    paths: Sequence[Path],
    scale: tuple[float, float],
) -> None:
    """Save each image with its heat map as a PNG file.

    Args:
        trained: knows how images were resized.
        table: the rows, from which pictures are read at their own size.
        images: as the model saw them.
        maps: their errors.
        paths: of the files.
        scale: see `color_scale`.
    """
    encoded: Any = trained.preprocess.encoded
    own = own_pictures(encoded, table)
    weak, least = scale
    for index, (picture, path) in enumerate(zip(own or images, paths, strict=True)):
        error = maps[index].numpy()
        strong = max(least, float(np.quantile(error, STRONG)))
        heat = (error - weak) / max(strong - weak, 1e-12)
        if own is not None:
            heat = placed_back(heat, (picture.shape[2], picture.shape[1]), encoded.fit_by)
        files.write(path, overlay(picture.numpy(), heat), "folder= with a folder you may write")


def color_scale(maps: Tensor) -> tuple[float, float]:
    """Return the errors up to which nothing is colored, and the least that is at full strength.

    In an image with larger errors, the largest is at full strength, so that the place of an anomaly is seen;
    a normal image, whose errors are like those that the scale was measured on, has little color.

    Args:
        maps: of normal images.
    """
    weak, strong = np.quantile(maps.numpy(), [WEAK, STRONG]).tolist()
    return weak, 2 * strong


def overlay(picture: np.ndarray, heat: np.ndarray) -> bytes:
    """Return a PNG file of a picture (C, H, W), reddened by heat (H, W), of which 0 is none and 1 most."""
    shown = picture if len(picture) == 3 else np.repeat(picture[:1], 3, axis=0)
    gray = 255 * shown.transpose(1, 2, 0)
    share = STRONGEST * heat.clip(0, 1)[..., None]
    mixed = gray * (1 - share) + RED * share
    out = io.BytesIO()
    Image.fromarray(np.rint(mixed).astype(np.uint8)).save(out, "PNG")
    return out.getvalue()
