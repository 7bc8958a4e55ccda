"""Variational autoencoders: a bound of the likelihood, and new images.

Shapes: N images (N, C, H, W) with pixels in 0..1.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from pellucid.config import Config
from pellucid.evaluation import Outcome, Trained, measure
from pellucid.nn.modes import evaluating
from pellucid.record import Run
from pellucid.tasks.elbo.objective import Options, elbo
from pellucid.tasks.elbo.spec import SPEC
from pellucid.tasks.options import read_options
from pellucid.tasks.prepared import EVALUATED, Prepared, sample
from pellucid.tasks.shared import latents
from pellucid.tasks.shared.image_generation import NewImages, is_count, new_images
from pellucid.tasks.shared.image_grid import grid, picture
from pellucid.tasks.shared.image_output import GeneratedImages, restored
from pellucid.tasks.shared.image_task import SEED, ImageTask, class_names, few
from pellucid.tasks.shared.model_interfaces import variational
from pellucid.tasks.shared.reconstruction_blocks import FITTED, SHOWN, before_and_after
from pellucid.tasks.shared.snapshots import MeasureChart, Snapshots
from pellucid.tasks.task import Baselines, answer
from pellucid.train.callbacks import Callback
from pellucid.train.objective import Objective

ACTIVE = 0.01
"""A latent unit is active if its mean varies more than this over images (Burda et al. 2016, equation 8)."""


class Elbo(ImageTask):
    """Model the distribution of images."""

    spec = SPEC
    not_explained = "returns pictures and no class or number to explain"
    saves_pictures = True
    image_fit = "crop"  # a padded border would be generated too

    def objective(self, config: Config, prepared: Prepared | None = None) -> Objective:
        return elbo(**vars(read_options(Options, config)))

    def baselines(self, prepared: Prepared) -> Baselines:
        """Independent pixels, each with its mean in the training images."""
        if _likelihood(prepared) != "bernoulli":
            return {}
        mean = few(prepared, "train", FITTED).mean(0).clamp(1e-3, 1 - 1e-3)
        measured = {}
        for split, prefix in EVALUATED.items():
            if split in prepared.rows:
                pixels = few(prepared, split, FITTED)
                logs = pixels * mean.log() + (1 - pixels) * (1 - mean).log()
                nats = logs.flatten(1).sum(1).mean().item()
                measured |= {f"{prefix}/loss": -nats, f"{prefix}/elbo": nats}
        return {"pixel_means": measured}

    def callbacks(self, run: Run, prepared: Prepared) -> list[Callback]:
        probs = _pixels(prepared)
        images = few(prepared, prepared.validation, latents.POINTS)

        def units(model: nn.Module) -> dict[str, float]:
            return {"active_units": float(_active_units(model, images))}

        chart = MeasureChart(
            "Active latent units",
            f"Units whose mean varies by more than {ACTIVE} over images; the others carry no information.",
            "active units",
            {"active_units": "active units"},
        )
        return [
            Snapshots(
                run,
                lambda model: grid(_from_prior(model, 64, probs), 16),
                title="New images by epoch",
                caption="Images decoded from the same 64 draws from the prior after every epoch.",
                measure=units,
                charts=[chart],
            )
        ]

    def evaluate(self, trained: Trained, prepared: Prepared, split: str) -> Outcome:
        metrics = measure(trained, prepared.batches(split))
        metrics["elbo"] = -metrics["loss"]
        model, probs = trained.model, _pixels(prepared)
        with evaluating(model):
            inputs, targets = sample(prepared.rows[split], latents.POINTS)
            metrics["active_units"] = float(_active_units(model, inputs))
            file = f"{split}-samples.png"
            pictures = {file: grid(_from_prior(model, 100, probs), 20)}
            blocks = [
                picture(
                    "New images",
                    "Images decoded from a hundred random samples of the prior.",
                    file,
                )
            ]
            shown, drawn = before_and_after(model, inputs[:SHOWN], None, probs, split)
            names = class_names(prepared.preprocess, targets)
            more, seen = latents.seen(model, inputs, names, probs, split)
        summary = {"rows": len(prepared.rows[split]), "task": self.name}
        return Outcome(
            metrics, summary, blocks=[*blocks, *shown, *more], pictures={**pictures, **drawn, **seen}
        )

    def read(self, trained: Trained, inputs: Any, *, skip_bad: bool = False) -> Any:
        return inputs if is_count(inputs) else super().read(trained, inputs, skip_bad=skip_bad)

    def predict(self, trained: Trained, inputs: Any, **options: Any) -> GeneratedImages | NewImages:
        """Draw as many images as a number says, see `new_images`; or reconstruct images, see `restored`."""
        if is_count(inputs):
            return answer(partial(new_images, decoder=latents.decoder(trained)), trained, inputs, options)
        return answer(restored, trained, inputs, options)


def _likelihood(prepared: Prepared) -> str:
    return read_options(Options, prepared.config).likelihood


def _pixels(prepared: Prepared) -> Callable[[Tensor], Tensor]:
    """Turn what a decoder gives into pixels: logits into their probabilities, means as they are."""
    return torch.sigmoid if _likelihood(prepared) == "bernoulli" else (lambda output: output)


def _from_prior(model: nn.Module, count: int, probs: Callable[[Tensor], Tensor]) -> Tensor:
    """Decode the same `count` draws from N(0, 1)."""
    generator = torch.Generator().manual_seed(SEED)
    z = torch.randn(count, variational(model).latent_dim, generator=generator)
    return latents.decode(model, z, probs)


def _active_units(model: nn.Module, images: Tensor) -> int:
    """Count the latent numbers whose mean depends on the image."""
    mu = latents.encode(model, images)
    assert mu is not None
    return int((mu.var(0, correction=min(1, len(mu) - 1)) > ACTIVE).sum())


TASK = Elbo()
