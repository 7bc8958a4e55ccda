"""The latent space of a model: what encodes rows as vectors, and what decodes vectors.

    an autoencoder    encode(x) -> z (B, D), or (mu, logvar) of a variational one; decode(z) -> x
    encoder, decoder  the same as modules
    a GAN             generator(z[, labels]) -> x; latent_dim

Vectors are decoded as the model itself does: an autoencoder that returns logits of pixels gives logits.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pellucid.errors import ModelError
from pellucid.lens.views.subject import Subject, array

Decode = Callable[[Tensor], Any]


@dataclass(frozen=True)
class LatentSpace:
    """A latent space.

    Attributes:
        subject: the model.
        dim: D.
        codes: (B, D) of the rows of the batch, of a variational autoencoder mu; None of a GAN.
        variational: whether rows are encoded as mu and logvar, with N(0, I) as the prior.
        decode: z (n, D) -> what the model makes of it, inside of `Subject.computing`.
        conditional: whether `decode` takes a class, see `decoded`.
    """

    subject: Subject
    dim: int
    codes: Tensor | None
    variational: bool
    decode: Callable[..., Any]
    conditional: bool = False

    @property
    def normal(self) -> bool:
        """Whether codes are drawn from N(0, I): of a GAN, and of a variational autoencoder."""
        return self.codes is None or self.variational

    def decoded(self, codes: np.ndarray | Tensor, label: int = 0) -> np.ndarray:
        """Return what the model makes of codes (n, D), (n, ...).

        Args:
            codes: float.
            label: the class of all of them, of a conditional generator.
        """
        weight = next(self.subject.model.parameters())
        z = torch.as_tensor(codes).to(weight)
        with self.subject.computing():
            if self.conditional:
                made = self.decode(z, torch.full((len(z),), label, device=z.device))
            else:
                made = self.decode(z)
        return array(made[0] if isinstance(made, tuple) else made)

    def noise(self, count: int, seed: int) -> Tensor:
        """Return codes (count, D) from N(0, I), the same for the same seed."""
        return torch.randn(count, self.dim, generator=torch.Generator().manual_seed(seed))


def latent_space(subject: Subject) -> LatentSpace:
    """Return the latent space of a model.

    Raises:
        ModelError: it has none, or codes that are no vectors; a sentence that follows "This model".
    """
    model: Any = subject.model
    if callable(getattr(model, "generator", None)) and isinstance(getattr(model, "latent_dim", None), int):
        conditional = bool(getattr(model, "conditional", False))
        return LatentSpace(subject, model.latent_dim, None, False, model.generator, conditional)
    pairs = (("encode", "decode"), ("encoder", "decoder"))
    pair = next((p for p in pairs if all(callable(getattr(model, name, None)) for name in p)), None)
    if pair is None:
        raise ModelError("has no encode and decode, and no generator")
    if not subject.floats:
        raise ModelError("encodes rows, and has no batch of numbers here")
    codes = _codes(subject, getattr(model, pair[0]))
    first = codes[0] if isinstance(codes, tuple) else codes
    if not isinstance(first, Tensor) or first.ndim != 2 or not first.is_floating_point():
        raise ModelError("does not encode a row as one vector")
    variational = isinstance(codes, tuple) and len(codes) == 2 and codes[1].shape == first.shape
    return LatentSpace(subject, first.shape[1], first, variational, getattr(model, pair[1]))


def _codes(subject: Subject, encode: Callable[[Tensor], Any]) -> Any:
    try:
        with subject.computing():
            return encode(subject.floats[0])
    except Exception as error:
        raise ModelError(f"cannot encode this batch: {error}".split("\n")[0]) from error


def no_latent_space(subject: Subject) -> str:
    """Say why a subject has no latent space; "" where it has."""
    try:
        latent_space(subject)
    except ModelError as error:
        return str(error)
    return ""
