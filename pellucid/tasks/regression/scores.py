"""Scores of predicted numbers: errors, R² and residuals.

Shapes: N rows, K numbers.
"""

from __future__ import annotations

import numpy as np
from torch import Tensor

from pellucid.data.preprocess import Preprocess
from pellucid.tasks.shared.scoring import Measured

SCATTER = 2000


def regression(outputs: Tensor, targets: Tensor, preprocess: Preprocess) -> Measured:
    """Score amounts (N,) or (N, K), in the target's own units."""
    from sklearn.metrics import r2_score  # here, since predicting does not need it

    preds = preprocess.untarget(outputs).numpy().reshape(len(outputs), -1)
    wanted = preprocess.untarget(targets).numpy().reshape(len(targets), -1)
    errors = preds - wanted
    metrics = {
        "mae": float(np.abs(errors).mean()),
        "rmse": float(np.sqrt(np.square(errors).mean())),
        "r2": float(r2_score(wanted, preds)) if len(wanted) > 1 else float("nan"),
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
