"""The VQ-VAE: an autoencoder with discrete latents, the entries of a learned codebook.

    x (B, C, H, W) -> encoder -> (B, D, h, w) -> nearest of K codes -> (B, D, h, w) -> decoder -> x'

Van den Oord, Vinyals and Kavukcuoglu 2017, Neural Discrete Representation Learning. Every position of the
low-resolution feature map is replaced by the nearest vector of a codebook. That step has no gradient, so
the gradient of the decoder is copied to the encoder (straight-through estimator), and a codebook loss pulls
codes and encoder outputs together: |sg(z) - e|^2 + 0.25 |z - sg(e)|^2, where sg stops the gradient
(equation 3). Encoder outputs are normalized to mean 0 and variance 1, the distribution of the initial codes:
a code that starts far from all outputs is never the nearest and never learns.

Shapes: B batch, C image channels, H and W height and width, h and w a quarter of them, K codes of
dimension D.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from pellucid.models.autoencoder import SIZES, Down, Up
from pellucid.nn.names import lookup
from pellucid.nn.shapes import check_shape

COMMITMENT = 0.25
"""Weight of the commitment loss, which pulls encoder outputs to the codes; the codebook loss has weight 1."""


class VQVAEOutput(NamedTuple):
    """The outputs of a VQ-VAE.

    Attributes:
        recon: raw pixel values, (B, C, H, W).
        codes: indices of the codes, int64 (B, h, w), 0..K - 1.
        codebook_loss: the loss that pulls codes and encoder outputs together, a scalar.
    """

    recon: Tensor
    codes: Tensor
    codebook_loss: Tensor


class VQVAE(nn.Module):
    """A vector-quantized autoencoder for images.

    Args:
        input_shape: the shape of one image, (C, H, W).
        num_codes: K.
        latent_dim: D.
        size: tiny, small or base; see `pellucid.models.autoencoder.SIZES`.
        activation: one of `pellucid.nn.ACTIVATIONS`.
        norm: normalization after each convolution: None, "batch" or "layer".

    Raises:
        ValueError: the shape is not an image shape, or an unknown size, activation or norm.

    Example:
        >>> import torch
        >>> VQVAE((1, 28, 28)).encode(torch.zeros(2, 1, 28, 28)).shape
        torch.Size([2, 7, 7])
    """

    def __init__(
        self,
        input_shape: Sequence[int],
        *,
        num_codes: int = 128,
        latent_dim: int = 16,
        size: str = "small",
        activation: str = "relu",
        norm: str | None = "batch",
    ):
        super().__init__()
        if len(input_shape) != 3:
            raise ValueError(
                f"VQVAE expects images of shape (C, H, W), received inputs of shape {tuple(input_shape)}."
            )
        plan = lookup("vqvae size", size, SIZES)
        self.input_shape, self.latent_dim = tuple(input_shape), latent_dim
        channels = plan.channels[-1]
        self.down = Down(input_shape[0], plan, activation=activation, norm=norm)
        self.to_latent = nn.Sequential(
            nn.Conv2d(channels, latent_dim, 1), nn.BatchNorm2d(latent_dim, affine=False)
        )
        self.codebook = nn.Embedding(num_codes, latent_dim)
        self.from_latent = nn.Conv2d(latent_dim, channels, 1)
        self.up = Up(input_shape, plan, activation=activation, norm=norm)

    def forward(self, x: Float[Tensor, "B C H W"]) -> VQVAEOutput:
        latents = self._latents(x)
        codes = self._nearest(latents)
        chosen = self._look_up(codes)
        pull = F.mse_loss(chosen, latents.detach()) + COMMITMENT * F.mse_loss(latents, chosen.detach())
        straight_through = latents + (chosen - latents).detach()
        return VQVAEOutput(self.up(self.from_latent(straight_through)), codes, pull)

    def encode(self, x: Float[Tensor, "B C H W"]) -> Int[Tensor, "B h w"]:
        """Return the index of the code at each position."""
        return self._nearest(self._latents(x))

    def decode(self, codes: Int[Tensor, "B h w"]) -> Float[Tensor, "B C H W"]:
        """Return raw pixel values for code indices."""
        return self.up(self.from_latent(self._look_up(codes)))

    def _latents(self, x: Tensor) -> Tensor:
        check_shape("VQVAE", "images", self.input_shape, x)
        return self.to_latent(self.down(x))  # (B, D, h, w)

    def _nearest(self, latents: Tensor) -> Tensor:
        vectors = latents.detach().permute(0, 2, 3, 1)  # (B, h, w, D)
        codes = self.codebook.weight  # (K, D)
        distances = codes.square().sum(1) - 2 * vectors @ codes.T  # (B, h, w, K), without |z|^2
        return distances.argmin(-1)

    def _look_up(self, codes: Tensor) -> Tensor:
        return self.codebook(codes).permute(0, 3, 1, 2)  # (B, D, h, w)


def vqvae(
    input_shape: Sequence[int],
    num_outputs: int,
    *,
    size: str | None = None,
    num_codes: int = 128,
    latent_dim: int = 16,
    activation: str = "relu",
    norm: str | None = "batch",
) -> VQVAE:
    """Build a VQ-VAE for images of a shape.

    Args:
        input_shape: the shape of one image, (C, H, W).
        num_outputs: unused; outputs have the shape of the inputs.
        size: tiny, small (the default) or base; see `pellucid.models.autoencoder.SIZES`.
        num_codes: see `VQVAE`.
        latent_dim: see `VQVAE`.
        activation: see `VQVAE`.
        norm: see `VQVAE`.
    """
    return VQVAE(
        input_shape,
        num_codes=num_codes,
        latent_dim=latent_dim,
        size=size or "small",
        activation=activation,
        norm=norm,
    )


BUILDERS = {"vqvae": vqvae}
"""Builders of this file by the name that configs use."""
