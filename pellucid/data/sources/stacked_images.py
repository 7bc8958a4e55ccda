"""Three gray images as the red, green and blue of one: a known number of combinations for a GAN to cover.

Ten classes of images make 1,000 combinations: Metz et al. 2017, Unrolled Generative Adversarial Networks,
section 3.3, stacked MNIST.

Shapes: N rows, images (H, W) or (H, W, 3) uint8.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pyarrow as pa

from pellucid.data.dataset import SPLITS, UNLABELED, Column, Dataset
from pellucid.data.encoder import FitOptions
from pellucid.data.kinds.image import ImageInputs
from pellucid.errors import BadDataError

_REMEDY = "--set data.stack=null leaves images as they are"
_BLOCK = 1024


def stack(dataset: Dataset, *, image_size: int | None = None, seed: int = 0) -> Dataset:
    """Make as many color images in every split as it has gray ones, each from three drawn at random.

    The draw depends only on the seed, the name of the split and its number of rows.

    Args:
        dataset: with its splits made; its first column of images is stacked, all others are left out.
        image_size: side in pixels that images are resized to; None: the most common size.
        seed: of the random draw.

    Returns:
        A dataset of one column of images, without a target.

    Raises:
        BadDataError: there are no images, or they have color, or one cannot be decoded.
    """
    column = next((column for column in dataset.inputs if column.kind == "image"), None)
    if column is None:
        kinds = ", ".join(f"{column.name!r} ({column.kind})" for column in dataset.inputs)
        raise BadDataError(
            f"data.stack expected a column of gray images; {dataset.name} has {kinds}.", remedy=_REMEDY
        )
    options = FitOptions(image_size=image_size, normalize=False)
    gray, notes = ImageInputs.fit(column, dataset.splits["train"], options)
    if gray.mode != "L":
        raise BadDataError(
            f"data.stack expected gray images, one for each channel; those of {dataset.name} have color.",
            remedy=_REMEDY,
        )
    splits = {
        split: pa.table({column.name: _stacked(gray.pixels(table)[:, 0], _generator(seed, split))})
        for split, table in dataset.splits.items()
    }
    said = f"each row is three random images of its split, one a channel, seed {seed}; labels are left out"
    return replace(
        dataset,
        splits=splits,
        columns=(Column(column.name, "image", reason="three gray images, one a channel"),),
        target=None,
        task=None,
        notes=(*dataset.notes, *notes, said),
    )


def _generator(seed: int, split: str) -> np.random.Generator:
    return np.random.default_rng([seed, (*SPLITS, UNLABELED).index(split)])


def _stacked(gray: np.ndarray, random: np.random.Generator) -> pa.ChunkedArray:
    """Make as many images (N, H, W, 3) as there are gray ones (N, H, W), encoded block by block."""
    chosen = random.integers(len(gray), size=(len(gray), 3))
    blocks = (chosen[start : start + _BLOCK] for start in range(0, len(chosen), _BLOCK))
    return pa.chunked_array([_encoded(np.moveaxis(gray[block], 1, -1)) for block in blocks])


def _encoded(pixels: np.ndarray) -> pa.Array:
    """Make an image column from (N, H, W, 3), as PPM: lossless, and a hundred times faster than PNG."""
    height, width = pixels.shape[1:3]
    header = np.frombuffer(b"P6 %d %d 255\n" % (width, height), np.uint8)
    flat = pixels.reshape(len(pixels), -1)
    rows = np.hstack([np.broadcast_to(header, (len(flat), len(header))), flat])
    fixed = pa.FixedSizeBinaryArray.from_buffers(
        pa.binary(rows.shape[1]), len(rows), [None, pa.py_buffer(rows.tobytes())]
    )
    paths = pa.nulls(len(rows), pa.string())
    return pa.StructArray.from_arrays([fixed.cast(pa.binary()), paths], names=["bytes", "path"])
