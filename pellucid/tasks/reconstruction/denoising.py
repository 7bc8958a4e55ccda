"""Baselines of denoisers: methods that learn nothing.

    identity         the noisy image
    total_variation  the image near the noisy one with the smallest total variation

Shapes: images (N, C, H, W) with pixels in 0..1.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn import functional as F

from pellucid.tasks.shared.pca import Restore
from pellucid.tasks.task import Baselines

STRENGTHS = (0.25, 0.4, 0.6, 0.8, 1.0, 1.3)
"""Weights of the total variation that are tried, as multiples of the noise."""
STEPS = 60
STEP_SIZE = 0.25
"""Chambolle proves convergence up to 1/8 and reports that 1/4 works best in practice."""


def total_variation(noisy: Tensor, weight: float, steps: int = STEPS) -> Tensor:
    r"""Minimize $\frac{1}{2} \lVert u - f \rVert^2 + w \lVert \nabla u \rVert_1$ over images u.

    Chambolle 2004, An Algorithm for Total Variation Minimization and Applications: the dual field p of
    slopes is found by a fixed-point iteration (equation 9), and u = f - w div p.

    Args:
        noisy: f, (N, C, H, W); each channel separately.
        weight: w, in the units of the pixels.
        steps: iterations.
    """
    p = torch.zeros(2, *noisy.shape)  # by row and by column
    for _ in range(steps):
        slope = _gradient(_divergence(p) - noisy / weight)
        p = (p + STEP_SIZE * slope) / (1 + STEP_SIZE * torch.hypot(*slope))  # norm(dim=0) is far slower
    return noisy - weight * _divergence(p)


def _gradient(u: Tensor) -> Tensor:
    """Differences to the next row and the next column, 0 at the end: (N, C, H, W) -> (2, N, C, H, W)."""
    down = F.pad(u[..., 1:, :] - u[..., :-1, :], (0, 0, 0, 1))
    right = F.pad(u[..., :, 1:] - u[..., :, :-1], (0, 1))
    return torch.stack([down, right])


def _divergence(p: Tensor) -> Tensor:
    """Minus the transpose of `_gradient`: (2, N, C, H, W) -> (N, C, H, W)."""
    down, right = p[0, ..., :-1, :], p[1, ..., :, :-1]
    return F.pad(down, (0, 0, 0, 1)) - F.pad(down, (0, 0, 1, 0)) + F.pad(right, (0, 1)) - F.pad(right, (1, 0))


def best_total_variation(clean: Tensor, noisy: Tensor, noise: float) -> Restore:
    """Choose the weight of the total variation with the smallest error on these images."""
    errors = {
        strength * noise: F.mse_loss(total_variation(noisy, strength * noise), clean).item()
        for strength in STRENGTHS
    }
    weight = min(errors, key=lambda weight: errors[weight])
    return lambda images: total_variation(images, weight)


def scores(clean: Tensor, restored: Tensor) -> dict[str, float]:
    """Return the mean squared error, and the mean over images of the peak signal-to-noise ratio in dB."""
    errors = (restored - clean).square().flatten(1).mean(1)  # (N,)
    return {"mse": errors.mean().item(), "psnr": psnr(errors).mean().item()}


def psnr(errors: Tensor) -> Tensor:
    """Return 10 log10(1 / error) of squared errors, for pixels in 0..1; 100 dB at most."""
    return -10 * errors.clamp(min=1e-10).log10()


def measured(methods: Mapping[str, Restore], held_out: Mapping[str, tuple[Tensor, Tensor]]) -> Baselines:
    """Score every method on every split.

    Args:
        methods: by name.
        held_out: by prefix, e.g. "test": clean and noisy images.
    """
    return {
        name: {
            f"{prefix}/{key}": value
            for prefix, (clean, noisy) in held_out.items()
            for key, value in scores(clean, restore(noisy)).items()
        }
        for name, restore in methods.items()
    }
