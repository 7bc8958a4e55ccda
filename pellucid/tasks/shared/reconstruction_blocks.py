"""Images next to their reconstructions, as blocks of a report."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from pellucid.tasks.shared import latents
from pellucid.tasks.shared.image_grid import picture, stacked

SHOWN = 12
"""Images in a picture."""
FITTED = 20_000
"""Images that baselines are fitted on."""
ROWS = "Images, and below them their reconstructions."
NOISY_ROWS = "Images, below them the noisy input of the network, and at the bottom its output."


def before_and_after(
    model: nn.Module, clean: Tensor, noisy: Tensor | None, probs: latents.Pixels, split: str
) -> tuple[list[dict[str, Any]], dict[str, bytes]]:
    """Draw images and their reconstructions: the block, and its file.

    Args:
        model: reconstructs images.
        clean: (N, C, H, W).
        noisy: the inputs of the model; None: the clean images.
        probs: see `Objective.probs`.
        split: of the images.
    """
    inputs = clean if noisy is None else noisy
    shown = [clean] if noisy is None else [clean, noisy]
    file = f"{split}-reconstructions.png"
    made = stacked([*shown, latents.restore(model, inputs, probs)])
    return [picture("Reconstructions", rows_of(noisy is not None), file)], {file: made}


def rows_of(noise: bool) -> str:
    """The caption of a picture, with noise or without."""
    return NOISY_ROWS if noise else ROWS
