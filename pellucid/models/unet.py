"""The U-Net: an image-to-image network that works at several resolutions.

    x -> level 1 ---------------- skip ----------------> level 1 -> 1 x 1 convolution -> y
           -> halve -> level 2 --- skip ---> level 2 -> double
                        -> halve -> lowest -> double

Ronneberger, Fischer and Brox 2015: the receptive field grows on the way down, and the skip connections
restore the exact positions on the way up. With `residual` it returns x - f(x): a denoiser then predicts the
noise, which is easier than to predict the image (Zhang et al. 2017, DnCNN).

Shapes: B batch, C channels in and out, H and W height and width, each at least 8.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from pellucid.nn import ConvBlock, init_weights
from pellucid.nn.init import init_output
from pellucid.nn.names import lookup

SMALLEST_SIDE = 8

SIZES: dict[str, tuple[int, ...]] = {
    "tiny": (8, 16),
    "small": (16, 32, 64),
    "base": (32, 64, 128, 256),
}
"""Channels of each level by size; every level has half the height and width of the previous one."""


class UNet(nn.Module):
    """A U-Net; returns raw values in the shape of its input.

    Args:
        channels: C.
        size: tiny, small or base; see `SIZES`.
        activation: one of `pellucid.nn.ACTIVATIONS`.
        norm: normalization after each convolution: None, "batch" or "layer".
        residual: whether to return the input minus the output of the network.

    Raises:
        ValueError: an unknown size, activation or norm.

    Example:
        >>> import torch
        >>> UNet(1)(torch.zeros(2, 1, 28, 31)).shape
        torch.Size([2, 1, 28, 31])
    """

    def __init__(
        self,
        channels: int = 1,
        *,
        size: str = "small",
        activation: str = "relu",
        norm: str | None = "batch",
        residual: bool = False,
    ):
        super().__init__()
        widths = lookup("unet size", size, SIZES)
        block = partial(ConvBlock, activation=activation, norm=norm)
        self.channels, self.residual = channels, residual
        self.down, self.up, self.enlarge = nn.ModuleList(), nn.ModuleList(), nn.ModuleList()
        before = channels
        for width in widths[:-1]:
            self.down.append(_two(block, before, width))
            before = width
        self.lowest = _two(block, before, widths[-1])
        for width, lower in zip(widths[-2::-1], widths[:0:-1], strict=True):
            self.enlarge.append(block(lower, width))
            self.up.append(_two(block, 2 * width, width))
        self.output = nn.Conv2d(widths[0], channels, 1)
        init_weights(self, activation)
        init_output(self.output)

    def forward(self, x: Float[Tensor, "B C H W"]) -> Float[Tensor, "B C H W"]:
        self._check(x)
        maps, skips = self._padded(x), []
        for level in self.down:
            maps = level(maps)
            skips.append(maps)
            maps = F.max_pool2d(maps, 2)
        maps = self.lowest(maps)
        for enlarge, level in zip(self.enlarge, self.up, strict=True):
            doubled = enlarge(F.interpolate(maps, scale_factor=2))
            maps = level(torch.cat([skips.pop(), doubled], dim=1))
        output = self.output(maps)[..., : x.shape[2], : x.shape[3]]
        return x - output if self.residual else output

    def _padded(self, x: Tensor) -> Tensor:
        """Replicate the last row and column until height and width can be halved at every level."""
        multiple = 2 ** len(self.down)
        right, bottom = -x.shape[3] % multiple, -x.shape[2] % multiple
        return F.pad(x, (0, right, 0, bottom), mode="replicate") if right or bottom else x

    def _check(self, x: Tensor) -> None:
        if x.ndim != 4 or x.shape[1] != self.channels or min(x.shape[2:]) < SMALLEST_SIDE:
            raise ValueError(
                f"UNet expects images (B, {self.channels}, H, W) with H and W of at least {SMALLEST_SIDE}, "
                f"received {tuple(x.shape)}."
            )


def _two(block: Callable[[int, int], nn.Module], channels: int, width: int) -> nn.Sequential:
    """(B, channels, H, W) -> (B, width, H, W)."""
    return nn.Sequential(block(channels, width), block(width, width))


def unet(
    input_shape: Sequence[int],
    num_outputs: int,
    *,
    size: str | None = None,
    activation: str = "relu",
    norm: str | None = "batch",
    residual: bool = False,
) -> UNet:
    """Build a U-Net for images of a shape.

    Args:
        input_shape: the shape of one image, (C, H, W).
        num_outputs: unused; outputs have the shape of the inputs.
        size: tiny, small (the default) or base; see `SIZES`.
        activation: see `UNet`.
        norm: see `UNet`.
        residual: see `UNet`.

    Raises:
        ValueError: the shape is not an image shape of at least 8 x 8 pixels.
    """
    if len(input_shape) != 3 or min(input_shape[1:]) < SMALLEST_SIDE:
        raise ValueError(
            "unet expects images of shape (C, H, W) with H and W of at least "
            f"{SMALLEST_SIDE}, received inputs of shape {tuple(input_shape)}."
        )
    return UNet(input_shape[0], size=size or "small", activation=activation, norm=norm, residual=residual)


BUILDERS = {"unet": unet}
"""Builders of this file by the name that configs use."""
