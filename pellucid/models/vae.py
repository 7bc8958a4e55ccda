"""The variational autoencoder: an autoencoder whose latent vectors can be sampled.

    x (B, C, H, W) -> encoder -> mu, logvar (B, latent_dim) -> z = mu + exp(logvar / 2) * noise
    z -> decoder -> logits (B, C, H, W)

Kingma and Welling 2014, Auto-Encoding Variational Bayes. The encoder maps an image to a distribution over
the latent space, a normal distribution q(z | x) with diagonal covariance. The reparameterization trick
(section 2.4) computes z from mu, logvar and noise, so that gradients flow through the sampling. The logits
are those of one Bernoulli variable per pixel. The loss, reconstruction plus KL(q(z | x) || N(0, 1)), is part
of the objective.

Shapes: B batch, C image channels, H and W height and width.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn

from pellucid.models.autoencoder import image_decoder, image_encoder
from pellucid.nn.shapes import check_shape


class VAEOutput(NamedTuple):
    """The outputs of a VAE.

    Attributes:
        recon: logits of the pixels, (B, C, H, W).
        mu: means of q(z | x), (B, latent_dim).
        logvar: logarithms of the variances of q(z | x), (B, latent_dim).
    """

    recon: Tensor
    mu: Tensor
    logvar: Tensor


class VAE(nn.Module):
    """A variational autoencoder for images with pixels in 0..1.

    In training mode z is sampled; in evaluation mode z is mu.

    Args:
        input_shape: the shape of one image, (C, H, W).
        latent_dim: dimension of z.
        kind: "dense" or "conv".
        size: tiny, small or base; see `pellucid.models.autoencoder.SIZES`.
        activation: one of `pellucid.nn.ACTIVATIONS`.
        norm: normalization after hidden layers: None, "batch" or "layer".

    Raises:
        ValueError: the shape is not an image shape, or an unknown kind, size, activation or norm.

    Example:
        >>> import torch
        >>> model = VAE((1, 28, 28), latent_dim=20)
        >>> model.decode(torch.randn(5, 20)).sigmoid().shape  # five new images
        torch.Size([5, 1, 28, 28])
    """

    def __init__(
        self,
        input_shape: Sequence[int],
        *,
        latent_dim: int = 20,
        kind: str = "dense",
        size: str = "small",
        activation: str = "relu",
        norm: str | None = "batch",
    ):
        super().__init__()
        options = {"kind": kind, "size": size, "activation": activation, "norm": norm}
        self.input_shape, self.latent_dim = tuple(input_shape), latent_dim
        self.encoder = image_encoder(input_shape, 2 * latent_dim, **options)
        self.decoder = image_decoder(input_shape, latent_dim, **options)

    def forward(self, x: Float[Tensor, "B C H W"]) -> VAEOutput:
        mu, logvar = self.encode(x)
        z = mu + torch.exp(0.5 * logvar) * torch.randn_like(mu) if self.training else mu
        return VAEOutput(self.decode(z), mu, logvar)

    def encode(
        self, x: Float[Tensor, "B C H W"]
    ) -> tuple[Float[Tensor, "B latent_dim"], Float[Tensor, "B latent_dim"]]:
        """Return mu and logvar of q(z | x)."""
        check_shape("VAE", "images", self.input_shape, x)
        mu, logvar = self.encoder(x).chunk(2, dim=1)
        return mu, logvar

    def decode(self, z: Float[Tensor, "B latent_dim"]) -> Float[Tensor, "B C H W"]:
        """Return the logits of the pixels."""
        return self.decoder(z)


def vae(
    input_shape: Sequence[int],
    num_outputs: int,
    *,
    size: str | None = None,
    latent_dim: int = 20,
    kind: str = "dense",
    activation: str = "relu",
    norm: str | None = "batch",
) -> VAE:
    """Build a variational autoencoder for images of a shape.

    Args:
        input_shape: the shape of one image, (C, H, W).
        num_outputs: unused; outputs have the shape of the inputs.
        size: tiny, small (the default) or base; see `pellucid.models.autoencoder.SIZES`.
        latent_dim: see `VAE`.
        kind: see `VAE`.
        activation: see `VAE`.
        norm: see `VAE`.
    """
    return VAE(
        input_shape, latent_dim=latent_dim, kind=kind, size=size or "small", activation=activation, norm=norm
    )


BUILDERS = {"vae": vae}
"""Builders of this file by the name that configs use."""
