"""Two random views of each picture: shifted, zoomed, turned, mirrored, brighter or darker."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from pellucid.data.augment import affine, flip


@dataclass(frozen=True)
class TwoViews:
    """Turn a batch of pictures into two views of each; a view has the target of its picture.

    After T. Chen et al. 2020, A Simple Framework for Contrastive Learning of Visual Representations, section
    3: crop and color are what matters most. A zoom and a shift stand for the crop.

    Attributes:
        strength: of all changes; at 1 pictures are zoomed by 0.75 to 1.25, shifted by 15 % and turned by 10
            degrees, and contrast and brightness change by 40 %.
    """

    strength: float = 1.0

    def __call__(self, images: Tensor, ids: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Return views (2B, C, H, W), first one of each picture, then the other; and ids (2B,).

        Args:
            images: (B, C, H, W) with pixels in 0..1.
            ids: (B,), one for each picture.
            generator: the only source of randomness.
        """
        return torch.cat([self._view(images, generator) for _ in range(2)]), torch.cat([ids, ids])

    def _view(self, images: Tensor, generator: torch.Generator) -> Tensor:
        amount = self.strength
        moved = affine(images, generator, 0.15 * amount, 10 * amount, min(0.25 * amount, 0.9))
        return _relit(flip(moved, generator), generator, 0.4 * amount)


def _relit(images: Tensor, generator: torch.Generator, amount: float) -> Tensor:
    """Change contrast and brightness of each image (B, C, H, W) by at most `amount`, within 0..1."""
    draws = torch.rand(2, len(images), 1, 1, 1, generator=generator, device=generator.device)
    contrast, brightness = draws.to(images.device) * 2 - 1
    mean = images.mean(dim=(1, 2, 3), keepdim=True)
    changed = (images - mean) * (1 + amount * contrast) + mean * (1 + amount * brightness)
    return changed.clamp(0, 1)
