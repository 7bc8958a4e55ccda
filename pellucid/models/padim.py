r"""Patch distribution modeling: how unlike the normal ones each place of an image is.

    x (B, C, H, W) -> block 1 -> block 2 -> block 3     maps of a third, half as large each
                         features of all three at h x w places, the size of block 2
    logits (B, 1, h, w)    which places show a defect, learned from artificial ones
    distances (B, h, w)    of the features of each place from those of normal images at the same place

After Defard et al. 2021, PaDiM: the D features of each place are modeled by a Gaussian with a mean and a
covariance of its own, and scored by the squared Mahalanobis distance. There a network pretrained on ImageNet
makes the features; here it learns from the normal images themselves, by finding what was pasted into them
(Li et al. 2021, CutPaste). Features are whitened over all places and reduced to K numbers first, and each
covariance is shrunk towards that of all places: there may be fewer images than numbers.

Shapes: B batch, N normal images, C image channels, H and W height and width, L = h w places, D features,
K numbers.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from pellucid.nn import ConvBlock, init_weights
from pellucid.nn.init import init_output
from pellucid.nn.names import lookup
from pellucid.nn.shapes import check_shape

SIZES: dict[str, tuple[int, int, int]] = {"tiny": (16, 32, 64), "small": (24, 48, 96), "base": (48, 96, 192)}
"""Channels of each block by size."""
SMALLEST_SIDE = 8
LARGE = 40
"""Longer side in pixels from which the first block halves height and width too."""
REDUCED = 40
"""Numbers that the features of a place are reduced to, K."""
SHRINKAGE = 0.05
"""Weight of the covariance of all places, which is 1 after whitening, in that of each place."""
SAMPLED = 20_000
"""Places that features are whitened with."""


class PaDiM(nn.Module):
    """A network that finds defects, with a Gaussian of its features at each place; returns logits.

    Args:
        input_shape: the shape of one image, (C, H, W).
        size: tiny, small or base; see `SIZES`.
        activation: one of `pellucid.nn.ACTIVATIONS`.
        norm: normalization after each convolution: None, "batch" or "layer".

    Raises:
        ValueError: the shape is not an image shape of at least 8 x 8, or an unknown size, activation or norm.

    Example:
        >>> import torch
        >>> model = PaDiM((1, 28, 28)).eval()
        >>> model(torch.zeros(2, 1, 28, 28)).shape
        torch.Size([2, 1, 14, 14])
        >>> model.fit_normal(torch.rand(10, 1, 28, 28))
        >>> model.distances(torch.zeros(2, 1, 28, 28)).shape
        torch.Size([2, 14, 14])
    """

    center: Tensor
    whitening: Tensor
    mean: Tensor
    factor: Tensor

    def __init__(
        self,
        input_shape: Sequence[int],
        *,
        size: str = "small",
        activation: str = "relu",
        norm: str | None = "batch",
    ):
        super().__init__()
        widths = lookup("padim size", size, SIZES)
        if len(input_shape) != 3 or min(input_shape[1:]) < SMALLEST_SIDE:
            raise ValueError(
                f"PaDiM expects images of shape (C, H, W) with H and W of at least {SMALLEST_SIDE}, "
                f"received inputs of shape {tuple(input_shape)}."
            )
        self.input_shape = tuple(input_shape)
        first = 2 if max(input_shape[1:]) >= LARGE else 1
        self.blocks, before = nn.ModuleList(), input_shape[0]
        for width, stride in zip(widths, (first, 2, 2), strict=True):
            block = {"activation": activation, "norm": norm}
            self.blocks.append(
                nn.Sequential(
                    ConvBlock(before, width, stride=stride, **block), ConvBlock(width, width, **block)
                )
            )
            before = width
        self.output = nn.Conv2d(sum(widths), 1, 1)
        init_weights(self, activation)
        init_output(self.output)
        features = sum(widths)
        numbers, places = (
            min(REDUCED, features),
            -(-input_shape[1] // (2 * first)) * (-(-input_shape[2] // (2 * first))),
        )
        self.register_buffer("center", torch.zeros(features))
        self.register_buffer("whitening", torch.zeros(features, numbers))
        self.register_buffer("mean", torch.zeros(places, numbers))
        self.register_buffer("factor", torch.eye(numbers).repeat(places, 1, 1))

    def forward(self, x: Float[Tensor, "B C H W"]) -> Float[Tensor, "B 1 h w"]:
        return self.output(self.features(x))

    def features(self, x: Float[Tensor, "B C H W"]) -> Float[Tensor, "B D h w"]:
        """Return the features of each place of images."""
        check_shape("PaDiM", "images", self.input_shape, x)
        maps = []
        for block in self.blocks:
            x = block(x)
            maps.append(x)
        size = maps[1].shape[2:]
        coarse = F.interpolate(maps[2], size=size, mode="bilinear", align_corners=False)
        return torch.cat([F.adaptive_avg_pool2d(maps[0], size), maps[1], coarse], dim=1)

    @torch.no_grad()
    def fit_normal(self, images: Float[Tensor, "N C H W"]) -> None:
        """Fit the Gaussian of each place to normal images; in evaluation mode."""
        found = torch.cat([self.features(batch) for batch in images.split(64)])  # (N, D, h, w)
        found = found.flatten(2).permute(2, 0, 1)  # (L, N, D)
        flat = found.flatten(0, 1)
        spread = flat[torch.linspace(0, len(flat) - 1, min(SAMPLED, len(flat))).long()]
        center = spread.mean(0)
        values, vectors = torch.linalg.eigh((spread - center).T.cov(correction=0).double())
        kept = slice(len(values) - self.whitening.shape[1], None)
        scale = values[kept].clamp(min=1e-6 * float(values[-1].clamp(min=1e-12))).rsqrt()
        self.center.copy_(center)
        self.whitening.copy_((vectors[:, kept] * scale).float())
        reduced = (found - center) @ self.whitening  # (L, N, K)
        mean = reduced.mean(1)
        off = reduced - mean[:, None]
        covariance = off.mT @ off / off.shape[1] + SHRINKAGE * torch.eye(off.shape[2], device=off.device)
        self.mean.copy_(mean)
        self.factor.copy_(torch.linalg.inv(torch.linalg.cholesky(covariance)))  # its precision is F' F

    @torch.no_grad()
    def distances(self, images: Float[Tensor, "B C H W"]) -> Float[Tensor, "B h w"]:
        """Return the squared Mahalanobis distance of each place from normal images, per number, about 1."""
        found = self.features(images)
        reduced = (found.flatten(2).permute(2, 0, 1) - self.center) @ self.whitening - self.mean[:, None]
        squared = (reduced @ self.factor.mT).square().mean(2)  # (L, B)
        return squared.T.unflatten(1, found.shape[2:])


def padim(
    input_shape: Sequence[int],
    num_outputs: int,
    *,
    size: str | None = None,
    activation: str = "relu",
    norm: str | None = "batch",
) -> PaDiM:
    """Build a patch distribution model for images of a shape.

    Args:
        input_shape: the shape of one image, (C, H, W).
        num_outputs: unused; there is one logit for each place.
        size: tiny, small (the default) or base; see `SIZES`.
        activation: see `PaDiM`.
        norm: see `PaDiM`.
    """
    return PaDiM(input_shape, size=size or "small", activation=activation, norm=norm)


BUILDERS = {"padim": padim}
"""Builders of this file by the name that configs use."""
