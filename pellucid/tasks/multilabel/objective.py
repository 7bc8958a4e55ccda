"""The multilabel objective: any number of K labels."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from pellucid.tasks.shared.penalized import penalized
from pellucid.train.losses import loss as named_loss
from pellucid.train.objective import Measures, Objective, Phase


def multilabel(loss: str | None = None, *, l1: float = 0.0, l2: float = 0.0) -> Objective:
    """Any number of K labels. Logits and targets (B, K); measured are loss and share of right labels."""
    function = named_loss(loss or "bce")

    def measure(model: nn.Module, batch: Any) -> Measures:
        inputs, targets = batch
        logits = model(inputs).float()
        right = (logits > 0) == (targets > 0.5)
        return {
            "loss": (function(logits, targets) * len(targets), len(targets)),
            "accuracy": (right.sum(), targets.numel()),
        }

    return Objective("multilabel", (Phase("train", penalized(function, l1, l2)),), measure, torch.sigmoid)
