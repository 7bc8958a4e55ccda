"""What some objectives ask of a model, beyond that it can be called."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol, cast, runtime_checkable

from torch import Tensor, nn

from pellucid.errors import ModelError


class GANModel(Protocol):
    """Two networks that learn from each other.

    Attributes:
        generator: (z[, labels]) -> images.
        discriminator: (images[, labels]) -> logits.
        latent_dim: numbers of noise for an image.
        conditional: whether both are told labels.
    """

    generator: nn.Module
    discriminator: nn.Module
    latent_dim: int
    conditional: bool


class TiedLanguageModel(Protocol):
    """A language model whose last layer is linear."""

    def hidden(self, tokens: Tensor, /) -> Tensor:
        """Return (B, T, H), what logits are made of."""
        ...

    def output_weights(self) -> tuple[Tensor, Tensor | None]:
        """Return the weights (V, H) that make logits of it, and the biases (V,) if there are any."""
        ...


@runtime_checkable
class CountsData(Protocol):
    """A model of which a part is counted rather than learned."""

    def count_batches(self, batches: Iterable[tuple[Tensor, Tensor]], /) -> None:
        """Look at every training batch once, before learning begins.

        Raises:
            ValueError: they are not what can be counted.
        """
        ...


class Autoencoding(Protocol):
    """A network that squeezes images into something smaller, and one that draws them again from it."""

    def encode(self, images: Tensor, /) -> Tensor | tuple[Tensor, Tensor]:
        """Return z (B, latent_dim), or of a variational one (mu, logvar)."""
        ...

    def decode(self, z: Tensor, /) -> Tensor:
        """Return what stands for images in the outputs of the model, such as logits."""
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
    """Take a model for two networks that learn from each other.

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
    """Take a model for a language model whose last layer is linear.

    Raises:
        ModelError: it is something else.
    """
    _check(model, "a language model that scores some of its tokens", ("hidden", "output_weights"), "lstm_lm")
    return cast(TiedLanguageModel, model)


def autoencoding(model: nn.Module) -> Autoencoding:
    """Take a model for an autoencoder.

    Raises:
        ModelError: it is something else.
    """
    _check(model, "an autoencoder", ("encode", "decode"), "autoencoder")
    return cast(Autoencoding, model)


def variational(model: nn.Module) -> Variational:
    """Take a model for a variational autoencoder.

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
