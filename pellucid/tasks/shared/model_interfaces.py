"""What some objectives need of a model, in addition to calling it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol, cast, runtime_checkable

from torch import Tensor, nn

from pellucid.errors import ModelError


class GANModel(Protocol):
    """A generator and a discriminator.

    Attributes:
        generator: (z[, labels]) -> images.
        discriminator: (images[, labels]) -> logits.
        latent_dim: size of the noise vector of an image.
        conditional: whether both take labels.
    """

    generator: nn.Module
    discriminator: nn.Module
    latent_dim: int
    conditional: bool


class TiedLanguageModel(Protocol):
    """A language model whose last layer is linear."""

    def hidden(self, tokens: Tensor, /) -> Tensor:
        """Return the inputs of the last layer, (B, T, H)."""
        ...

    def output_weights(self) -> tuple[Tensor, Tensor | None]:
        """Return the weights (V, H) that make logits of it, and the biases (V,) if there are any."""
        ...


@runtime_checkable
class CountsData(Protocol):
    """A model of which a part is counted, not learned."""

    def count_batches(self, batches: Iterable[tuple[Tensor, Tensor]], /) -> None:
        """Count every training batch once, before training starts.

        Raises:
            ValueError: they cannot be counted.
        """
        ...


class Autoencoding(Protocol):
    """An encoder and a decoder of images."""

    def encode(self, images: Tensor, /) -> Tensor | tuple[Tensor, Tensor]:
        """Return z (B, latent_dim), or of a variational one (mu, logvar)."""
        ...

    def decode(self, z: Tensor, /) -> Tensor:
        """Return images as the model outputs them, e.g. as logits."""
        ...


class Variational(Autoencoding, Protocol):
    """An autoencoder whose z are drawn from N(mu, exp(logvar)).

    Attributes:
        latent_dim: numbers in z.
    """

    latent_dim: int

    def encode(self, images: Tensor, /) -> tuple[Tensor, Tensor]:
        """Return mu and logvar, each (B, latent_dim)."""
        ...


def gan_model(model: nn.Module) -> GANModel:
    """Return a model as a GAN.

    Raises:
        ModelError: it is something else.
    """
    _check(
        model,
        "a generator and its discriminator",
        ("generator", "discriminator", "latent_dim", "conditional"),
        "dcgan",
    )
    return cast(GANModel, model)


def is_tied_language_model(model: nn.Module) -> bool:
    """Whether a model is one of `TiedLanguageModel`."""
    return hasattr(model, "hidden") and hasattr(model, "output_weights")


def tied_language_model(model: nn.Module) -> TiedLanguageModel:
    """Return a model as a language model with a linear last layer.

    Raises:
        ModelError: it is something else.
    """
    _check(model, "a language model that scores some of its tokens", ("hidden", "output_weights"), "lstm_lm")
    return cast(TiedLanguageModel, model)


def autoencoding(model: nn.Module) -> Autoencoding:
    """Return a model as an autoencoder.

    Raises:
        ModelError: it is something else.
    """
    _check(model, "an autoencoder", ("encode", "decode"), "autoencoder")
    return cast(Autoencoding, model)


def variational(model: nn.Module) -> Variational:
    """Return a model as a variational autoencoder.

    Raises:
        ModelError: it is something else.
    """
    _check(model, "a variational autoencoder", ("encode", "decode", "latent_dim"), "vae")
    return cast(Variational, model)


def _check(model: nn.Module, kind: str, wanted: tuple[str, ...], example: str) -> None:
    missing = [name for name in wanted if not hasattr(model, name)]
    if missing:
        raise ModelError(
            f"Expected {kind}, a model with {', '.join(wanted)}; received a {type(model).__name__} without "
            f"{' and '.join(missing)}.",
            remedy=f"--set model.name={example}",
        )
