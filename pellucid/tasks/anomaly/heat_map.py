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
WEAK = 0.5
"""Quantile of all errors below which nothing is colored."""
STRONG = 0.999
"""Quantile of all errors from which pixels are colored at full strength."""


def save_heat_maps(
    trained: Trained, table: pa.Table, images: Tensor, maps: Tensor, paths: Sequence[Path]
) -> None:
    """Save each image with its heat map as a PNG file.

    The colors of all images of a call have one scale, so that they compare.

    Args:
        trained: knows how images were resized.
        table: the rows, from which pictures are read at their own size.
        images: as the model saw them.
        maps: their errors.
        paths: of the files.
    """
    encoded: Any = trained.preprocess.encoded
    own = own_pictures(encoded, table)
    weak, strong = np.quantile(maps.numpy(), [WEAK, STRONG])
    for index, (picture, path) in enumerate(zip(own or images, paths, strict=True)):
        heat = (maps[index].numpy() - weak) / max(strong - weak, 1e-12)
        if own is not None:
            heat = placed_back(heat, (picture.shape[2], picture.shape[1]), encoded.fit_by)
        files.write(path, overlay(picture.numpy(), heat), "folder= with a folder you may write")


def overlay(picture: np.ndarray, heat: np.ndarray) -> bytes:
    """Return a PNG file of a picture (C, H, W), reddened by heat (H, W), of which 0 is none and 1 most."""
    shown = picture if len(picture) == 3 else np.repeat(picture[:1], 3, axis=0)
    gray = 255 * shown.transpose(1, 2, 0)
    share = STRONGEST * heat.clip(0, 1)[..., None]
    mixed = gray * (1 - share) + RED * share
    out = io.BytesIO()
    Image.fromarray(np.rint(mixed).astype(np.uint8)).save(out, "PNG")
    return out.getvalue()
