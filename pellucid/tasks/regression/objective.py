"""The regression objective: one number or several."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from pellucid.batch import as_batch
from pellucid.train.losses import loss as named_loss
from pellucid.train.objective import Measures, Objective, logits_of, penalty, supervised


def regression(
    loss: str | None = None,
    *,
    options: Mapping[str, Any] | None = None,
    l1: float = 0.0,
    l2: float = 0.0,
    units: Sequence[float] = (1.0,),
) -> Objective:
    """Numbers. Outputs (B, 1) or (B, D) against targets (B,) or (B, D), both in standardized units.

    `units` is what 1 means in the units of the data, for each of D numbers; "mae" is in these.
    """
    function = named_loss(loss or "mse", **(options or {}))

    def read(returned: Any, batch: Any) -> Tensor:
        return matched(logits_of(returned), as_batch(batch).targets)

    def score(outputs: Tensor, batch: Any) -> Measures:
        targets = as_batch(batch).targets
        return {
            "loss": (function(outputs, targets) * len(targets), len(targets)),
            "mae": (
                ((outputs - targets).abs() * torch.tensor(units, device=outputs.device)).sum(),
                targets.numel(),
            ),
        }

    return supervised("regression", function, score, read=read, penalty=penalty(l1, l2))


def matched(outputs: Tensor, targets: Any) -> Tensor:
    """Drop the last axis of (B, 1) outputs when targets are (B,): never let the two broadcast."""
    single = isinstance(targets, Tensor) and targets.ndim == 1 and outputs.ndim == 2
    return outputs.squeeze(1) if single and outputs.shape[1] == 1 else outputs
