"""Autoencoders and denoisers: how close their reconstructions are.

Shapes: N images (N, C, H, W) with pixels in 0..1.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor, nn

from pellucid.config import Config
from pellucid.evaluation import Outcome, Trained, measure
from pellucid.nn.modes import evaluating
from pellucid.record import Run
from pellucid.tasks.options import read_options
from pellucid.tasks.prepared import EVALUATED, Prepared, sample
from pellucid.tasks.reconstruction import denoising
from pellucid.tasks.reconstruction.objective import Options, add_noise, reconstruction
from pellucid.tasks.reconstruction.spec import SPEC
from pellucid.tasks.shared import latents, pca
from pellucid.tasks.shared.image_generation import NewImages, is_count, new_images
from pellucid.tasks.shared.image_grid import picture, stacked
from pellucid.tasks.shared.image_output import GeneratedImages, restored
from pellucid.tasks.shared.image_task import ImageTask, class_names, few
from pellucid.tasks.shared.reconstruction_blocks import FITTED, SHOWN, before_and_after, rows_of
from pellucid.tasks.shared.snapshots import Snapshots
from pellucid.tasks.task import Baselines, answer
from pellucid.train.callbacks import Callback
from pellucid.train.objective import Objective

TUNED = 200
"""Images that the strength of total variation is tuned on."""
DENOISED = 1000
"""Images that denoising baselines are measured on."""
WORST = 12
"""Images with the largest error to show."""


class Reconstruction(ImageTask):
    """Reconstruct images; with noise, clean ones from noisy ones."""

    spec = SPEC
    not_explained = "returns its input again and no class or number to explain"
    saves_pictures = True

    def objective(self, config: Config, prepared: Prepared | None = None) -> Objective:
        return reconstruction(**vars(read_options(Options, config)))

    def baselines(self, prepared: Prepared) -> Baselines:
        """Principal components; where there is noise, the noisy image and total variation."""
        noise, kind = _noise(prepared)
        held_out = {}
        for split, prefix in EVALUATED.items():
            if split in prepared.rows:
                clean = few(prepared, split, DENOISED if noise else FITTED)
                held_out[prefix] = clean, _noisy(clean, noise, kind)
        methods: dict[str, denoising.Restore] = {}
        if (latent_dim := pca.latent_dim(prepared.config)) is not None:
            methods["pca"] = pca.fit(few(prepared, "train", FITTED), latent_dim)
        if noise:
            methods["identity"] = lambda images: images
        if noise and kind == "gaussian":
            clean = few(prepared, prepared.validation, TUNED)
            noisy = _noisy(clean, noise, kind)
            methods["total_variation"] = denoising.best_total_variation(clean, noisy, noise)
        return denoising.measured(methods, held_out)

    def callbacks(self, run: Run, prepared: Prepared) -> list[Callback]:
        noise, kind = _noise(prepared)
        clean = few(prepared, prepared.validation, SHOWN)
        noisy, probs = _noisy(clean, noise, kind), self.objective(prepared.config).probs

        def draw(model: nn.Module) -> bytes:
            return stacked([clean, *([noisy] if noise else []), latents.restore(model, noisy, probs)])

        return [Snapshots(run, draw, title="Reconstructions by epoch", caption=rows_of(noise > 0))]

    def evaluate(self, trained: Trained, prepared: Prepared, split: str) -> Outcome:
        noise, kind = _noise(prepared)
        probs = trained.objective.probs
        metrics = measure(trained, prepared.batches(split))
        with evaluating(trained.model):
            errors, worst = self._errors(trained, prepared, split)
            metrics["psnr"] = denoising.psnr(errors).mean().item()
            inputs, targets = sample(prepared.rows[split], latents.POINTS)
            blocks, pictures = before_and_after(
                trained.model,
                inputs[:SHOWN],
                _noisy(inputs[:SHOWN], noise, kind) if noise else None,
                probs,
                split,
            )
            file = f"{split}-worst.png"
            pictures[file] = stacked(worst)
            caption = f"The images with the largest error. {rows_of(noise > 0)}"
            blocks.append(picture("Worst reconstructions", caption, file))
            names = class_names(prepared.preprocess, targets)
            more, drawn = latents.seen(trained.model, inputs, names, probs, split)
        predictions = pa.table({"row": np.arange(len(errors)), "loss": errors.numpy()})
        summary = {"rows": len(errors), "task": self.name, "noise": noise, "noise_kind": kind}
        return Outcome(metrics, summary, predictions, None, [*blocks, *more], {**pictures, **drawn})

    def read(self, trained: Trained, inputs: Any, *, skip_bad: bool = False) -> Any:
        return inputs if is_count(inputs) else super().read(trained, inputs, skip_bad=skip_bad)

    def predict(self, trained: Trained, inputs: Any, **options: Any) -> GeneratedImages | NewImages:
        """Reconstruct images, see `restored`; a number of images are decoded from codes, see `new_images`."""
        if is_count(inputs):
            return answer(partial(new_images, decoder=latents.decoder(trained)), trained, inputs, options)
        return answer(restored, trained, inputs, options)

    @torch.no_grad()
    def _errors(self, trained: Trained, prepared: Prepared, split: str) -> tuple[Tensor, list[Tensor]]:
        """Return the squared error of every row (N,), and the rows with the largest, before and after."""
        noise, kind = _noise(prepared)
        errors, worst_rows = [], []
        for clean, _ in prepared.batches(split):
            noisy = _noisy(clean, noise, kind)
            restored = latents.restore(trained.model, noisy, trained.objective.probs)
            errors.append((restored - clean).square().flatten(1).mean(1))
            worst = errors[-1].topk(min(WORST, len(clean))).indices
            worst_rows.append((errors[-1][worst], clean[worst], noisy[worst], restored[worst]))
        joined = [torch.cat(part) for part in zip(*worst_rows, strict=True)]
        order = joined[0].topk(min(WORST, len(joined[0]))).indices
        clean, noisy, restored = (part[order] for part in joined[1:])
        return torch.cat(errors), [clean, *([noisy] if noise else []), restored]


# ---- options -----------------------------------------------------------------------------------


def _noise(prepared: Prepared) -> tuple[float, Any]:
    """The strength of the noise to remove, and its kind."""
    options = read_options(Options, prepared.config)
    return options.noise, options.noise_kind


# ---- images ------------------------------------------------------------------------------------


def _noisy(clean: Tensor, noise: float, kind: Any) -> Tensor:
    """The noise that the objective measures with."""
    return add_noise(clean, noise, kind, fixed=True) if noise else clean


TASK = Reconstruction()
