"""Labels of steps without a network: guessing, copying the input, and boosting on a window of steps.

Shapes: N rows, T steps, C channels, D numbers a step.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from pellucid.tasks.steps.scores import score_classes, score_numbers

MOST_AROUND = 8
"""Most steps on either side that boosting sees."""
MOST_FEATURES = 200
"""Most numbers of a window, from which fewer steps follow where there are many channels."""
MOST_STEPS = 10_000
"""Steps that boosting learns from."""
MOST_MEASURED = 50_000
"""Steps that it is measured on."""

Part = tuple[np.ndarray, np.ndarray]
"""Inputs (N, T, C), and classes (N, T), -1 for none, or numbers (N, T, D), NaN for none."""


def class_baselines(train: Part, evals: Mapping[str, Part], classes: int) -> dict[str, dict[str, float]]:
    """Measure guessing and boosting on classes of steps.

    Args:
        train: the training rows.
        evals: rows by prefix, e.g. "val" and "test".
        classes: K.

    Returns:
        "<prefix>/accuracy", "<prefix>/loss" ... by name of the baseline.
    """
    inputs, wanted = _few(*train, MOST_STEPS, wanted=train[1] >= 0)
    prior = np.bincount(train[1][train[1] >= 0], minlength=classes) + 1.0
    known, model, filled = np.unique(wanted), _boosting("classes"), _filled(inputs)
    if len(known) > 1:
        model.fit(inputs[:, filled], wanted)
    found: dict[str, dict[str, float]] = {"prior": {}, "window": {}}
    for prefix, (series, labels) in evals.items():
        windows, real = _few(series, labels, MOST_MEASURED, wanted=labels >= 0)
        boosted = np.full((len(real), classes), 1e-6)
        boosted[:, known] += model.predict_proba(windows[:, filled]) if len(known) > 1 else 1.0
        guessed = np.broadcast_to(prior, boosted.shape)
        for name, weights in (("prior", guessed), ("window", boosted)):
            probs = weights / weights.sum(1, keepdims=True)
            found[name] |= _named(prefix, score_classes(probs, real))
    return found


def number_baselines(train: Part, evals: Mapping[str, Part]) -> dict[str, dict[str, float]]:
    """Measure the mean, the nearest channel of the input, and boosting, on numbers in the units of the data.

    Args:
        train: the training rows, inputs in their own units.
        evals: rows by prefix.

    Returns:
        "<prefix>/mae" and "<prefix>/rmse" by name of the baseline.
    """
    known = np.asarray(np.isfinite(train[1]).all(2))
    mean = np.nanmean(train[1].reshape(-1, train[1].shape[2]), 0)
    channels = _nearest_channels(*train)
    inputs, wanted = _few(*train, MOST_STEPS, wanted=known)
    filled = _filled(inputs)
    models = [
        _boosting("numbers").fit(inputs[:, filled], wanted[:, place]) for place in range(wanted.shape[1])
    ]
    found: dict[str, dict[str, float]] = {"prior": {}, "copy": {}, "window": {}}
    for prefix, (series, numbers) in evals.items():
        chosen = np.asarray(np.isfinite(numbers).all(2))
        windows, real = _few(series, numbers, MOST_MEASURED, wanted=chosen)
        copied = _few(series, series[:, :, channels], MOST_MEASURED, wanted=chosen)[1]
        boosted = np.stack([model.predict(windows[:, filled]) for model in models], 1)
        for name, preds in (("prior", np.broadcast_to(mean, real.shape)), ("copy", copied)):
            found[name] |= _named(prefix, score_numbers(preds, real))
        found["window"] |= _named(prefix, score_numbers(boosted, real))
    return found


def _named(prefix: str, metrics: Mapping[str, float]) -> dict[str, float]:
    return {f"{prefix}/{name}": value for name, value in metrics.items()}


def _boosting(kind: str) -> Any:
    from sklearn import ensemble  # here, since predicting does not need it

    of = "Classifier" if kind == "classes" else "Regressor"
    return getattr(ensemble, f"HistGradientBoosting{of}")(random_state=0)


def _filled(windows: np.ndarray) -> np.ndarray:
    """Return which numbers of windows (S, W) are ever known: with labels at the last step, none after it are.

    Boosting cannot learn from a column without any number.
    """
    return np.asarray(np.isfinite(windows).any(0))


def _nearest_channels(inputs: np.ndarray, numbers: np.ndarray) -> list[int]:
    """Return for each of D numbers the channel whose value at the same step is nearest to it on average."""
    errors = np.nanmean(np.abs(inputs[:, :, :, None] - numbers[:, :, None, :]), axis=(0, 1))  # (C, D)
    return errors.argmin(0).tolist()


def _few(
    inputs: np.ndarray, labels: np.ndarray, most: int, *, wanted: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return the windows around steps, at most so many, and their labels.

    Args:
        inputs: (N, T, C).
        labels: (N, T) or (N, T, D).
        most: steps to draw.
        wanted: (N, T), which steps may be drawn.
    """
    rows, steps = np.nonzero(wanted)
    if len(rows) > most:
        chosen = np.sort(np.random.default_rng(0).choice(len(rows), most, replace=False))
        rows, steps = rows[chosen], steps[chosen]
    around = max(1, min(MOST_AROUND, (MOST_FEATURES // inputs.shape[2] - 1) // 2))
    padded = np.pad(inputs, ((0, 0), (around, around), (0, 0)), constant_values=np.nan)
    at = steps[:, None] + np.arange(2 * around + 1)  # (S, W)
    return padded[rows[:, None], at].reshape(len(rows), -1), labels[rows, steps]
