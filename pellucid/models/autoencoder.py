"""Autoencoders: an encoder that compresses an image to a latent vector, and a decoder that reconstructs it.

    x (B, C, H, W) -> encoder -> z (B, latent_dim) -> decoder -> x' (B, C, H, W)
    dense: linear layers of decreasing and then increasing width
    conv:  two convolutions of stride 2 in the encoder, two transposed convolutions in the decoder

Hinton and Salakhutdinov 2006, Reducing the Dimensionality of Data with Neural Networks: with only linear
layers it is equivalent to principal component analysis, so any gain over PCA comes from the activations.
Trained on noisy inputs and clean targets it is a denoising autoencoder (Vincent et al. 2008). `vae.py` and
`vqvae.py` share its encoder and decoder.

Shapes: B batch, C image channels, H and W height and width, h and w a quarter of them, D channels.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from pellucid.nn import ConvBlock, ResidualBlock, gain, init_weights
from pellucid.nn import activation as make_activation
from pellucid.nn import norm as make_norm
from pellucid.nn.init import OUTPUT_GAIN
from pellucid.nn.names import lookup
from pellucid.nn.shapes import check_shape


@dataclass(frozen=True)
class AutoencoderPlan:
    """The dimensions of a size.

    Attributes:
        hidden: widths of the dense encoder; the decoder has them in reverse.
        channels: channels after the first and the second convolution of stride 2.
        blocks: number of residual blocks at the lowest resolution, in encoder and decoder each.
    """

    hidden: tuple[int, ...]
    channels: tuple[int, int]
    blocks: int = 0


SIZES: dict[str, AutoencoderPlan] = {
    "tiny": AutoencoderPlan((128,), (8, 16)),
    "small": AutoencoderPlan((512, 256), (32, 64)),
    "base": AutoencoderPlan((1024, 512), (32, 64), blocks=2),
}
"""Dimensions by size."""


class Autoencoder(nn.Module):
    """An autoencoder for images; returns raw pixel values, which may be outside the range of the data.

    Args:
        input_shape: the shape of one image, (C, H, W).
        latent_dim: dimension of the latent vector.
        kind: "dense" or "conv".
        size: tiny, small or base; see `SIZES`.
        activation: one of `pellucid.nn.ACTIVATIONS`.
        norm: normalization after hidden layers: None, "batch" or "layer".

    Raises:
        ValueError: the shape is not an image shape, or an unknown kind, size, activation or norm.

    Example:
        >>> import torch
        >>> model = Autoencoder((1, 28, 28))
        >>> model(torch.zeros(2, 1, 28, 28)).shape, model.encode(torch.zeros(2, 1, 28, 28)).shape
        (torch.Size([2, 1, 28, 28]), torch.Size([2, 32]))
    """

    def __init__(
        self,
        input_shape: Sequence[int],
        *,
        latent_dim: int = 32,
        kind: str = "dense",
        size: str = "small",
        activation: str = "relu",
        norm: str | None = None,
    ):
        super().__init__()
        options = {"kind": kind, "size": size, "activation": activation, "norm": norm}
        self.input_shape, self.latent_dim = tuple(input_shape), latent_dim
        self.encoder = image_encoder(input_shape, latent_dim, **options)
        self.decoder = image_decoder(input_shape, latent_dim, **options)

    def forward(self, x: Float[Tensor, "B C H W"]) -> Float[Tensor, "B C H W"]:
        return self.decode(self.encode(x))

    def encode(self, x: Float[Tensor, "B C H W"]) -> Float[Tensor, "B latent_dim"]:
        """Return the latent code of images."""
        check_shape("Autoencoder", "images", self.input_shape, x)
        return self.encoder(x)

    def decode(self, z: Float[Tensor, "B latent_dim"]) -> Float[Tensor, "B C H W"]:
        """Return images, or logits of pixels, from latent codes."""
        return self.decoder(z)


# ---- encoder and decoder ---------------------------------------------------------------------------


class Down(nn.Sequential):
    """Downsample images by 4, rounded up: (B, C, H, W) -> (B, D, h, w)."""

    def __init__(self, channels: int, plan: AutoencoderPlan, *, activation: str, norm: str | None):
        block = {"activation": activation, "norm": norm}
        first, second = plan.channels
        super().__init__(
            ConvBlock(channels, first, stride=2, **block),
            ConvBlock(first, second, stride=2, **block),
            *(ResidualBlock(second, **block) for _ in range(plan.blocks)),
        )
        init_weights(self, activation)


class Up(nn.Module):
    """Upsample feature maps by 4, cropped to the image shape: (B, D, h, w) -> (B, C, H, W)."""

    def __init__(
        self, image_shape: Sequence[int], plan: AutoencoderPlan, *, activation: str, norm: str | None
    ):
        super().__init__()
        first, second = plan.channels
        block = {"activation": activation, "norm": norm}
        self.image_shape = tuple(image_shape)
        self.blocks = nn.Sequential(*(ResidualBlock(second, **block) for _ in range(plan.blocks)))
        self.enlarge = nn.ConvTranspose2d(second, first, 4, stride=2, padding=1, bias=norm is None)
        self.norm = make_norm(norm, first, maps=True)
        self.activation = make_activation(activation)
        self.output = nn.ConvTranspose2d(first, image_shape[0], 4, stride=2, padding=1)
        init_weights(self, activation)
        _init_transposed(self.enlarge, gain(activation))
        _init_transposed(self.output, OUTPUT_GAIN)

    def forward(self, maps: Float[Tensor, "B D h w"]) -> Float[Tensor, "B C H W"]:
        doubled = self.activation(self.norm(self.enlarge(self.blocks(maps))))  # (B, D', 2 h, 2 w)
        _, height, width = self.image_shape
        return self.output(doubled)[..., :height, :width]


def image_encoder(
    input_shape: Sequence[int],
    features: int,
    *,
    kind: str,
    size: str,
    activation: str,
    norm: str | None,
) -> nn.Sequential:
    """Build a network from images (B, C, H, W) to features (B, features); see `Autoencoder`.

    Raises:
        ValueError: the shape is not an image shape, or an unknown kind, size, activation or norm.
    """
    plan = _plan(input_shape, kind, size)
    if kind == "dense":
        widths = (math.prod(input_shape), *plan.hidden)
        layers = [nn.Flatten(), *_dense(widths, activation=activation, norm=norm)]
    else:
        layers = [Down(input_shape[0], plan, activation=activation, norm=norm), nn.Flatten()]
        widths = (math.prod(_low(input_shape, plan)),)
    output = nn.Linear(widths[-1], features)
    made = nn.Sequential(*layers, output)
    init_weights(made, activation, output)
    return made


def image_decoder(
    image_shape: Sequence[int],
    features: int,
    *,
    kind: str,
    size: str,
    activation: str,
    norm: str | None,
) -> nn.Sequential:
    """Build a network from features (B, features) to images (B, C, H, W); see `Autoencoder`.

    Raises:
        ValueError: the shape is not an image shape, or an unknown kind, size, activation or norm.
    """
    plan = _plan(image_shape, kind, size)
    if kind == "dense":
        widths = (features, *reversed(plan.hidden))
        output = nn.Linear(widths[-1], math.prod(image_shape))
        unflatten = nn.Unflatten(1, tuple(image_shape))
        made = nn.Sequential(*_dense(widths, activation=activation, norm=norm), output, unflatten)
        init_weights(made, activation, output)
        return made
    low = _low(image_shape, plan)
    project = nn.Sequential(*_dense((features, math.prod(low)), activation=activation, norm=norm))
    init_weights(project, activation)
    up = Up(image_shape, plan, activation=activation, norm=norm)
    return nn.Sequential(*project, nn.Unflatten(1, low), up)


def _plan(shape: Sequence[int], kind: str, size: str) -> AutoencoderPlan:
    lookup("kind of autoencoder", kind, {"dense": None, "conv": None})
    if len(shape) != 3 or min(shape[1:]) < 4:
        raise ValueError(
            "An autoencoder expects images of shape (C, H, W) with H and W of at least 4, "
            f"received inputs of shape {tuple(shape)}."
        )
    return lookup("autoencoder size", size, SIZES)


def _low(shape: Sequence[int], plan: AutoencoderPlan) -> tuple[int, int, int]:
    """Return (D, h, w), the shape of the feature maps at the lowest resolution."""
    _, height, width = shape
    return plan.channels[-1], -(-height // 4), -(-width // 4)


def _dense(widths: Sequence[int], *, activation: str, norm: str | None) -> list[nn.Module]:
    """Make linear layers, each followed by norm and activation: (B, widths[0]) -> (B, widths[-1])."""
    layers: list[nn.Module] = []
    for fan_in, fan_out in itertools.pairwise(widths):
        layers.append(nn.Linear(fan_in, fan_out, bias=norm is None))
        layers += [] if norm is None else [make_norm(norm, fan_out)]
        layers.append(make_activation(activation))
    return layers


@torch.no_grad()
def _init_transposed(layer: nn.ConvTranspose2d, scale: float) -> None:
    """Draw weights at the scale of `init_weights`: every output is a sum over a quarter of the kernel."""
    fan_in = layer.weight.shape[0] * layer.weight[0, 0].numel() / math.prod(layer.stride)
    nn.init.normal_(layer.weight, std=scale / math.sqrt(fan_in))
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)


# ---- builder ---------------------------------------------------------------------------------------


def autoencoder(
    input_shape: Sequence[int],
    num_outputs: int,
    *,
    size: str | None = None,
    latent_dim: int = 32,
    kind: str = "dense",
    activation: str = "relu",
    norm: str | None = None,
) -> Autoencoder:
    """Build an autoencoder for images of a shape.

    Args:
        input_shape: the shape of one image, (C, H, W).
        num_outputs: unused; outputs have the shape of the inputs.
        size: tiny, small (the default) or base; see `SIZES`.
        latent_dim: see `Autoencoder`.
        kind: see `Autoencoder`.
        activation: see `Autoencoder`.
        norm: see `Autoencoder`.
    """
    return Autoencoder(
        input_shape, latent_dim=latent_dim, kind=kind, size=size or "small", activation=activation, norm=norm
    )


BUILDERS = {"autoencoder": autoencoder}
"""Builders of this file by the name that configs use."""
