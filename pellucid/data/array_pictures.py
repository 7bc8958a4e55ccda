"""Files of images as inputs of a model that learned from arrays of pixels."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pyarrow as pa
from PIL import Image

from pellucid.data import images
from pellucid.data.image_fit import note, resized
from pellucid.data.input_rows import InputRows
from pellucid.data.kinds.image import ImageInputs
from pellucid.data.tensor_column import tensor

MODES = {1: "L", 3: "RGB"}
"""Modes of images by the number of their channels."""


def takes_pictures(shape: tuple[int, ...]) -> bool:
    """Return whether arrays of a shape can be made from images: (1, H, W) or (3, H, W)."""
    return len(shape) == 3 and shape[0] in MODES


def as_arrays(
    rows: InputRows, name: str, shape: tuple[int, ...], scaled: Callable[[np.ndarray], np.ndarray]
) -> InputRows:
    """Decode a column of images to arrays of the shape and the scale of the training arrays.

    Args:
        rows: with the column.
        name: of the column.
        shape: (C, H, W) of the arrays; images of other shapes are padded.
        scaled: brings bytes (N, C, H, W) to the scale of the training arrays.
    """
    channels, height, width = shape
    scale = (0.0,) * channels, (1.0,) * channels
    reader = ImageInputs(name, (width, height), MODES[channels], *scale, None, "pad")
    seen = images.shapes(rows.table[name])
    changed = note(seen.sizes, reader.size, "pad", f"of {seen.sampled:,} images")
    table = pa.table({name: tensor(scaled(reader.pixels(rows.table)))})
    return replace(rows, table=table, notes=(*rows.notes, *changed))


def pixels_of(picture: Image.Image, shape: tuple[int, ...]) -> np.ndarray:
    """Return a picture as bytes of a shape (C, H, W); one of another shape is padded."""
    channels, height, width = shape
    pixels = np.asarray(resized(images.convert(picture, MODES[channels]), (width, height), "pad"))
    return pixels.reshape(height, width, channels).transpose(2, 0, 1)
