"""Scores of label predictions: accuracy and F1.

Shapes: N rows, K labels.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from pellucid.data.preprocess import Preprocess
from pellucid.tasks.shared.scoring import Measured, per_class


def multilabel(
    logits: Tensor, targets: Tensor, preprocess: Preprocess, threshold: float | None = None
) -> Measured:
    """Score logits (N, K) against labels of 0 and 1 (N, K); one holds above 0.5, or from `threshold` on."""
    probs, wanted = logits.sigmoid(), targets > 0.5
    preds = probs > 0.5 if threshold is None else probs >= threshold
    by_class = per_class(wanted.numpy(), preds.numpy(), None, preprocess)
    metrics = {
        "accuracy": float((preds == wanted).float().mean()),
        "f1": float(np.mean([entry["f1"] for entry in by_class])),
    }
    losses = F.binary_cross_entropy_with_logits(logits, targets, reduction="none").mean(1)
    predictions = {
        "target": wanted.numpy().astype(np.int64).sum(1),
        "prediction": preds.numpy().astype(np.int64).sum(1),
        "confidence": torch.maximum(probs, 1 - probs).mean(1).numpy(),
        "loss": losses.numpy(),
    }
    return metrics, {"classes": list(preprocess.classes), "per_class": by_class}, predictions
