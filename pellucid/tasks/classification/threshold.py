"""The threshold that decides between two classes: a number, or the best one on held-out rows."""

from __future__ import annotations

import numpy as np

BY = ("f1", "balanced_accuracy")
"""What a threshold can be chosen by."""


def best_threshold(probs: np.ndarray, targets: np.ndarray, by: str) -> tuple[float, float]:
    """Return the probability from which on to predict the second of two classes, and the score it has.

    All thresholds that tell rows apart are tried. Each lies half-way between two probabilities; of equally
    good ones, the one nearest to 0.5 is taken.

    Args:
        probs: (N,) of the second class, 0..1.
        targets: (N,) 0 or 1, of which both occur.
        by: "f1" of the second class, or "balanced_accuracy", the mean of the recalls of both. The latter is
            best where sensitivity + specificity - 1 is (Youden 1950).
    """
    order = np.argsort(-probs, kind="stable")
    sorted_probs, hits = probs[order].astype(np.float64), targets[order].astype(np.float64)
    ends = np.flatnonzero(np.diff(sorted_probs, append=-1.0))  # the last row of each probability
    true, taken = np.cumsum(hits)[ends], ends + 1.0
    positives, rows = hits.sum(), float(len(hits))
    if by == "f1":
        scores = 2 * true / (taken + positives)
    else:
        scores = (true / positives + 1 - (taken - true) / (rows - positives)) / 2
    lower = np.append(sorted_probs[ends][1:], 0.0)
    thresholds = (sorted_probs[ends] + lower) / 2
    best = np.flatnonzero(np.isclose(scores, scores.max(), rtol=0, atol=1e-12))
    chosen = best[np.argmin(np.abs(thresholds[best] - 0.5))]
    return float(thresholds[chosen]), float(scores[chosen])
