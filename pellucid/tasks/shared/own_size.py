"""Reconstruct pictures at their own size and in their own colors, not as the model learned from them.

    any size      a network that takes images of any size, such as a U-Net: the whole picture, or large tiles
    tiles         of the training size, where the training images were not resized
    scaled        where they were: a picture is resized as in training, reconstructed, and resized back; what
                  is lost between is lost

A model of gray images restores the channels of a color picture one by one; one of color images returns a
gray picture in gray.

Shapes: a picture (C, H, W) with pixels in 0..1, C 1 or 3.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional as F

from pellucid.data import images
from pellucid.data.image_fit import placed_back, resized
from pellucid.data.kinds.image import ImageInputs
from pellucid.evaluation import Trained
from pellucid.nn.device import device_of
from pellucid.tasks.shared import latents
from pellucid.tasks.shared.tiles import in_tiles

WHOLE = 512 * 512
"""Pixels of a picture that a network of any size takes at once."""
LARGE = (384, 384)
MARGIN = (64, 64)
"""Tiles of larger pictures, and how far they overlap."""
SHARED = 4
"""Tiles of the training size overlap by one part in this many."""
LEAST = 16
"""Least side of what a network of any size gets; smaller pictures are continued at the border."""


def own_pictures(encoded: Any, table: pa.Table) -> Iterator[Tensor] | None:
    """Return the pictures of a table at their own size, in 0..1; None where rows are not pictures."""
    if not isinstance(encoded, ImageInputs):
        return None
    return (_pixels(row, encoded.levels) for row in table[encoded.name].to_pylist())


def _pixels(row: dict[str, Any], levels: images.Levels | None) -> Tensor:
    with images.open_row(row) as image:
        mode = "L" if images.is_grey(image) else "RGB"
        array = np.asarray(images.convert(image, mode, levels))
    array = array[None] if array.ndim == 2 else array.transpose(2, 0, 1)
    return torch.from_numpy(array / np.float32(255))


class OwnSize:
    """Reconstructs pictures of any size with a trained model; for the ways see above.

    Args:
        trained: a model that reconstructs images.
        tiles: use tiles of the training size, also where the training images were resized; None: by itself.

    Attributes:
        way: how it reconstructs, in words.
    """

    def __init__(self, trained: Trained, tiles: bool | None = None):
        encoded: Any = trained.preprocess.encoded
        self.model, self.probs = trained.model, trained.objective.probs
        self.channels, *sides = encoded.shape
        self.size, self.how = (sides[0], sides[1]), encoded.fit_by
        width, height = encoded.size
        unchanged = encoded.trained_on == encoded.size
        if takes_any_size(self.model, encoded.shape) and not tiles:
            self.way, self._restore = "at its own size", self._any_size
        elif tiles or (tiles is None and unchanged):
            self.way, self._restore = f"in tiles of {width} x {height}", self._in_tiles
        else:
            self.way = f"at {width} x {height}, as in training, and resized back"
            self._restore = self._scaled

    def __call__(self, picture: Tensor) -> Tensor:
        """Reconstruct a picture, (C, H, W); the result has the same shape."""
        if self.channels == 1 and len(picture) == 3:
            return torch.cat([self._restore(channel[None]) for channel in picture])
        if self.channels == 3 and len(picture) == 1:
            return self._restore(picture.expand(3, -1, -1)).mean(0, keepdim=True)
        return self._restore(picture)

    def _apply(self, batch: Tensor) -> Tensor:
        return latents.restore(self.model, batch, self.probs).clamp(0, 1)

    def _any_size(self, picture: Tensor) -> Tensor:
        height, width = picture.shape[1:]
        if height * width > WHOLE:
            return in_tiles(picture, LARGE, MARGIN, self._apply)
        padding = (0, max(0, LEAST - width), 0, max(0, LEAST - height))
        return self._apply(F.pad(picture[None], padding, mode="replicate"))[0, :, :height, :width]

    def _in_tiles(self, picture: Tensor) -> Tensor:
        overlap = (self.size[0] // SHARED, self.size[1] // SHARED)
        return in_tiles(picture, self.size, overlap, self._apply)

    def _scaled(self, picture: Tensor) -> Tensor:
        own = (picture.shape[2], picture.shape[1])
        array = (picture * 255).round().byte().permute(1, 2, 0).numpy()
        image = Image.fromarray(array[..., 0] if len(picture) == 1 else array)
        small = np.asarray(resized(image, (self.size[1], self.size[0]), self.how)) / np.float32(255)
        small = small[None] if small.ndim == 2 else small.transpose(2, 0, 1)
        made = self._apply(torch.from_numpy(np.ascontiguousarray(small))[None])[0].numpy()
        return torch.from_numpy(np.stack([placed_back(channel, own, self.how) for channel in made])).clamp(
            0, 1
        )


@torch.no_grad()
def takes_any_size(model: nn.Module, shape: tuple[int, ...]) -> bool:
    """Return whether a model reconstructs images of other sizes than those it learned from.

    Args:
        model: in evaluation mode.
        shape: (C, H, W) of the training images.
    """
    channels, height, width = shape
    device = device_of(model)
    other = torch.zeros(1, channels, height + 8, width + 16, device=device)
    try:
        output: Any = model(other)
    except (RuntimeError, ValueError):
        return False
    return getattr(output, "recon", output).shape == other.shape
