"""What a trained model does on a split: the numbers, and the rows behind each of them.

Writes `evaluation/<split>.json` (metrics, confusion, calibration), `<split>.parquet` (one row per
prediction) and `<split>-examples.parquet` (the rows worth looking at), which the report draws from.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from sklearn import metrics as scores
from torch import Tensor, nn
from torch.nn import functional as F

from pellucid.data import show
from pellucid.data.dataset import Column
from pellucid.data.preprocess import Preprocess
from pellucid.record import files
from pellucid.train.device import PATHS
from pellucid.train.objectives import Objective

WORST, PER_MISTAKE, PER_HIT, MOST = 24, 12, 6, 1000
BINS = 10
SCATTER = 2000


@dataclass(frozen=True)
class Outcome:
    """The result on one split.

    Attributes:
        metrics: e.g. {"accuracy": 0.995, "loss": 0.02}.
        summary: what goes into `<split>.json`.
        predictions: one row per prediction.
        examples: the rows worth looking at.
    """

    metrics: dict[str, float]
    summary: dict[str, Any]
    predictions: pa.Table
    examples: pa.Table

    def write(self, folder: Path, split: str) -> None:
        files.write_json(folder / f"{split}.json", {"split": split, "metrics": self.metrics, **self.summary})
        for name, table in ((split, self.predictions), (f"{split}-examples", self.examples)):
            sink = pa.BufferOutputStream()
            pq.write_table(table, sink)
            files.write(folder / f"{name}.parquet", sink.getvalue().to_pybytes())


@dataclass(frozen=True)
class Trained:
    """A trained model and how it computes.

    Attributes:
        model: its weights are the ones to use.
        objective: measures it.
        preprocess: turns rows into its inputs; names its classes.
        device, path: where and how it runs.
    """

    model: nn.Module
    objective: Objective
    preprocess: Preprocess
    device: torch.device
    path: str = "eager"


def evaluate(trained: Trained, batches: Iterable[Any], table: pa.Table) -> Outcome:
    """Run a split through a model and measure the result.

    Args:
        trained: the model.
        batches: the split, encoded, in the order of `table`.
        table: the same rows before they were encoded, to show them.
    """
    outputs, targets = forward(trained, batches)
    preprocess, objective = trained.preprocess, trained.objective
    task = objective.name
    measure = {"classification": _classification, "multilabel": _multilabel, "regression": _regression}[task]
    metrics, summary, predictions = measure(outputs, targets, preprocess)
    measured = objective.measure(_Stored(outputs), (torch.zeros(0), targets))
    metrics["loss"] = (measured["loss"][0] / measured["loss"][1]).item()
    columns = {"row": np.arange(len(table)), **predictions}
    chosen = _choose(columns, classes=task == "classification")
    examples = _shown({key: values[chosen] for key, values in columns.items()}, table, preprocess.columns)
    summary = {"rows": len(table), "task": task, **summary}
    return Outcome(metrics, summary, pa.table(columns), examples)


@torch.no_grad()
def forward(trained: Trained, batches: Iterable[Any]) -> tuple[Tensor, Tensor]:
    """Return all logits (N, K) and targets, on the CPU, computed in evaluation mode."""
    how, model = PATHS[trained.path], trained.model
    training = model.training
    model.eval()
    outputs, targets = [], []
    for inputs, wanted in batches:
        with how.autocast(trained.device):
            outputs.append(model(how.batch(inputs.to(trained.device))).float().cpu())
        targets.append(wanted)
    model.train(training)
    return torch.cat(outputs), torch.cat(targets)


class _Stored(nn.Module):
    """A stand-in model whose outputs are already known, so that the objective can measure them."""

    def __init__(self, outputs: Tensor):
        super().__init__()
        self.outputs = outputs

    def forward(self, inputs: Tensor) -> Tensor:
        return self.outputs


Measured = tuple[dict[str, float], dict[str, Any], dict[str, np.ndarray]]


def _classification(logits: Tensor, targets: Tensor, preprocess: Preprocess) -> Measured:
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


def _multilabel(logits: Tensor, targets: Tensor, preprocess: Preprocess) -> Measured:
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


def _regression(outputs: Tensor, targets: Tensor, preprocess: Preprocess) -> Measured:
    """Measured in the target's own units."""
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


def _choose(columns: dict[str, np.ndarray], classes: bool) -> np.ndarray:
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


def _shown(chosen: dict[str, np.ndarray], table: pa.Table, columns: tuple[Column, ...]) -> pa.Table:
    """Add to each chosen row its picture or its text."""
    pictured = next((column for column in columns if column.kind in ("image", "tensor")), None)
    images = [show.picture(table, pictured, int(row)) if pictured else None for row in chosen["row"]]
    texts = [
        None if image else show.line(table, columns, int(row))
        for image, row in zip(images, chosen["row"], strict=True)
    ]
    return pa.table({**chosen, "image": pa.array(images, pa.binary()), "text": pa.array(texts, pa.string())})
