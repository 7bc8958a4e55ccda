"""Predictions that are images: arrays, also saved as files if a folder is given."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pellucid.errors import UsageError
from pellucid.evaluation import Trained
from pellucid.nn.modes import evaluating
from pellucid.record import files
from pellucid.tasks.shared.image_grid import grid
from pellucid.tasks.shared.model_interfaces import gan_model

BATCH = 256


@dataclass(frozen=True)
class GeneratedImages:
    """Images from a model.

    Attributes:
        images: (N, C, H, W) with pixels in 0..1.
        latent: (N, D), the latent vectors, where the model has them.
        paths: where each was saved; () if nowhere.
    """

    images: np.ndarray
    latent: np.ndarray | None = None
    paths: tuple[Path, ...] = ()

    def rows(self) -> list[dict[str, Any]]:
        """One dict an image: where it was saved, or its latent vector."""
        return [{"prediction": self._said(number)} for number in range(len(self.images))]

    def _said(self, number: int) -> Any:
        if self.paths:
            return str(self.paths[number])
        if self.latent is not None:
            return self.latent[number].tolist()
        height, width = self.images.shape[-2:]
        return f"an image of {width} x {height} pixels; --set folder=DIR saves it"


def restored(trained: Trained, inputs: Any, folder: str | None = None) -> GeneratedImages:
    """Reconstruct images.

    Args:
        trained: the model.
        inputs: what `Preprocess.table_from` takes.
        folder: where to save the results, as PNG files.
    """
    images = trained.preprocess.inputs(trained.preprocess.table_from(inputs))
    encode = getattr(trained.model, "encode", None)
    made, latent = [], []
    with evaluating(trained.model):
        for batch in images.split(BATCH):
            output = trained.model(batch)
            made.append(trained.objective.probs(getattr(output, "recon", output)))
            if encode is not None:
                code = encode(batch)
                latent.append((code[0] if isinstance(code, tuple) else code).flatten(1))
    return saved(torch.cat(made), torch.cat(latent) if latent else None, folder)


def generate_images(
    trained: Trained, inputs: Any, seed: int = 0, folder: str | None = None
) -> GeneratedImages:
    """Generate images.

    Args:
        trained: a model with a `generator`.
        inputs: number of images, as int or str; a conditional model generates all classes in turn.
        seed: of the noise.
        folder: where to save them, as PNG files.

    Raises:
        UsageError: `inputs` is not a number of images.
    """
    model, classes = trained.model, len(trained.preprocess.classes)
    if not str(inputs).isdecimal() or int(inputs) < 1:
        raise UsageError(
            f"A generative model expects the number of images to generate, received {inputs!r}.",
            remedy="pellucid predict RUN 16 --set folder=images",
        )
    count = int(inputs)
    players = gan_model(model)
    noise = torch.randn(count, players.latent_dim, generator=torch.Generator().manual_seed(seed))
    labels = (torch.arange(count) % classes,) if players.conditional else ()
    with evaluating(model):
        made = players.generator(noise, *labels)
    return saved(made, noise, folder)


def saved(images: Tensor, latent: Tensor | None, folder: str | None) -> GeneratedImages:
    """Move images to the CPU, and save them if a folder is given."""
    images = images.float().cpu().clamp(0, 1)
    paths = ()
    if folder is not None:
        paths = tuple(Path(folder) / f"{number:04d}.png" for number in range(1, len(images) + 1))
        for path, image in zip(paths, images, strict=True):
            files.write(path, grid(image[None], 1))
    return GeneratedImages(images.numpy(), None if latent is None else latent.cpu().numpy(), paths)
