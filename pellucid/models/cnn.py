"""Convolutional networks from LeNet to a small ResNet, chosen by `size`.

    x (B, C, H, W) -> stages -> average to a grid (B, D, G, G) -> flatten -> [hidden layer] -> logits (B, K)
    stage: conv blocks, the last with a max-pool by 2; in ResNets a residual block follows

Shapes: B batch, C image channels, D channels of the last stage, G side of the grid, K classes. Images may
have any height and width of at least 8, because the last feature map is averaged to a fixed grid.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor, nn

from pellucid.nn import ConvBlock, ResidualBlock, init_weights
from pellucid.nn import activation as make_activation
from pellucid.nn import norm as make_norm
from pellucid.nn.names import lookup

LARGEST_FIRST_MAP = 64
"""Side in pixels of the largest first feature map; the first convolution downsamples larger images."""


@dataclass(frozen=True)
class CNNPlan:
    """The dimensions of a size.

    Attributes:
        stages: the channels of each convolution, by stage; every stage halves height and width.
        kernel_size: side of the convolution kernels.
        residual: whether a residual block follows each stage except the first.
        grid: largest side of the grid that the last feature map is averaged to.
        hidden: width of the fully connected layer before the logits; 0 for none.
    """

    stages: tuple[tuple[int, ...], ...]
    kernel_size: int = 3
    residual: bool = False
    grid: int = 7
    hidden: int = 0


SIZES: dict[str, CNNPlan] = {
    "tiny": CNNPlan(((6,), (16,)), kernel_size=5, grid=5, hidden=84),  # LeNet-5, LeCun et al. 1998
    "small": CNNPlan(((16,), (32, 64), (128,)), grid=3),  # VGG-like, after Simonyan and Zisserman 2015
    "base": CNNPlan(((64,), (128,), (256,)), residual=True, grid=1),  # ResNet, He et al. 2016
}
"""Dimensions by size."""


class CNN(nn.Module):
    """A convolutional classifier; returns logits.

    Args:
        num_classes: K.
        in_channels: C; 1 for gray images, 3 for color.
        image_size: expected side of the images, in pixels. It determines the stride of the first convolution
            and the size of the grid; images of other sizes work as well.
        size: tiny (LeNet), small (VGG-like) or base (a small ResNet); see `SIZES`.
        activation: one of `pellucid.nn.ACTIVATIONS`.
        norm: normalization after each convolution and the hidden layer: None, "batch" or "layer".
        dropout: probability of zeroing a feature before the logits in training, 0..1.

    Raises:
        ValueError: an unknown size, activation or norm, or an image size below 8.

    Example:
        >>> import torch
        >>> CNN(num_classes=10)(torch.zeros(32, 1, 28, 28)).shape
        torch.Size([32, 10])
    """

    def __init__(
        self,
        num_classes: int = 10,
        in_channels: int = 1,
        *,
        image_size: int = 28,
        size: str = "small",
        activation: str = "relu",
        norm: str | None = "batch",
        dropout: float = 0.0,
    ):
        super().__init__()
        if image_size < 8:
            raise ValueError(
                f"CNN expects images of at least 8 x 8 pixels, received an image size of {image_size}."
            )
        plan = lookup("cnn size", size, SIZES)
        stride = -(-image_size // LARGEST_FIRST_MAP)  # rounded up
        shrink = stride * 2 ** len(plan.stages)
        grid = min(plan.grid, image_size // shrink)
        self.in_channels = in_channels
        self.smallest_side = shrink

        block = {"norm": norm, "activation": activation}
        self.stages = nn.Sequential()
        channels = in_channels
        for index, widths in enumerate(plan.stages):
            first = stride if index == 0 else 1
            self.stages.append(_stage(channels, widths, plan.kernel_size, stride=first, **block))
            channels = widths[-1]
            if plan.residual and index > 0:
                self.stages.append(ResidualBlock(channels, **block))
        self.pool = nn.AdaptiveAvgPool2d(grid)
        features = channels * grid**2
        self.hidden = _hidden(features, plan.hidden, **block)
        self.dropout = nn.Dropout(dropout)
        self.output = nn.Linear(plan.hidden or features, num_classes)
        init_weights(self, activation, self.output)

    def forward(self, x: Float[Tensor, "B C H W"]) -> Float[Tensor, "B K"]:
        self._check(x)
        maps = self.stages(x)  # (B, D, H / shrink, W / shrink)
        features = self.pool(maps).flatten(1)  # (B, D * G * G)
        return self.output(self.dropout(self.hidden(features)))  # (B, K)

    def _check(self, x: Tensor) -> None:
        side = self.smallest_side
        if x.ndim != 4 or x.shape[1] != self.in_channels or min(x.shape[2:]) < side:
            raise ValueError(
                f"CNN expects images (B, {self.in_channels}, H, W) with H and W of at least {side}, "
                f"received {tuple(x.shape)}."
            )


def _stage(
    channels: int, widths: Sequence[int], kernel_size: int, *, stride: int, norm: str | None, activation: str
) -> nn.Sequential:
    """(B, channels, H, W) -> (B, widths[-1], H / stride / 2, W / stride / 2)."""
    stage = nn.Sequential()
    for number, width in enumerate(widths, 1):
        side = max(kernel_size, 2 * stride - 1)  # so that a large stride skips no pixel
        pool = number == len(widths)
        block = ConvBlock(
            channels, width, kernel_size=side, stride=stride, pool=pool, norm=norm, activation=activation
        )
        stage.append(block)
        channels, stride = width, 1
    return stage


def _hidden(features: int, width: int, *, norm: str | None, activation: str) -> nn.Sequential:
    """(B, features) -> (B, width); no layer if the width is 0."""
    if not width:
        return nn.Sequential()
    linear = nn.Linear(features, width, bias=norm is None)
    return nn.Sequential(linear, make_norm(norm, width), make_activation(activation))


def cnn(
    input_shape: Sequence[int],
    num_outputs: int,
    *,
    size: str | None = None,
    activation: str = "relu",
    norm: str | None = "batch",
    dropout: float = 0.2,
) -> CNN:
    """Build a CNN for images of a shape.

    Args:
        input_shape: the shape of one image, (C, H, W).
        num_outputs: K.
        size: tiny, small (the default) or base; see `SIZES`.
        activation: see `CNN`.
        norm: see `CNN`.
        dropout: see `CNN`.

    Raises:
        ValueError: the shape is not an image shape.
    """
    if len(input_shape) != 3:
        raise ValueError(
            f"cnn expects images of shape (C, H, W), received inputs of shape {tuple(input_shape)}."
        )
    channels, height, width = input_shape
    return CNN(
        num_outputs,
        channels,
        image_size=min(height, width),
        size=size or "small",
        activation=activation,
        norm=norm,
        dropout=dropout,
    )


BUILDERS = {"cnn": cnn}
"""Builders of this file by the name that configs use."""
