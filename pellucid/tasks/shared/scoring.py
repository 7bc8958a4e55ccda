"""What predictions amount to: scores, confusion, calibration, and the rows behind them.

Shapes: N rows, K classes or amounts.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import torch
from sklearn import metrics as scores
from torch import Tensor
from torch.nn import functional as F

from pellucid.data import preview
from pellucid.data.dataset import Column
from pellucid.data.preprocess import Preprocess

WORST, PER_MISTAKE, PER_HIT, MOST = 24, 12, 6, 1000
BINS = 10
SCATTER = 2000

Measured = tuple[dict[str, float], dict[str, Any], dict[str, np.ndarray]]
"""Metrics, a summary for the report, and the columns of the predictions."""


def classification(logits: Tensor, targets: Tensor, preprocess: Preprocess) -> Measured:
    """Score logits (N, K) against classes (N,)."""
    probs = logits.softmax(1)
    confidence, preds = probs.max(1)
    losses = F.cross_entropy(logits, targets, reduction="none")
    labels = range(len(preprocess.classes))
    per_class = _per_class(targets.numpy(), preds.numpy(), list(labels), preprocess)
    right = (preds == targets).numpy()
    metrics = {"accuracy": float(right.mean()), "f1": float(np.mean([entry["f1"] for entry in per_class]))}
    if len(labels) == 2 and len(np.unique(targets)) == 2:
        metrics["auroc"] = float(scores.roc_auc_score(targets, probs[:, 1]))
    summary = {
        "classes": list(preprocess.classes),
        "confusion": scores.confusion_matrix(targets, preds, labels=list(labels)).tolist(),
        "per_class": per_class,
        "calibration": calibration(confidence.numpy(), right),
    }
    predictions = {
        "target": targets.numpy(),
        "prediction": preds.numpy(),
        "confidence": confidence.numpy(),
        "loss": losses.numpy(),
    }
    return metrics, summary, predictions


def multilabel(logits: Tensor, targets: Tensor, preprocess: Preprocess) -> Measured:
    """Score logits (N, K) against labels of 0 and 1 (N, K)."""
    probs, wanted = logits.sigmoid(), targets > 0.5
    preds = probs > 0.5
    per_class = _per_class(wanted.numpy(), preds.numpy(), None, preprocess)
    metrics = {
        "accuracy": float((preds == wanted).float().mean()),
        "f1": float(np.mean([entry["f1"] for entry in per_class])),
    }
    losses = F.binary_cross_entropy_with_logits(logits, targets, reduction="none").mean(1)
    predictions = {
        "target": wanted.numpy().astype(np.int64).sum(1),
        "prediction": preds.numpy().astype(np.int64).sum(1),
        "confidence": torch.maximum(probs, 1 - probs).mean(1).numpy(),
        "loss": losses.numpy(),
    }
    return metrics, {"classes": list(preprocess.classes), "per_class": per_class}, predictions


def _per_class(
    targets: np.ndarray, preds: np.ndarray, labels: list[int] | None, preprocess: Preprocess
) -> list[dict[str, Any]]:
    """Precision, recall, F1 and rows of each class; 0 where a class was never predicted."""
    columns = scores.precision_recall_fscore_support(targets, preds, labels=labels, zero_division=0.0)  # type: ignore[arg-type]
    names = ("precision", "recall", "f1", "support")
    return [
        {
            "name": name,
            **{key: np.asarray(column)[index].item() for key, column in zip(names, columns, strict=True)},
        }
        for index, name in enumerate(preprocess.classes)
    ]


def regression(outputs: Tensor, targets: Tensor, preprocess: Preprocess) -> Measured:
    """Score amounts (N,) or (N, K), in the target's own units."""
    preds = preprocess.untarget(outputs).numpy().reshape(len(outputs), -1)
    wanted = preprocess.untarget(targets).numpy().reshape(len(targets), -1)
    errors = preds - wanted
    metrics = {
        "mae": float(np.abs(errors).mean()),
        "rmse": float(np.sqrt(np.square(errors).mean())),
        "r2": float(scores.r2_score(wanted, preds)) if len(wanted) > 1 else float("nan"),
    }
    step = max(1, len(wanted) // SCATTER)
    summary = {
        "scatter": np.stack([wanted[::step, 0], preds[::step, 0]], 1).tolist(),
        "residuals": {
            "mean": float(errors.mean()),
            "std": float(errors.std()),
            "quantiles": np.quantile(errors, [0, 0.05, 0.25, 0.5, 0.75, 0.95, 1]).tolist(),
        },
    }
    predictions = {
        "target": wanted[:, 0],
        "prediction": preds[:, 0],
        "confidence": np.full(len(wanted), np.nan),
        "loss": np.square(errors).mean(1),
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


def worth_seeing(columns: dict[str, np.ndarray], classes: bool) -> np.ndarray:
    """Pick the rows to show: the worst, and for each cell of the confusion matrix its clearest."""
    by_loss = np.argsort(-columns["loss"], kind="stable")
    if not classes:
        return by_loss[:WORST]
    target, prediction = columns["target"], columns["prediction"]
    mistakes = by_loss[(target != prediction)[by_loss]]
    chosen = list(mistakes[:WORST])
    cells: dict[tuple[int, int], int] = {}
    for row in [*mistakes, *by_loss[::-1]]:
        cell = (int(target[row]), int(prediction[row]))
        if cells.get(cell, 0) < (PER_HIT if cell[0] == cell[1] else PER_MISTAKE):
            cells[cell] = cells.get(cell, 0) + 1
            chosen.append(row)
    return np.array(list(dict.fromkeys(chosen))[:MOST], dtype=np.int64)


def shown(chosen: dict[str, np.ndarray], table: pa.Table, columns: tuple[Column, ...]) -> pa.Table:
    """Add to each chosen row its picture or its text."""
    pictured = next((column for column in columns if column.kind in ("image", "tensor")), None)
    images = [preview.picture(table, pictured, int(row)) if pictured else None for row in chosen["row"]]
    texts = [
        None if image else preview.line(table, columns, int(row))
        for image, row in zip(images, chosen["row"], strict=True)
    ]
    return pa.table({**chosen, "image": pa.array(images, pa.binary()), "text": pa.array(texts, pa.string())})
