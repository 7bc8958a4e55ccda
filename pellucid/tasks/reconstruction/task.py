"""Autoencoders, denoisers and variational autoencoders: how near they come, and what they make of it.

Shapes: N images (N, C, H, W) with pixels in 0..1.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor, nn

from pellucid.evaluation import Outcome, Trained, measure
from pellucid.nn.modes import evaluating
from pellucid.record import Run
from pellucid.tasks.prepared import EVALUATED, Prepared, sample
from pellucid.tasks.reconstruction import denoising
from pellucid.tasks.reconstruction.objective import spoil
from pellucid.tasks.shared import latents
from pellucid.tasks.shared.image_grid import grid, picture, stacked
from pellucid.tasks.shared.image_output import Drawn, restored
from pellucid.tasks.shared.image_task import SEED, ImageTask, class_names, few
from pellucid.tasks.shared.model_interfaces import variational
from pellucid.tasks.shared.snapshots import Chart, Film
from pellucid.tasks.task import Baselines, answer
from pellucid.train.callbacks import Callback

LATENT_DIMS = {"autoencoder": 32, "vae": 20}
"""The latent_dim of models that squeeze images into a few numbers, where the config does not say."""
SHOWN, WORST = 12, 12
ROWS = "On top the images, below them what the network makes of them."
FITTED, TUNED, SCORED = 20_000, 200, 1000
"""Images that PCA is fitted on, that total variation is tuned on, and that it is measured on."""
ACTIVE = 0.01
"""A latent number is in use if its mean varies more than this over images (Burda et al. 2016, equation 8)."""


class Reconstruction(ImageTask):
    """Give images back; with noise, clean ones from spoiled ones."""

    name: ClassVar[Any] = "reconstruction"

    def baselines(self, prepared: Prepared) -> Baselines:
        """Principal components; where there is noise, the spoiled image itself and total variation."""
        noise, kind = _noise(prepared)
        held_out = {}
        for split, prefix in EVALUATED.items():
            if split in prepared.rows:
                clean = few(prepared, split, SCORED if noise else FITTED)
                held_out[prefix] = clean, _spoiled(clean, noise, kind)
        methods: dict[str, denoising.Restore] = {}
        if (latent_dim := _latent_dim(prepared)) is not None:
            methods["pca"] = denoising.pca(few(prepared, "train", FITTED), latent_dim)
        if noise:
            methods["identity"] = lambda images: images
        if noise and kind == "gaussian":
            clean = few(prepared, prepared.validation, TUNED)
            spoiled = _spoiled(clean, noise, kind)
            methods["total_variation"] = denoising.best_total_variation(clean, spoiled, noise)
        return denoising.measured(methods, held_out)

    def callbacks(self, run: Run, prepared: Prepared, judge: Trained | None) -> list[Callback]:
        noise, kind = _noise(prepared)
        clean = few(prepared, prepared.validation, SHOWN)
        given, probs = _spoiled(clean, noise, kind), self.objective(prepared.config).probs

        def draw(model: nn.Module) -> bytes:
            return stacked([clean, *([given] if noise else []), latents.restore(model, given, probs)])

        return [Film(run, draw, title="Reconstructions while it learns", caption=_rows_of(noise))]

    def evaluate(self, trained: Trained, prepared: Prepared, split: str, judge: Trained | None) -> Outcome:
        noise, kind = _noise(prepared)
        probs = trained.objective.probs
        metrics = measure(trained, prepared.batches(split))
        with evaluating(trained.model):
            errors, worst = self._errors(trained, prepared, split)
            metrics["psnr"] = denoising.psnr(errors).mean().item()
            inputs, targets = sample(prepared.rows[split], latents.POINTS)
            blocks, pictures = _before_and_after(trained.model, inputs[:SHOWN], noise, kind, probs, split)
            file = f"{split}-worst.png"
            pictures[file] = stacked(worst)
            caption = f"The images with the largest error. {_rows_of(noise)}"
            blocks.append(picture("Worst reconstructions", caption, file))
            names = class_names(prepared.preprocess, targets)
            more, drawn = latents.seen(trained.model, inputs, names, probs, split)
        predictions = pa.table({"row": np.arange(len(errors)), "loss": errors.numpy()})
        summary = {"rows": len(errors), "task": self.name, "noise": noise, "noise_kind": kind}
        return Outcome(metrics, summary, predictions, None, [*blocks, *more], {**pictures, **drawn})

    def predict(self, trained: Trained, inputs: Any, **options: Any) -> Drawn:
        """Give images back; the option `folder` saves them."""
        return answer(restored, trained, inputs, options)

    @torch.no_grad()
    def _errors(self, trained: Trained, prepared: Prepared, split: str) -> tuple[Tensor, list[Tensor]]:
        """Return the squared error of every row (N,), and the rows with the largest, before and after."""
        noise, kind = _noise(prepared)
        errors, kept = [], []
        for clean, _ in prepared.batches(split):
            given = _spoiled(clean, noise, kind)
            restored = latents.restore(trained.model, given, trained.objective.probs)
            errors.append((restored - clean).square().flatten(1).mean(1))
            worst = errors[-1].topk(min(WORST, len(clean))).indices
            kept.append((errors[-1][worst], clean[worst], given[worst], restored[worst]))
        joined = [torch.cat(part) for part in zip(*kept, strict=True)]
        order = joined[0].topk(min(WORST, len(joined[0]))).indices
        clean, given, restored = (part[order] for part in joined[1:])
        return torch.cat(errors), [clean, *([given] if noise else []), restored]


class Elbo(ImageTask):
    """Find the distribution images come from: a bound of it, and new images."""

    name: ClassVar[Any] = "elbo"

    def baselines(self, prepared: Prepared) -> Baselines:
        """Every pixel by itself, black or white as often as in the training images."""
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

    def callbacks(self, run: Run, prepared: Prepared, judge: Trained | None) -> list[Callback]:
        probs = _pixels(prepared)
        images = few(prepared, prepared.validation, latents.POINTS)

        def units(model: nn.Module) -> dict[str, float]:
            return {"active_units": float(_active_units(model, images))}

        chart = Chart(
            "Latent numbers in use",
            f"How many have a mean that varies by more than {ACTIVE} over images; the others say nothing.",
            "active units",
            {"active_units": "active units"},
        )
        return [
            Film(
                run,
                lambda model: grid(_from_prior(model, 64, probs), 16),
                title="New images while it learns",
                caption="The same 64 places of the latent space, drawn from its prior, after every epoch.",
                measure=units,
                charts=[chart],
            )
        ]

    def evaluate(self, trained: Trained, prepared: Prepared, split: str, judge: Trained | None) -> Outcome:
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
                    "A hundred places of the latent space, drawn at random from its prior and decoded.",
                    file,
                )
            ]
            shown, drawn = _before_and_after(model, inputs[:SHOWN], 0.0, "gaussian", probs, split)
            names = class_names(prepared.preprocess, targets)
            more, seen = latents.seen(model, inputs, names, probs, split)
        summary = {"rows": len(prepared.rows[split]), "task": self.name}
        return Outcome(
            metrics, summary, blocks=[*blocks, *shown, *more], pictures={**pictures, **drawn, **seen}
        )

    def predict(self, trained: Trained, inputs: Any, **options: Any) -> Drawn:
        """Give images back; the option `folder` saves them."""
        return answer(restored, trained, inputs, options)


# ---- options -----------------------------------------------------------------------------------


def _noise(prepared: Prepared) -> tuple[float, Any]:
    """How much noise is to be removed, and of which kind."""
    options = prepared.config.objective.options
    return float(options.get("noise", 0.0)), options.get("noise_kind", "gaussian")


def _latent_dim(prepared: Prepared) -> int | None:
    """How many numbers an image is squeezed into; None if the model does no such thing."""
    model = prepared.config.model
    return model.options.get("latent_dim", LATENT_DIMS[model.name]) if model.name in LATENT_DIMS else None


def _likelihood(prepared: Prepared) -> str:
    return prepared.config.objective.options.get("likelihood", "bernoulli")


def _pixels(prepared: Prepared) -> Callable[[Tensor], Tensor]:
    """Turn what a decoder gives into pixels: logits into their probabilities, means as they are."""
    return torch.sigmoid if _likelihood(prepared) == "bernoulli" else (lambda output: output)


# ---- images ------------------------------------------------------------------------------------


def _spoiled(clean: Tensor, noise: float, kind: Any) -> Tensor:
    """The noise that the objective measures with."""
    return spoil(clean, noise, kind, fixed=True) if noise else clean


def _from_prior(model: nn.Module, count: int, probs: Callable[[Tensor], Tensor]) -> Tensor:
    """Decode the same `count` draws from N(0, 1)."""
    generator = torch.Generator().manual_seed(SEED)
    z = torch.randn(count, variational(model).latent_dim, generator=generator)
    return latents.decode(model, z, probs)


def _active_units(model: nn.Module, images: Tensor) -> int:
    """Count the latent numbers whose mean depends on the image."""
    mu = latents.encode(model, images)
    assert mu is not None
    return int((mu.var(0) > ACTIVE).sum())


def _before_and_after(
    model: nn.Module, clean: Tensor, noise: float, kind: Any, probs: Callable[[Tensor], Tensor], split: str
) -> tuple[list[dict[str, Any]], dict[str, bytes]]:
    given = _spoiled(clean, noise, kind)
    made = stacked([clean, *([given] if noise else []), latents.restore(model, given, probs)])
    file = f"{split}-reconstructions.png"
    return [picture("Reconstructions", _rows_of(noise), file)], {file: made}


def _rows_of(noise: float) -> str:
    """What stands in the rows of a picture."""
    if noise:
        return (
            "On top the images, below them what the network is given, and at the bottom what it makes of it."
        )
    return ROWS


TASK = Reconstruction()
