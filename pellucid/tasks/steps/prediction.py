"""Predictions for every step of series."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class StepPrediction:
    """Predictions for N series of T steps.

    Attributes:
        outputs: (N, T, K) probabilities of the classes; or numbers (N, T) or (N, T, D), in the units of the
            data.
        predicted: (N, T) the classes in the type that y had; None for numbers.
        classes: the K classes in the order of the probabilities; () for numbers.
    """

    outputs: np.ndarray
    predicted: np.ndarray | None = None
    classes: tuple[Any, ...] = ()

    @property
    def labels(self) -> np.ndarray:
        """What is predicted for every step, in the type and the shape that y had."""
        return self.outputs if self.predicted is None else self.predicted

    @property
    def probs(self) -> np.ndarray:
        """(N, T, K) the probability of every class at every step, in the order of `classes`."""
        if not self.classes:
            raise AttributeError("numbers are predicted, which have no probabilities")
        return self.outputs

    def rows(self) -> list[dict[str, Any]]:
        """One dict a series: a list of predictions, and the probability of each where they are classes."""
        if self.predicted is None:
            return [{"prediction": row.tolist()} for row in self.outputs]
        flat = self.predicted.reshape(*self.outputs.shape[:2])
        certain = self.outputs.max(2)
        return [
            {"prediction": row.tolist(), "confidences": sure.tolist()}
            for row, sure in zip(flat, certain, strict=True)
        ]
