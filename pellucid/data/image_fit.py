"""The size that images get for a model, and how images of other shapes get it.

    stretch  every image gets the size, whatever its own shape: circles become ellipses
    pad      an image is scaled to lie within the size; the rest continues its border
    crop     an image is scaled to cover the size; what stands over is cut off on both sides

With pad and crop the size has the shape of most of the training images, or is a square where no shape is that
of most; then nothing is padded or cropped of most images.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from PIL import Image, ImageOps

from pellucid.config import ImageFit

Size = tuple[int, int]
"""(width, height) in pixels."""

SAME_SHAPE = 0.02
"""Ratios of width to height that differ by less than this share count as one shape."""
BILINEAR = Image.Resampling.BILINEAR


def common_size(sizes: Mapping[Size, int], side: int | None, how: ImageFit) -> Size:
    """Return the size that all images get.

    Args:
        sizes: number of images of each size, the most common first.
        side: the longer side; None: that of the most common size.
        how: see above; for stretch, `side` is that of a square.
    """
    most = next(iter(sizes))
    if how == "stretch":
        return (side, side) if side else most
    alike = sum(count for size, count in sizes.items() if same_shape(size, most))
    longer = side or max(most)
    if 2 * alike < sum(sizes.values()):
        return longer, longer
    width, height = (max(1, round(length * longer / max(most))) for length in most)
    return width, height


def same_shape(one: Size, other: Size) -> bool:
    """Return whether two sizes have the same ratio of width to height, up to rounding to whole pixels."""
    across, up = one[0] * other[1], one[1] * other[0]
    return abs(across - up) <= max(SAME_SHAPE * max(across, up), 0.5 * max(*one, *other))


def resized(image: Image.Image, size: Size, how: ImageFit) -> Image.Image:
    """Return an image of 8 bits in another size."""
    if image.size == size:
        return image
    if how == "stretch" or same_shape(image.size, size):
        return image.resize(size, BILINEAR)
    if how == "crop":
        return ImageOps.fit(image, size, BILINEAR)
    within = np.asarray(ImageOps.contain(image, size, BILINEAR))
    missing = [size[1] - within.shape[0], size[0] - within.shape[1]]  # rows, columns
    edges = [(length // 2, length - length // 2) for length in missing]
    return Image.fromarray(np.pad(within, edges + [(0, 0)] * (within.ndim - 2), mode="edge"))


def note(sizes: Mapping[Size, int], size: Size, how: ImageFit, among: str) -> list[str]:
    """Say what is done to images of other sizes than that of the model; nothing where there are none."""
    others = [other for other in sizes if other != size]
    if not others:
        return []
    count = sum(sizes[other] for other in others)
    listed = ", ".join(f"{width} x {height}" for width, height in others[:3])
    said = f"{count:,} {among} are not {size[0]} x {size[1]} ({listed}) and are resized to it"
    odd = sum(sizes[other] for other in others if not same_shape(other, size))
    if odd:
        done = {
            "stretch": "changed in shape; --set data.image_fit=pad or crop keeps the shape",
            "pad": "padded, their border continued",
            "crop": "cropped to the middle",
        }
        said += f"; {odd:,} of another shape are {done[how]}"
    return [said]


def placed_back(values: np.ndarray, own: Size, how: ImageFit) -> np.ndarray:
    """Bring values of a resized image back to the places and the size of the image itself.

    Args:
        values: one number for each pixel of the resized image, (h, w).
        own: (width, height) of the image itself.
        how: it was resized.

    Returns:
        (height, width) float32; where an image was cropped, the outermost values are continued.
    """
    height, width = values.shape
    if how != "stretch" and not same_shape(own, (width, height)):
        ratio = (min if how == "pad" else max)(width / own[0], height / own[1])
        within = [max(1, round(length * ratio)) for length in (own[1], own[0])]  # rows, columns
        if how == "pad":
            top, left = (height - within[0]) // 2, (width - within[1]) // 2
            values = values[top : top + within[0], left : left + within[1]]
        else:
            over = [length - shown for length, shown in zip(within, values.shape, strict=True)]
            edges = [(max(0, rest) // 2, max(0, rest) - max(0, rest) // 2) for rest in over]
            values = np.pad(values, edges, mode="edge")
    return np.asarray(Image.fromarray(np.asarray(values, np.float32)).resize(own, BILINEAR))
