"""Artificial defects: bent spots and lines, pasted into normal images from others, or made lighter or darker.

A network that finds them has features in which real defects stand out too (Li et al. 2021, CutPaste;
Zavrtanik et al. 2021, DRAEM).

Shapes: images (N, C, H, W) with pixels in 0..1, masks (N, 1, H, W), h x w places of a network's output.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pellucid.train.metrics import Measures
from pellucid.train.objective import Objective, Phase, fixed_uniform

MOST = 2
"""Defects in an image, 0 to this many."""
NUMBERS = 14
"""Random numbers that describe a defect."""


def detection() -> Objective:
    """Return the objective of finding artificial defects: binary cross-entropy at each place.

    Batches are (images, anything); models return logits (N, 1, h, w). A place shows a defect if any of its
    pixels does. Measured with defects that are always the same.
    """

    def loss(model: nn.Module, images: Tensor, fixed: bool) -> Tensor:
        draw = fixed_uniform if fixed else _uniform
        spoiled, masks = with_defects(images, draw(len(images), MOST, NUMBERS, device=images.device))
        logits = model(spoiled).float()
        wanted = F.adaptive_max_pool2d(masks, logits.shape[2:])
        return F.binary_cross_entropy_with_logits(logits, wanted)

    def measure(model: nn.Module, batch: tuple[Tensor, Tensor]) -> Measures:
        count = len(batch[0])
        return {"loss": (loss(model, batch[0], True) * count, count)}

    def train(model: nn.Module, batch: tuple[Tensor, Tensor]) -> Tensor:
        return loss(model, batch[0], False)

    return Objective("anomaly", (Phase("train", train),), measure, torch.sigmoid)


def _uniform(*shape: int, device: torch.device) -> Tensor:
    return torch.rand(shape, device=device)


def with_defects(images: Tensor, numbers: Tensor) -> tuple[Tensor, Tensor]:
    """Paste defects into images; return the new images, and masks of 0 and 1.

    Args:
        images: normal ones.
        numbers: what the defects are like, (N, D, 14) in 0..1, for D at most in each image.
    """
    made, masks = images, torch.zeros_like(images[:, :1])
    for defect in numbers.unbind(1):
        u = [column[:, None, None, None] for column in defect.unbind(1)]  # 14 of (N, 1, 1, 1)
        mask = _shape(images, u) * (u[0] < 2 / 3)
        soft = torch.where(u[1] < 0.5, F.avg_pool2d(mask, 3, 1, 1), mask)
        pasted = _other_places(images, u) * (0.6 + 0.8 * u[2]) + 0.3 * (u[3] - 0.5)
        shaded = made * (0.4 + u[2]) + 0.4 * (u[3] - 0.5)
        other = torch.where(u[4] < 0.4, shaded, pasted).clamp(0, 1)
        made = made * (1 - soft) + other * soft
        masks = torch.maximum(masks, mask)
    return made, masks


def _shape(images: Tensor, u: list[Tensor]) -> Tensor:
    """Return the masks (N, 1, H, W) of bent ellipses, of which more than half are thin."""
    _, _, height, width = images.shape
    y = torch.arange(height, device=images.device, dtype=images.dtype)[:, None]
    x = torch.arange(width, device=images.device, dtype=images.dtype)
    side = math.sqrt(height * width)
    length = ((0.03 + 0.32 * u[5]) * side).clamp(min=1.0)
    thickness = torch.where(u[6] < 0.6, 0.01 + 0.11 * u[7], 0.03 + 0.27 * u[7]).mul(side).clamp(min=0.8)
    angle, dy, dx = math.pi * u[8], y - u[9] * height, x - u[10] * width
    along = dx * angle.cos() + dy * angle.sin()
    across = dy * angle.cos() - dx * angle.sin()
    across = across - (u[11] - 0.5) * 0.5 * along.square() / length
    return ((along / length).square() + (across / thickness).square() < 1).to(images.dtype)


def _other_places(images: Tensor, u: list[Tensor]) -> Tensor:
    """Return the image before each in the batch, shifted; what leaves at a border enters at the other."""
    count, _, height, width = images.shape
    y = torch.arange(height, device=images.device)
    x = torch.arange(width, device=images.device)
    rows = (y + (u[12].view(-1, 1) * height).long()) % height  # (N, H)
    columns = (x + (u[13].view(-1, 1) * width).long()) % width  # (N, W)
    index = torch.arange(count, device=images.device)[:, None, None]
    shifted = images.roll(1, 0).permute(0, 2, 3, 1)[index, rows[:, :, None], columns[:, None, :]]
    return shifted.permute(0, 3, 1, 2)
