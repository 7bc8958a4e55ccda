"""Where a discriminator finds a picture real, and where not.

The gradient of the logit with respect to the last feature maps, times these maps, summed over the channels.
Where a linear layer follows them, as in DCGAN, each is exactly that place's part of the logit, and what is
left is the bias.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pellucid.errors import UsageError
from pellucid.lens.capture import capture, live
from pellucid.lens.views.catalogue import View
from pellucid.lens.views.latent_space import latent_space
from pellucid.lens.views.seen import Panel, Rows, Seen, flat_picture, mosaic
from pellucid.lens.views.subject import Subject, array

SHOWN = 4


@dataclass(frozen=True)
class DiscriminatorMap(Seen):
    """Parts of the logits of real and generated pictures.

    Attributes:
        layer: the layer whose maps were taken.
        images: (n, C, H, W), the real ones first.
        real: (n,) whether each is from the batch.
        logits: (n,) above 0 for real.
        maps: (n, h, w) parts of the logit.
        rest: (n,) logit - sum of its map.
    """

    view = "discriminator"
    layer: str
    images: np.ndarray
    real: np.ndarray
    logits: np.ndarray
    maps: np.ndarray
    rest: np.ndarray

    @property
    def headline(self) -> str:
        right = int(((self.logits > 0) == self.real).sum())
        return (
            f"{right} of {len(self.real)} pictures are classified right; parts of the logits at {self.layer}"
        )

    def panels(self) -> list[Panel | Rows]:
        """Return pictures and their maps: real ones above, generated ones below."""
        rows = [np.flatnonzero(self.real == kind)[:SHOWN] for kind in (True, False)]
        made: list[Panel | Rows] = []
        for kind, chosen in zip(("real", "generated"), rows, strict=True):
            if len(chosen):
                pictures = np.stack([flat_picture(self.images[i]) for i in chosen])[None]
                made.append(Panel(f"{kind}", mosaic(pictures), "picture"))
                made.append(Panel(f"{kind}: parts of the logit", mosaic(self.maps[chosen][None])))
        return made


def discriminator(subject: Subject, count: int = 8, seed: int = 0, label: int = 0) -> DiscriminatorMap:
    """Return where a discriminator finds pictures real.

    Args:
        subject: a GAN, and a batch of real pictures; without one only generated pictures.
        count: pictures of each kind.
        seed: of the noise.
        label: the class of the generated pictures, of a conditional GAN.

    Raises:
        UsageError: the discriminator takes several pictures at a time, or has no feature maps.
    """
    space = latent_space(subject)
    fake = torch.as_tensor(space.decoded(space.noise(count, seed), label))
    found = [leaf for leaf in (subject.floats if subject.rows else []) if leaf.shape[1:] == fake.shape[1:]]
    real = found[0][:count] if found else fake[:0]
    images = torch.cat([real.to(fake), fake]).to(next(subject.model.parameters()))
    model: Any = subject.model
    labels = _labels(subject, len(real), count, label, images) if space.conditional else ()
    with subject.computing(gradients=True), capture(model.discriminator, values=live) as taken:
        logits = model.discriminator(images.requires_grad_(True), *labels)
        if logits.numel() != len(images):
            raise UsageError("This discriminator takes several pictures at a time (pack).")
        last = [
            call
            for call in sorted(taken.calls, key=lambda call: call.ended or 0)
            if isinstance(call.output, Tensor) and call.output.ndim == 4 and call.output.requires_grad
        ]
        if not last:
            raise UsageError("This discriminator has no feature maps (B, C, h, w).")
        maps = last[-1].output
        gradient = torch.autograd.grad(logits.sum(), maps)[0]
    parts = (gradient * maps).sum(1)
    flat = logits.reshape(len(images))
    return DiscriminatorMap(
        last[-1].name,
        array(images),
        np.arange(len(images)) < len(real),
        array(flat),
        array(parts),
        array(flat - parts.sum((1, 2))),
    )


def _labels(subject: Subject, real: int, count: int, label: int, images: Tensor) -> tuple[Tensor, ...]:
    """Return the classes of the real and generated pictures, of a conditional GAN."""
    from pellucid.batch import as_batch

    targets = as_batch(subject.work.batch).targets if real else None
    own = targets[:real] if isinstance(targets, Tensor) else torch.full((real,), label)
    return (torch.cat([own.cpu(), torch.full((count,), label)]).to(images.device),)


def _unfit(subject: Subject) -> str:
    model: Any = subject.model
    if not callable(getattr(model, "discriminator", None)) or not callable(getattr(model, "generator", None)):
        return "has no generator and discriminator"
    return "" if isinstance(getattr(model, "latent_dim", None), int) else "does not say its latent_dim"


VIEW = View(
    "discriminator", "where a discriminator finds pictures real", _unfit, discriminator, needs_batch=False
)
