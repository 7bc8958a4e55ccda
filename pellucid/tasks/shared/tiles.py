"""Apply a network to images larger than it takes, in overlapping tiles that are blended.

Shapes: an image (C, H, W), tiles (N, C, h, w).
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

Restore = Callable[[Tensor], Tensor]
"""Images (N, C, h, w) -> images of the same shape."""

BATCH = 64


def in_tiles(image: Tensor, size: tuple[int, int], overlap: tuple[int, int], restore: Restore) -> Tensor:
    """Restore an image tile by tile.

    Where tiles overlap, each counts by its distance from its own border, so that no seam is seen. An image
    smaller than a tile is continued at its border and cut again.

    Args:
        image: (C, H, W).
        size: (h, w) of a tile.
        overlap: rows and columns that two neighboring tiles share, less than h and w.
        restore: the network.

    Returns:
        (C, H, W).
    """
    own = image.shape[1:]
    missing = [max(0, tile - length) for tile, length in zip(size, own, strict=True)]
    whole = F.pad(image[None], (0, missing[1], 0, missing[0]), mode="replicate")[0]
    places = [
        (row, column)
        for row in _starts(whole.shape[1], size[0], overlap[0])
        for column in _starts(whole.shape[2], size[1], overlap[1])
    ]
    weight = _ramp(size[0], overlap[0])[:, None] * _ramp(size[1], overlap[1])
    total, weights = torch.zeros_like(whole), torch.zeros(whole.shape[1:])
    for start in range(0, len(places), BATCH):
        chosen = places[start : start + BATCH]
        tiles = torch.stack([whole[:, y : y + size[0], x : x + size[1]] for y, x in chosen])
        for made, (y, x) in zip(restore(tiles), chosen, strict=True):
            total[:, y : y + size[0], x : x + size[1]] += made * weight
            weights[y : y + size[0], x : x + size[1]] += weight
    return (total / weights)[:, : own[0], : own[1]]


def _starts(length: int, tile: int, overlap: int) -> list[int]:
    """Return where tiles begin: evenly, the last one ends with the image."""
    if length <= tile:
        return [0]
    count = -(-(length - overlap) // (tile - overlap))
    return [round(index * (length - tile) / (count - 1)) for index in range(count)]


def _ramp(length: int, overlap: int) -> Tensor:
    """Return how much each row of a tile counts: less towards both ends, over the rows that overlap."""
    place = torch.arange(length)
    nearest = torch.minimum(place, length - 1 - place) + 1
    return (nearest / (overlap + 1)).clamp(max=1)
