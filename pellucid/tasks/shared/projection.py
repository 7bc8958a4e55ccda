"""Points of many numbers, laid out on a plane and grouped by class."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

POINTS = 2000
"""Most points on a plane."""


def principal(points: Tensor) -> tuple[Tensor, float]:
    """See points from the side where they differ most: by their first two principal components.

    Args:
        points: (N, D), N at least 1.

    Returns:
        (N, 2) float64, and the share of their variance that is seen, 0..1.
    """
    centered = points.double() - points.double().mean(0)
    _, spread, axes = torch.linalg.svd(centered, full_matrices=False)
    axes = axes[:2] * torch.sign(axes[:2].gather(1, axes[:2].abs().argmax(1, keepdim=True)))
    share = (spread[:2].square().sum() / spread.square().sum().clamp(min=1e-12)).item()
    return F.pad(centered @ axes.T, (0, 2 - len(axes))), share


def grouped(points: Tensor, names: list[str]) -> list[dict[str, Any]]:
    """Return the groups of a scatter block: points (N, 2) by the name of each, in the order of the names."""
    places, labels = points.double().numpy().round(4), np.asarray(names)
    return [{"name": str(name), "points": places[labels == name].tolist()} for name in sorted(set(names))]
