"""Scores of class predictions: accuracy, F1, AUROC, confusion and calibration.

Shapes: N rows, K classes.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from torch import Tensor
from torch.nn import functional as F

from pellucid.data.preprocess import Preprocess
from pellucid.tasks.shared.scoring import Measured, per_class

BINS = 10


def classification(
    logits: Tensor, targets: Tensor, preprocess: Preprocess, threshold: float | None = None
) -> Measured:
    """Score logits (N, K) against classes (N,); of two, the second is predicted from `threshold` on."""
    from sklearn import metrics as scores  # here, since predicting does not need it

    probs = logits.softmax(1)
    preds = probs.argmax(1) if threshold is None else (probs[:, 1] >= threshold).long()
    confidence = probs.gather(1, preds[:, None])[:, 0]
    losses = F.cross_entropy(logits, targets, reduction="none")
    labels = range(len(preprocess.classes))
    by_class = per_class(targets.numpy(), preds.numpy(), list(labels), preprocess)
    right = (preds == targets).numpy()
    metrics = {"accuracy": float(right.mean()), "f1": float(np.mean([entry["f1"] for entry in by_class]))}
    recalls = [entry["recall"] for entry in by_class if entry["support"]]
    metrics["balanced_accuracy"] = float(np.mean(recalls))
    if len(labels) == 2 and len(np.unique(targets)) == 2:
        metrics["auroc"] = float(scores.roc_auc_score(targets, probs[:, 1]))
    summary = {
        "classes": list(preprocess.classes),
        "confusion": scores.confusion_matrix(targets, preds, labels=list(labels)).tolist(),
        "per_class": by_class,
        "calibration": calibration(confidence.numpy(), right),
    }
    predictions = {
        "target": targets.numpy(),
        "prediction": preds.numpy(),
        "confidence": confidence.numpy(),
        "loss": losses.numpy(),
    }
    return metrics, summary, predictions


def calibration(confidence: np.ndarray, right: np.ndarray) -> dict[str, Any]:
    """Compare confidence with accuracy in ten bins of equal width.

    Returns:
        "ece", the expected calibration error (Naeini et al. 2015): the mean gap between the two, in 0..1,
        weighed by how many predictions a bin holds; and the bins.
    """
    edges = np.linspace(0, 1, BINS + 1)
    which = np.clip(np.digitize(confidence, edges[1:-1]), 0, BINS - 1)
    bins, ece = [], 0.0
    for number in range(BINS):
        inside = which == number
        count = int(inside.sum())
        mean = float(confidence[inside].mean()) if count else None
        accuracy = float(right[inside].mean()) if count else None
        bins.append(
            {
                "low": float(edges[number]),
                "high": float(edges[number + 1]),
                "confidence": mean,
                "accuracy": accuracy,
                "count": count,
            }
        )
        if mean is not None and accuracy is not None:
            ece += count / len(right) * abs(mean - accuracy)
    return {"ece": ece, "bins": bins}
