"""Views of labels of steps: what is confused with what, where in the series, and single series.

Shapes: N rows, T steps, K classes, D numbers a step.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import Any

import numpy as np

Block = dict[str, Any]
SHOWN = 8
"""Series to show."""
MOST_POINTS = 240
"""Points that are drawn of a line."""
RANKS = ((0.05, "an easy series"), (0.5, "a typical series"), (0.95, "a hard series"))


def of_classes(probs: np.ndarray, wanted: np.ndarray, classes: Sequence[str]) -> list[Block]:
    """Return the blocks of classes: confusion, accuracy by step, and the series with the most mistakes.

    Args:
        probs: (N, T, K).
        wanted: (N, T), -1 where there is no label.
        classes: names of the K classes.
    """
    from sklearn import metrics as scores  # here, since predicting does not need it

    known, preds = wanted >= 0, probs.argmax(2)
    counts = scores.confusion_matrix(wanted[known], preds[known], labels=range(len(classes))).tolist()
    losses = -np.log(np.take_along_axis(probs, wanted.clip(0)[..., None], 2)[..., 0].clip(1e-12)) * known
    return [
        _worst(preds, wanted, losses, classes),
        {
            "kind": "confusion",
            "title": "Classes that are mistaken for each other",
            "caption": "Steps by their class (row) and the predicted one (column).",
            "classes": list(classes),
            "counts": counts,
        },
        _along(preds == wanted, known, "Accuracy along the series", "correct", share=True),
    ]


def of_numbers(preds: np.ndarray, wanted: np.ndarray, name: str) -> list[Block]:
    """Return the blocks of numbers: an easy, a typical and a hard series, and the error by step.

    Args:
        preds: (N, T, D), in the units of the data.
        wanted: (N, T, D), NaN where there is none.
        name: of the target.
    """
    known, errors = np.isfinite(wanted), np.abs(preds - wanted)
    by_row = np.where(known, errors, 0).sum((1, 2)) / known.sum((1, 2)).clip(1)
    order = [row for row in by_row.argsort(kind="stable").tolist() if known[row].any()]
    rows = {words: order[round(rank * (len(order) - 1))] for rank, words in RANKS}
    series = [
        _series(preds[row], wanted[row], f"{words}: row {row + 1:,}", name, by_row[row])
        for words, row in rows.items()
    ]
    mean = np.where(known, errors, 0).sum(2) / known.sum(2).clip(1)
    return [*series, _along(mean, np.asarray(known.any(2)), "Error along the series", "mean absolute error")]


def _worst(preds: np.ndarray, wanted: np.ndarray, losses: np.ndarray, classes: Sequence[str]) -> Block:
    """Show the series with the largest loss as runs of equal labels, colored by their loss."""
    names = [*classes, "no label"]
    rows = []
    for row in np.argsort(-losses.sum(1), kind="stable")[:SHOWN].tolist():
        tokens, weights = [], []
        pairs = list(zip(wanted[row].tolist(), preds[row].tolist(), losses[row].tolist(), strict=True))
        for (real, found), run in groupby(pairs, key=lambda pair: pair[:2]):
            part = [loss for _, _, loss in run]
            said = names[found] if found == real or real < 0 else f"{names[found]} ({names[real]})"
            tokens.append(f"{said} x{len(part)}" if len(part) > 1 else said)
            weights.append(round(float(np.mean(part)), 3))
        wrong = int(((preds[row] != wanted[row]) & (wanted[row] >= 0)).sum())
        note = f"{wrong:,} of {int((wanted[row] >= 0).sum()):,} steps are wrong"
        rows.append({"label": f"row {row + 1:,}", "tokens": tokens, "weights": weights, "note": note})
    return {
        "kind": "tokens",
        "title": "Worst series",
        "caption": "The series with the largest loss, as runs of steps: the predicted class, in brackets the "
        "right one where that is another, and how many steps; the color is the mean loss, in nats.",
        "rows": rows,
    }


def _along(values: np.ndarray, known: np.ndarray, title: str, y_label: str, share: bool = False) -> Block:
    """Show the mean over rows at every step."""
    counts = known.sum(0)
    steps = [step for step in thinned(len(counts)) if counts[step]]
    means = np.where(known, values, 0).sum(0) / counts.clip(1)
    line = {"name": y_label, "x": [step + 1 for step in steps], "y": [float(means[step]) for step in steps]}
    return {
        "kind": "lines",
        "title": title,
        "caption": f"Mean over {len(values):,} series at each step with a label.",
        "x_label": "step",
        "y_label": y_label,
        "share": share,
        "series": [line],
    }


def _series(preds: np.ndarray, wanted: np.ndarray, words: str, name: str, error: float) -> Block:
    """Show the first of D numbers of one series."""
    steps = thinned(len(preds))
    lines = [
        {"name": who, "x": [step + 1 for step in steps], "y": [float(part[step, 0]) for step in steps]}
        for who, part in (("truth", wanted), ("prediction", preds))
    ]
    return {
        "kind": "lines",
        "title": words[0].upper() + words[1:],
        "caption": f"Off by {error:.3g} on average.",
        "x_label": "step",
        "y_label": name,
        "series": lines,
    }


def thinned(count: int) -> list[int]:
    """Return at most `MOST_POINTS` of `count` places, the first and the last among them."""
    return sorted({round(place) for place in np.linspace(0, count - 1, min(count, MOST_POINTS))})
