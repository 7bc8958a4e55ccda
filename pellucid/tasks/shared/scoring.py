"""What the scores of predictions share, and which rows to show.

Shapes: N rows, K classes or numbers.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa

from pellucid.data import preview
from pellucid.data.dataset import Column
from pellucid.data.preprocess import Preprocess

WORST_ROWS = 24  # those with the highest loss
ROWS_PER_MISTAKE = 12  # of every cell off the diagonal of the confusion matrix
ROWS_PER_HIT = 6  # of every cell on its diagonal
MAX_ROWS = 1000  # in total
Measured = tuple[dict[str, float], dict[str, Any], dict[str, np.ndarray]]
"""Metrics, a summary for the report, and the columns of the predictions."""


def per_class(
    targets: np.ndarray, preds: np.ndarray, labels: list[int] | None, preprocess: Preprocess
) -> list[dict[str, Any]]:
    """Precision, recall, F1 and rows of each class; 0 where a class was never predicted."""
    from sklearn import metrics as scores  # here, since predicting does not need it

    columns = scores.precision_recall_fscore_support(targets, preds, labels=labels, zero_division=0.0)  # type: ignore[arg-type]
    names = ("precision", "recall", "f1", "support")
    return [
        {
            "name": name,
            **{key: np.asarray(column)[index].item() for key, column in zip(names, columns, strict=True)},
        }
        for index, name in enumerate(preprocess.classes)
    ]


def worth_seeing(columns: dict[str, np.ndarray], classes: bool) -> np.ndarray:
    """Pick the rows to show: the worst, and for each cell of the confusion matrix its clearest."""
    by_loss = np.argsort(-columns["loss"], kind="stable")
    if not classes:
        return by_loss[:WORST_ROWS]
    target, prediction = columns["target"], columns["prediction"]
    mistakes = by_loss[(target != prediction)[by_loss]]
    chosen = list(mistakes[:WORST_ROWS])
    cells: dict[tuple[int, int], int] = {}
    for row in [*mistakes, *by_loss[::-1]]:
        cell = (int(target[row]), int(prediction[row]))
        if cells.get(cell, 0) < (ROWS_PER_HIT if cell[0] == cell[1] else ROWS_PER_MISTAKE):
            cells[cell] = cells.get(cell, 0) + 1
            chosen.append(row)
    return np.array(list(dict.fromkeys(chosen))[:MAX_ROWS], dtype=np.int64)


def shown(chosen: dict[str, np.ndarray], table: pa.Table, columns: tuple[Column, ...]) -> pa.Table:
    """Add to each chosen row its picture or its text."""
    pictured = next(filter(preview.is_drawable, columns), None)
    images = [preview.picture(table, pictured, int(row)) if pictured else None for row in chosen["row"]]
    texts = [
        None if image else preview.line(table, columns, int(row))
        for image, row in zip(images, chosen["row"], strict=True)
    ]
    return pa.table({**chosen, "image": pa.array(images, pa.binary()), "text": pa.array(texts, pa.string())})
