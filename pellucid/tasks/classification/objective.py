"""The classification objective: cross-entropy of one class out of K, and other losses."""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pellucid.tasks.shared.penalized import penalized
from pellucid.train.losses import loss as named_loss
from pellucid.train.objective import Measures, Objective, Phase


def classification(
    loss: str | None = None,
    *,
    label_smoothing: float = 0.0,
    class_weights: Tensor | None = None,
    l1: float = 0.0,
    l2: float = 0.0,
) -> Objective:
    """One class out of K. Logits (B, K); targets int64 (B,), or probabilities (B, K) under mixup.

    Measured are cross-entropy in nats, unsmoothed and unweighted so that it can be set beside ln K, and
    accuracy; the best weights are those with the highest validation accuracy.
    """
    options: dict[str, Any] = {}
    if (loss or "cross_entropy") == "cross_entropy":
        options = {"label_smoothing": label_smoothing}
        if class_weights is not None:
            options["weight"] = class_weights
    train_loss = named_loss(loss or "cross_entropy", **options)

    def measure(model: nn.Module, batch: Any) -> Measures:
        inputs, targets = batch
        logits = model(inputs).float()
        return {
            "loss": (F.cross_entropy(logits, targets, reduction="sum"), len(targets)),
            "accuracy": ((logits.argmax(1) == targets).sum(), len(targets)),
        }

    phase = Phase("train", penalized(train_loss, l1, l2))
    probs = partial(torch.softmax, dim=-1)
    return Objective("classification", (phase,), measure, probs, "val/accuracy", "max")
