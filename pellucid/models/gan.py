"""The DCGAN: a generator that maps noise to images, and a discriminator of real and generated images.

    z (B, latent_dim) -> linear -> (B, 2 D, h, w) -> (B, D, 2 h, 2 w) -> (B, C, 4 h, 4 w) in 0..1,
        cropped to images (B, C, H, W)
    images -> (B, D, 2 h, 2 w) -> (B, 2 D, h, w) -> linear -> logits (B,): above 0 means real

Goodfellow et al. 2014, with the networks of Radford, Metz and Chintala 2016: strides instead of pooling,
batch norm, ReLU in the generator and leaky ReLU in the discriminator, weights from N(0, 0.02). The options
of the discriminator are remedies of later papers for unstable training:
    norm="spectral"     bounds its Lipschitz constant by 1 (Miyato et al. 2018)
    norm="layer"        does not mix examples, as a gradient penalty requires (Gulrajani et al. 2017); or None
    minibatch_std=True  adds the variation within the batch as a feature (Karras et al. 2018)
    pack=2              classifies two images at a time, which exposes mode collapse (PacGAN, Lin et al. 2018)

Shapes: B batch, C image channels, H and W height and width, h and w a quarter of them,
rounded up in the generator and down in the discriminator, D the width.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from pellucid.nn.names import lookup
from pellucid.nn.shapes import check_shape

SIZES: dict[str, int] = {"tiny": 16, "small": 32, "base": 64}
"""Width D by size."""

NORMS: dict[str, Callable[[int], nn.Module]] = {
    "batch": nn.BatchNorm2d,
    "layer": lambda channels: nn.GroupNorm(1, channels),
    "instance": lambda channels: nn.InstanceNorm2d(channels, affine=True),
    "spectral": lambda channels: nn.Identity(),  # it normalizes weights, not feature maps
}
"""Normalization layers of the discriminator by name."""

LABEL_DIM = 16
"""Dimension of the label embedding in the generator."""


class Generator(nn.Module):
    """Generate images with pixels in 0..1 from noise.

    Args:
        image_shape: (C, H, W), H and W at least 4.
        latent_dim: dimension of the noise.
        width: D.
        num_classes: number of classes to condition on, or None.
    """

    def __init__(
        self, image_shape: Sequence[int], latent_dim: int, *, width: int, num_classes: int | None = None
    ):
        super().__init__()
        channels, height, side = image_shape
        low = (2 * width, -(-height // 4), -(-side // 4))  # rounded up
        self.latent_dim, self.image_shape = latent_dim, tuple(image_shape)
        self.embedding = nn.Embedding(num_classes, LABEL_DIM) if num_classes else None
        features = latent_dim + (LABEL_DIM if num_classes else 0)
        self.layers = nn.Sequential(
            nn.Linear(features, low[0] * low[1] * low[2], bias=False),
            nn.Unflatten(1, low),
            nn.BatchNorm2d(2 * width),
            nn.ReLU(),
            nn.ConvTranspose2d(2 * width, width, 4, stride=2, padding=1, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(),
            nn.ConvTranspose2d(width, channels, 4, stride=2, padding=1),
            nn.Tanh(),
        )
        _init(self)

    def forward(
        self, z: Float[Tensor, "B latent_dim"], labels: Int[Tensor, "B"] | None = None
    ) -> Float[Tensor, "B C H W"]:
        check_shape("Generator", "noise", (self.latent_dim,), z)
        if self.embedding is not None:
            z = torch.cat([z, self.embedding(_require_labels("Generator", labels))], dim=1)
        _, height, width = self.image_shape
        return (self.layers(z)[..., :height, :width] + 1) / 2


class Discriminator(nn.Module):
    """Classify images as real or generated; returns logits.

    Args:
        image_shape: (C, H, W), H and W at least 4.
        width: D.
        num_classes: number of classes to condition on (projection, Miyato and Koyama 2018), or None.
        norm: one of `NORMS`, or None.
        minibatch_std: whether to add a feature map with the standard deviation over the batch; the logits of
            a batch then depend on each other.
        pack: number of images m that are classified together; a batch of B gives ceil(B / m) logits.

    Raises:
        ValueError: an unknown norm, a pack below 1, or a pack above 1 together with classes.
    """

    def __init__(
        self,
        image_shape: Sequence[int],
        *,
        width: int,
        num_classes: int | None = None,
        norm: str | None = "batch",
        minibatch_std: bool = False,
        pack: int = 1,
    ):
        super().__init__()
        if pack < 1 or (pack > 1 and num_classes):
            raise ValueError(
                "Discriminator expects a pack of 1 or more images, and a pack of 1 if it is conditional, "
                f"received pack={pack} and num_classes={num_classes}."
            )
        channels, height, side = image_shape
        make_norm = nn.Identity if norm is None else lookup("discriminator norm", norm, NORMS)
        self.image_shape, self.pack, self.minibatch_std = tuple(image_shape), pack, minibatch_std
        self.layers = nn.Sequential(
            nn.Conv2d(channels * pack, width, 4, stride=2, padding=1),
            nn.LeakyReLU(0.2),
            nn.Conv2d(width, 2 * width, 4, stride=2, padding=1, bias=norm in (None, "spectral")),
            make_norm(2 * width),
            nn.LeakyReLU(0.2),
        )
        features = (2 * width + minibatch_std) * (height // 4) * (side // 4)
        self.output = nn.Linear(features, 1)
        self.embedding = nn.Embedding(num_classes, features) if num_classes else None
        _init(self)
        if self.embedding is not None:
            nn.init.normal_(self.embedding.weight, std=0.02)
        if norm == "spectral":
            for layer in (self.layers[0], self.layers[2], self.output, self.embedding):
                if layer is not None:
                    spectral_norm(layer)

    def forward(
        self, images: Float[Tensor, "B C H W"], labels: Int[Tensor, "B"] | None = None
    ) -> Float[Tensor, "N"]:
        maps = self.layers(2 * self._pack(images) - 1)  # (B / m, 2 D, h, w)
        if self.minibatch_std:
            maps = torch.cat([maps, _batch_std(maps)], dim=1)
        features = maps.flatten(1)
        logits = self.output(features).squeeze(1)  # (B / m,)
        if self.embedding is None:
            return logits
        return logits + (self.embedding(_require_labels("Discriminator", labels)) * features).sum(1)

    def _pack(self, images: Tensor) -> Tensor:
        """(B, C, H, W) -> (ceil(B / m), m C, H, W); the last pack is filled up with the first images."""
        check_shape("Discriminator", "images", self.image_shape, images)
        if len(images) % self.pack:
            whole = len(images) + -len(images) % self.pack
            images = images[torch.arange(whole, device=images.device) % len(images)]
        channels, *sides = self.image_shape
        return images.reshape(-1, self.pack * channels, *sides)


class GAN(nn.Module):
    """A generator and its discriminator; `forward` generates.

    Args:
        generator: (z[, labels]) -> images.
        discriminator: (images[, labels]) -> logits.

    Attributes:
        latent_dim: dimension of the noise.
        conditional: whether both networks take class labels.
    """

    def __init__(self, generator: Generator, discriminator: Discriminator):
        super().__init__()
        self.generator, self.discriminator = generator, discriminator
        self.latent_dim, self.conditional = generator.latent_dim, generator.embedding is not None

    def forward(
        self, z: Float[Tensor, "B latent_dim"], labels: Int[Tensor, "B"] | None = None
    ) -> Float[Tensor, "B C H W"]:
        return self.generator(z, labels)


def _batch_std(maps: Tensor) -> Tensor:
    """(B, C, H, W) -> (B, 1, H, W): the standard deviation over the batch, averaged over all features."""
    deviation = (maps.var(dim=0, correction=0) + 1e-8).sqrt().mean()
    return deviation.expand(len(maps), 1, *maps.shape[2:])


def _require_labels(model: str, labels: Tensor | None) -> Tensor:
    if labels is None:
        raise ValueError(f"{model} expects labels (B,), because it is conditional; received None.")
    return labels


def _init(model: nn.Module) -> None:
    """Draw weights from N(0, 0.02), those of norms from N(1, 0.02) (Radford et al. 2016, section 4)."""
    for layer in model.modules():
        if isinstance(layer, (nn.Linear, nn.Conv2d, nn.ConvTranspose2d)):
            nn.init.normal_(layer.weight, std=0.02)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
        elif isinstance(layer, (nn.BatchNorm2d, nn.GroupNorm, nn.InstanceNorm2d)):
            nn.init.normal_(layer.weight, mean=1, std=0.02)


def dcgan(
    input_shape: Sequence[int],
    num_outputs: int,
    *,
    size: str | None = None,
    latent_dim: int = 64,
    conditional: bool = False,
    norm: str | None = "batch",
    minibatch_std: bool = False,
    pack: int = 1,
) -> GAN:
    """Build a DCGAN for images of a shape.

    Args:
        input_shape: the shape of one image, (C, H, W), H and W at least 4.
        num_outputs: number of classes; used only if the model is conditional.
        size: tiny, small (the default) or base, the size in the paper; see `SIZES`.
        latent_dim: see `Generator`.
        conditional: whether both networks take class labels.
        norm: norm of the discriminator; see `Discriminator`.
        minibatch_std: see `Discriminator`.
        pack: see `Discriminator`.

    Raises:
        ValueError: the shape is not an image shape with H and W of at least 4, or see `Discriminator`.

    Example:
        >>> import torch
        >>> model = dcgan((1, 28, 28), 10)
        >>> images = model(torch.randn(16, model.latent_dim))
        >>> images.shape, model.discriminator(images).shape
        (torch.Size([16, 1, 28, 28]), torch.Size([16]))
    """
    if len(input_shape) != 3 or min(input_shape[1:]) < 4:
        raise ValueError(
            "dcgan expects images of shape (C, H, W) with H and W of at least 4, "
            f"received inputs of shape {tuple(input_shape)}."
        )
    width = lookup("dcgan size", size or "small", SIZES)
    num_classes = num_outputs if conditional else None
    options = {"norm": norm, "minibatch_std": minibatch_std, "pack": pack}
    return GAN(
        Generator(input_shape, latent_dim, width=width, num_classes=num_classes),
        Discriminator(input_shape, width=width, num_classes=num_classes, **options),
    )


BUILDERS = {"dcgan": dcgan}
"""Builders of this file by the name that configs use."""
