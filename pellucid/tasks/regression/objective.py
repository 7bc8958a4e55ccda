"""The regression objective: one number or several."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from pellucid.tasks.shared.penalized import matched, penalized
from pellucid.train.losses import loss as named_loss
from pellucid.train.objective import Measures, Objective, Phase


def regression(loss: str | None = None, *, l1: float = 0.0, l2: float = 0.0) -> Objective:
    """Numbers. Outputs (B, 1) or (B, D) against targets (B,) or (B, D), both in standardized units."""
    function = named_loss(loss or "mse")

    def shaped(outputs: Tensor, targets: Tensor) -> Tensor:
        return function(matched(outputs, targets), targets)

    def measure(model: nn.Module, batch: Any) -> Measures:
        inputs, targets = batch
        outputs = matched(model(inputs).float(), targets)
        return {
            "loss": (function(outputs, targets) * len(targets), len(targets)),
            "mae": ((outputs - targets).abs().sum(), targets.numel()),
        }

    return Objective("regression", (Phase("train", penalized(shaped, l1, l2)),), measure)
