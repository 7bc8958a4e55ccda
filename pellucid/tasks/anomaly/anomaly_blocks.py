"""Views of anomaly scores: their distribution, and how well each class is detected."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

BINS = 40
WIDEST = 0.99
"""Share of the scores that are drawn at their place; larger ones are counted in the last bin."""


def histogram(scores: np.ndarray, normal: np.ndarray, limit: float) -> dict[str, Any]:
    """Show how often each score is, of normal images and of others.

    Args:
        scores: (N,).
        normal: (N,), whether an image is normal.
        limit: the score above which an image counts as an anomaly.
    """
    edges = np.linspace(0, max(float(np.quantile(scores, WIDEST)), 1e-9), BINS + 1)
    middles = ((edges[1:] + edges[:-1]) / 2).round(5).tolist()
    series = []
    for name, chosen in (("normal", scores[normal]), ("others", scores[~normal])):
        counts, _ = np.histogram(chosen.clip(max=edges[-1]), edges)
        series.append({"name": name, "x": middles, "y": (counts / max(len(chosen), 1)).round(5).tolist()})
    return {
        "kind": "lines",
        "title": "Scores",
        "caption": "The distribution of scores of normal images and of all others: the less the two curves "
        f"overlap, the better. Images above {limit:.3g} count as anomalies; the last point includes all "
        "larger scores.",
        "x_label": "score",
        "y_label": "share of images",
        "share": True,
        "series": series,
    }


def by_class(
    scores: np.ndarray, classes: np.ndarray, index: int, limit: float, names: Sequence[str]
) -> dict[str, Any]:
    """Measure how well each other class is distinguished from the normal one, the hardest first.

    Args:
        scores: (N,).
        classes: (N,), of each image.
        index: the normal class.
        limit: the score above which an image counts as an anomaly.
        names: of all classes.
    """
    from sklearn.metrics import roc_auc_score  # here, since predicting does not need it

    normal, rows = scores[classes == index], []
    for other in np.setdiff1d(classes, [index]).tolist():
        theirs = scores[classes == other]
        found = 100 * (theirs > limit).mean()
        known, both = np.repeat([0, 1], [len(normal), len(theirs)]), np.concatenate([normal, theirs])
        ranked = round(float(roc_auc_score(known, both)), 4) if len(normal) else None
        rows.append([names[other], len(theirs), ranked, round(float(found), 1)])
    return {
        "kind": "table",
        "title": "Scores by class",
        "caption": f"How well each class is distinguished from {names[index]!r}, and the share of it that is "
        f"found with the limit {limit:.3g}.",
        "columns": ["class", "images", "AUROC", "% found"],
        "rows": sorted(rows, key=lambda row: row[2]),
    }
