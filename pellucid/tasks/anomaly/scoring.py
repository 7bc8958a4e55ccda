"""How strange images are to a trained model, and where: by what it cannot reconstruct, or by its patches.

Shapes: images (N, C, H, W) with pixels in 0..1, scores (N,), maps (N, H, W).
"""

from __future__ import annotations

from typing import Protocol, runtime_checkable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pellucid.nn.device import device_of
from pellucid.nn.modes import evaluating
from pellucid.tasks.anomaly.reconstruction_score import error_map, reconstruction_score
from pellucid.tasks.prepared import Prepared, sample
from pellucid.tasks.shared import latents
from pellucid.tasks.shared.latents import Pixels
from pellucid.train.callbacks import Callback
from pellucid.train.trainer import Trainer

BATCH = 256
STRANGEST = 0.05
"""Share of the places of an image whose mean distance is its score: a defect is small."""
FITTED_ON = 400
"""Normal images at most that Gaussians are fitted to, which bounds time and memory."""


@runtime_checkable
class PatchModel(Protocol):
    """A model of what each place of normal images looks like."""

    def features(self, images: Tensor, /) -> Tensor:
        """Return the features of each place, (N, D, h, w)."""
        ...

    def fit_normal(self, images: Tensor, /) -> None:
        """Fit it to normal images, (N, C, H, W)."""
        ...

    def distances(self, images: Tensor, /) -> Tensor:
        """Return how far each place is from normal ones, (N, h, w)."""
        ...


class FitNormal(Callback):
    """Fit the patches of normal images after every epoch, with the features of that epoch."""

    def __init__(self, prepared: Prepared):
        self.images = sample(prepared.rows["train"], FITTED_ON)[0]

    def on_epoch_end(self, trainer: Trainer) -> None:
        model = trainer.model
        assert isinstance(model, PatchModel)
        with evaluating(model):
            model.fit_normal(self.images.to(device_of(model)))


def scores_and_maps(model: nn.Module, images: Tensor, probs: Pixels) -> tuple[Tensor, Tensor]:
    """Return how strange each image is, and where, on the CPU.

    Args:
        model: an autoencoder, or a `PatchModel`.
        images: of any number.
        probs: outputs of an autoencoder -> pixels.
    """
    with evaluating(model):
        found = [_of_batch(model, batch, probs) for batch in images.split(BATCH)]
    scores, maps = zip(*found, strict=True)
    return torch.cat(scores), torch.cat(maps)


def _of_batch(model: nn.Module, images: Tensor, probs: Pixels) -> tuple[Tensor, Tensor]:
    if isinstance(model, PatchModel):
        distances = F.avg_pool2d(model.distances(images.to(device_of(model))).cpu()[:, None], 3, 1, 1)
        flat = distances.flatten(1)
        scores = flat.topk(max(1, round(STRANGEST * flat.shape[1])), 1).values.mean(1)
        size = images.shape[2:]
        return scores, F.interpolate(distances, size=size, mode="bilinear", align_corners=False)[:, 0]
    restored = latents.restore(model, images, probs)
    return reconstruction_score(images, restored), error_map(images, restored)


def mean_features(model: nn.Module, images: Tensor) -> Tensor:
    """Return the features of images, averaged over their places, (N, D), on the CPU."""
    assert isinstance(model, PatchModel)
    with evaluating(model):
        return torch.cat(
            [
                model.features(batch.to(device_of(model))).mean((2, 3)).float().cpu()
                for batch in images.split(BATCH)
            ]
        )


def drawn_below(model: nn.Module, images: Tensor, probs: Pixels) -> Tensor:
    """Return a picture (N, C, H, W) to draw below each image: its reconstruction, or its map in gray."""
    if not isinstance(model, PatchModel):
        with evaluating(model):
            return latents.restore(model, images, probs)
    maps = scores_and_maps(model, images, probs)[1]
    least = maps.flatten(1).amin(1).median()
    return ((maps - least) / (maps.amax() - least).clamp(min=1e-9)).clamp(0, 1)[:, None].expand_as(images)
