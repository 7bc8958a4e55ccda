"""Augmentation: random changes to a whole batch, different every time the batch is used.

Shift, rotation and zoom are one affine map with one interpolation. Pixels from outside an image are its
background: the smallest value of each channel. Mixup and CutMix also mix the targets: classes become
probabilities, which cross-entropy accepts. All randomness comes from the generator that is passed in, on its
device, so the same state gives the same batch everywhere.

Shapes: B batch, C channels, H and W height and width, K classes.
"""

from __future__ import annotations

import math

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from pellucid.config import Augment
from pellucid.errors import ConfigError, ModelError

ERASED_AREA = (0.02, 0.33)  # share of the image; Zhong et al. 2020
ERASED_ASPECT = (0.3, 3.3)  # height over width
IMAGE_CHANGES = ("shift", "rotate", "scale", "flip", "crop", "erase", "cutmix")


class Augmenter:
    """Apply the changes that a config asks for.

    Args:
        config: which changes, and how large; see `pellucid.config.Augment`.
        num_classes: K, where targets are classes; None where they are numbers or label vectors.

    Raises:
        ConfigError: a value is not possible.
    """

    def __init__(self, config: Augment, num_classes: int | None = None):
        self.config = config
        self.num_classes = num_classes

    def __bool__(self) -> bool:
        """Return whether anything is changed."""
        return any(self.config.model_dump().values())

    @torch.no_grad()
    def __call__(self, inputs: Tensor, targets: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Change a batch.

        Args:
            inputs: images (B, C, H, W); only mixup takes any (B, ...).
            targets: classes (B,), integer, or floats (B, ...).
            generator: the only source of randomness.

        Returns:
            Inputs of the same shape, and targets: probabilities (B, K) where mixup or cutmix met classes.

        Raises:
            ModelError: the inputs are not images and the change needs them.
        """
        config = self.config
        self._check(inputs)
        if config.shift or config.rotate or config.scale:
            inputs = affine(inputs, generator, config.shift, config.rotate, config.scale)
        if config.flip:
            inputs = flip(inputs, generator)
        if config.crop:
            inputs = crop(inputs, generator, config.crop)
        if config.erase:
            inputs = erase(inputs, generator, config.erase)
        return self._mix(inputs, targets, generator)

    def _mix(self, inputs: Tensor, targets: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        config = self.config
        if not (config.mixup or config.cutmix):
            return inputs, targets
        targets = self._mixable(targets)
        both = bool(config.mixup and config.cutmix)  # then each batch gets one of the two
        if config.cutmix and not (both and _uniform(generator, 1).item() < 0.5):
            return cutmix(inputs, targets, generator, config.cutmix)
        return mixup(inputs, targets, generator, config.mixup)

    def _mixable(self, targets: Tensor) -> Tensor:
        if targets.is_floating_point():
            return targets
        if self.num_classes is None:
            raise ConfigError("mixup and cutmix of classes expect the number of classes, received None.")
        return F.one_hot(targets, self.num_classes).float()  # (B, K)

    def _check(self, inputs: Tensor) -> None:
        asked = [name for name in IMAGE_CHANGES if getattr(self.config, name)]
        if asked and inputs.ndim != 4:
            raise ModelError(
                f"data.augment.{asked[0]} expects images (B, C, H, W), "
                f"received inputs {tuple(inputs.shape)}.",
                remedy=f"--set data.augment.{asked[0]}=0",
            )


# ---- geometry ----------------------------------------------------------------------------------


def affine(images: Tensor, generator: torch.Generator, shift: float, rotate: float, scale: float) -> Tensor:
    """Shift, rotate and zoom every image by its own random amounts, with bilinear interpolation.

    Args:
        images: (B, C, H, W).
        generator: the only source of randomness.
        shift: largest shift along each axis, as a share of that side.
        rotate: largest rotation either way, in degrees.
        scale: zoom between 1 - scale and 1 + scale.
    """
    count, _, height, width = images.shape
    dx, dy, turn, zoom = _uniform(generator, 4, count, 1, 1, device=images.device).mul(2).sub(1)  # -1..1
    angle, size = turn * math.radians(rotate), 1 + zoom * scale
    cos, sin = angle.cos() / size, angle.sin() / size
    aspect = height / width
    x, y = _centers(width, images)[None, :], _centers(height, images)[:, None]  # (1, W), (H, 1)
    from_x = cos * x + sin * aspect * y + 2 * shift * dx  # (B, H, W): where each output pixel comes from
    from_y = cos * y - sin / aspect * x + 2 * shift * dy
    origins = torch.stack([from_x, from_y], dim=1).to(images.dtype).permute(0, 2, 3, 1)  # (B, H, W, 2)
    background = _background(images)
    return F.grid_sample(images - background, origins, align_corners=False) + background


def flip(images: Tensor, generator: torch.Generator) -> Tensor:
    """Mirror half of the images (B, C, H, W) left to right."""
    chosen = _uniform(generator, len(images), device=images.device) < 0.5
    return torch.where(chosen[:, None, None, None], images.flip(-1), images)


def crop(images: Tensor, generator: torch.Generator, pixels: int) -> Tensor:
    """Pad images (B, C, H, W) with background, then crop them to the old size at a random position."""
    count, _, height, width = images.shape
    background = _background(images)
    padded = F.pad(images - background, [pixels] * 4)
    top, left = _integers(generator, 2 * pixels + 1, (2, count), images.device)  # each (B,)
    rows = top[:, None] + torch.arange(height, device=images.device)  # (B, H)
    columns = left[:, None] + torch.arange(width, device=images.device)  # (B, W)
    batch = torch.arange(count, device=images.device)
    cut = padded[batch[:, None, None], :, rows[:, :, None], columns[:, None, :]]  # (B, H, W, C)
    return cut.permute(0, 3, 1, 2).contiguous() + background


def erase(images: Tensor, generator: torch.Generator, probability: float) -> Tensor:
    """Blank a random rectangle with the image's mean (random erasing, Zhong et al. 2020).

    Args:
        images: (B, C, H, W).
        generator: the only source of randomness.
        probability: of erasing in each image.
    """
    count, _, height, width = images.shape
    draws = _uniform(generator, 5, count, device=images.device)  # (5, B)
    area = _between(draws[0], *ERASED_AREA)
    aspect = _between(draws[1], *map(math.log, ERASED_ASPECT)).exp()
    tall, wide = (area * aspect).sqrt().clamp(max=1), (area / aspect).sqrt().clamp(max=1)
    top, left = draws[2] * (1 - tall), draws[3] * (1 - wide)
    inside = _rectangles(top, left, tall, wide, height, width) & (draws[4] < probability)[:, None, None]
    return torch.where(inside[:, None], images.mean(dim=(2, 3), keepdim=True), images)


# ---- mixing ------------------------------------------------------------------------------------


def mixup(inputs: Tensor, targets: Tensor, generator: torch.Generator, a: float) -> tuple[Tensor, Tensor]:
    """Mix every example with another of the batch, both inputs and targets (Zhang et al. 2018).

    Args:
        inputs: (B, ...).
        targets: (B, ...), floats.
        generator: the only source of randomness.
        a: the share of each example is drawn from Beta(a, a).
    """
    share = _beta(generator, a, len(inputs), inputs.device)
    other = torch.randperm(len(inputs), generator=generator, device=generator.device).to(inputs.device)
    return _blend(inputs, inputs[other], share), _blend(targets, targets[other], share)


def cutmix(images: Tensor, targets: Tensor, generator: torch.Generator, a: float) -> tuple[Tensor, Tensor]:
    """Paste a rectangle of another image of the batch; targets mix by area (Yun et al. 2019).

    Args:
        images: (B, C, H, W).
        targets: (B, ...), floats.
        generator: the only source of randomness.
        a: the share of each image that stays is drawn from Beta(a, a).
    """
    count, _, height, width = images.shape
    side = (1 - _beta(generator, a, count, images.device)).sqrt()  # of the rectangle, as a share
    other = torch.randperm(count, generator=generator, device=generator.device).to(images.device)
    center = _uniform(generator, 2, count, device=images.device)
    top, left = center - side / 2
    inside = _rectangles(top, left, side, side, height, width)  # (B, H, W)
    share = 1 - inside.float().mean(dim=(1, 2))  # share that remains, since the border may clip the rectangle
    return torch.where(inside[:, None], images[other], images), _blend(targets, targets[other], share)


def _blend(these: Tensor, others: Tensor, share: Tensor) -> Tensor:
    """Return share * these + (1 - share) * others, with one share (B,) for each example."""
    share = share.to(these.dtype).view(-1, *[1] * (these.ndim - 1))
    return torch.lerp(others, these, share)


# ---- parts -------------------------------------------------------------------------------------


def _centers(pixels: int, like: Tensor) -> Tensor:
    """Return the positions of pixel centers along a side from -1 to 1, (pixels,)."""
    return (2 * torch.arange(pixels, device=like.device) + 1) / pixels - 1


def _background(images: Tensor) -> Tensor:
    """Return the smallest value of each channel of each image, (B, C, 1, 1)."""
    return images.amin(dim=(2, 3), keepdim=True)


def _rectangles(top: Tensor, left: Tensor, tall: Tensor, wide: Tensor, height: int, width: int) -> Tensor:
    """Return masks (B, H, W) that are True inside rectangles given as shares (B,) of height and width."""
    y = (torch.arange(height, device=top.device) + 0.5) / height
    x = (torch.arange(width, device=top.device) + 0.5) / width
    rows = (y >= top[:, None]) & (y < (top + tall)[:, None])  # (B, H)
    columns = (x >= left[:, None]) & (x < (left + wide)[:, None])  # (B, W)
    return rows[:, :, None] & columns[:, None, :]


def _uniform(generator: torch.Generator, *shape: int, device: torch.device | str = "cpu") -> Tensor:
    return torch.rand(*shape, generator=generator, device=generator.device).to(device)


def _integers(generator: torch.Generator, high: int, shape: tuple[int, ...], device: torch.device) -> Tensor:
    return torch.randint(high, shape, generator=generator, device=generator.device).to(device)


def _between(draws: Tensor, low: float, high: float) -> Tensor:
    return low + draws * (high - low)


def _beta(generator: torch.Generator, a: float, count: int, device: torch.device) -> Tensor:
    """Draw from Beta(a, a), (B,). torch's own sampler takes no generator, so NumPy's is seeded from it."""
    seed = torch.randint(2**62, (), generator=generator, device=generator.device).item()
    draws = np.random.default_rng(int(seed)).beta(a, a, count)
    return torch.from_numpy(draws).float().to(device)
