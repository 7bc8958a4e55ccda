"""Samples of a generator from fixed noise, so that steps of a run can be compared."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from pellucid.errors import UsageError
from pellucid.lens.views.catalogue import View
from pellucid.lens.views.interpolation import picture_strip
from pellucid.lens.views.latent_space import latent_space, no_latent_space
from pellucid.lens.views.seen import Panel, Rows, Seen
from pellucid.lens.views.subject import Subject, array

SHOWN = 7


@dataclass(frozen=True)
class Samples(Seen):
    """What a model makes of fixed noise.

    Attributes:
        seed: of the noise.
        noise: (n, D), from N(0, I).
        label: the class of all samples, of a conditional generator; else None.
        samples: (n, ...).
        logits: (n,) what the discriminator says, above 0 for real; None without one.
    """

    view = "samples"
    seed: int
    noise: np.ndarray
    label: int | None
    samples: np.ndarray
    logits: np.ndarray | None

    @property
    def headline(self) -> str:
        said = (
            ""
            if self.logits is None
            else f". The discriminator takes {int((self.logits > 0).sum())} for real"
        )
        label = "" if self.label is None else f" of class {self.label}"
        return f"{len(self.samples)} samples{label} from noise of seed {self.seed}{said}"

    def panels(self) -> list[Panel | Rows]:
        """Return the first samples next to each other."""
        return picture_strip(f"samples 0 to {min(SHOWN, len(self.samples)) - 1}", self.samples[:SHOWN])


def samples(subject: Subject, count: int = 16, label: int = 0, seed: int = 0) -> Samples:
    """Return what a generator, or the decoder of a variational autoencoder, makes of fixed noise.

    Args:
        subject: the model.
        count: number of samples.
        label: their class, of a conditional generator.
        seed: of the noise.

    Raises:
        UsageError: no samples are asked for.
    """
    if count < 1:
        raise UsageError(f"count={count} expects at least 1.")
    space = latent_space(subject)
    noise = space.noise(count, seed)
    made = space.decoded(noise, label)
    shown = label if space.conditional else None
    return Samples(seed, array(noise), shown, made, _judged(subject, made, shown))


def _judged(subject: Subject, made: np.ndarray, label: int | None) -> np.ndarray | None:
    """Return what the discriminator says; None where there is none, or one that takes several at a time."""
    model: Any = subject.model
    if not callable(getattr(model, "discriminator", None)):
        return None
    images = torch.as_tensor(made).to(next(model.parameters()))
    with subject.computing():
        labels = () if label is None else (torch.full((len(images),), label, device=images.device),)
        logits = array(model.discriminator(images, *labels))
    return logits.reshape(len(made)) if logits.size == len(made) else None


def _unfit(subject: Subject) -> str:
    why = no_latent_space(subject)
    if why:
        return why
    return "" if latent_space(subject).normal else "has codes of no known distribution to draw from"


VIEW = View("samples", "what a generator makes of fixed noise", _unfit, samples, needs_batch=False)
