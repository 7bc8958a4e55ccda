"""Scores of steps: accuracy, balanced accuracy and F1 of classes; errors of numbers.

Shapes: S steps with a label, K classes, D numbers a step.
"""

from __future__ import annotations

import numpy as np


def score_classes(probs: np.ndarray, wanted: np.ndarray) -> dict[str, float]:
    """Score probabilities (S, K) against classes (S,).

    "balanced_accuracy" is the mean recall, and "f1" the mean F1, of the classes that occur.
    """
    from sklearn import metrics as scores  # here, since predicting does not need it

    preds = probs.argmax(1)
    losses = -np.log(probs[np.arange(len(wanted)), wanted].clip(1e-12))
    labels = np.unique(np.concatenate([wanted, preds]))
    recalls = [float((preds[wanted == label] == label).mean()) for label in np.unique(wanted)]
    return {
        "loss": float(losses.mean()),
        "accuracy": float((preds == wanted).mean()),
        "balanced_accuracy": float(np.mean(recalls)),
        "f1": float(scores.f1_score(wanted, preds, labels=labels, average="macro", zero_division=0.0)),  # type: ignore[arg-type]
    }


def score_numbers(preds: np.ndarray, wanted: np.ndarray) -> dict[str, float]:
    """Score numbers (S, D) in the units of the data."""
    errors = preds - wanted
    return {"mae": float(np.abs(errors).mean()), "rmse": float(np.sqrt(np.square(errors).mean()))}
