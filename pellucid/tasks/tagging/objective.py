"""The tagging objective: cross-entropy of a class at every step, without padding."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from pellucid.batch import as_batch
from pellucid.train.objective import Measures, Objective, logits_of, supervised

PADDING = 0
"""What stands for no tag; class k is the target k + 1."""


def tagging(label_smoothing: float = 0.0, weights: Tensor | None = None) -> Objective:
    """One class out of K at every step. Logits (B, T, K); targets int64 (B, T), 1 + class, 0 for padding.

    Args:
        label_smoothing: share of the target spread over all classes, 0..1.
        weights: (K,), by which the loss of each class counts.
    """

    def loss(logits: Tensor, targets: Tensor, reduction: str = "mean") -> Tensor:
        each = None if weights is None else weights.to(logits.device)
        found = F.cross_entropy(
            logits.flatten(0, 1),
            targets.flatten() - 1,
            weight=each,
            ignore_index=PADDING - 1,
            label_smoothing=label_smoothing,
            reduction=reduction,
        )
        return found.view(targets.shape) if reduction == "none" else found

    return replace(
        supervised("tagging", loss, tags_score, read=logits_of),
        probs=partial(torch.softmax, dim=-1),
        monitor="val/accuracy",
        mode="max",
    )


def tags_score(logits: Tensor, batch: Any) -> Measures:
    """Return cross-entropy in nats and accuracy of logits (B, T, K), over all tokens."""
    wanted = as_batch(batch).targets.flatten() - 1
    logits, asked = logits.flatten(0, 1), int((wanted >= 0).sum())
    return {
        "loss": (F.cross_entropy(logits, wanted, ignore_index=PADDING - 1, reduction="sum"), asked),
        "accuracy": (((logits.argmax(1) == wanted) & (wanted >= 0)).sum(), asked),
    }
