"""Several targets of a `Classifier`: any number of K labels a row, or K classes a row."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from sklearn.utils.multiclass import type_of_target
from torch import Tensor
from torch.nn import functional as F

from pellucid.batch import as_batch
from pellucid.tasks.multilabel.objective import multilabel
from pellucid.train.objective import Measures, Objective, logits_of, supervised

HALF = 0.5


@dataclass(frozen=True)
class Heads:
    """What y (N, K) holds.

    Attributes:
        labels: whether its values are 0 and 1, and each column a label that holds or not.
        classes: the classes of each column, as a list of K arrays; of labels their numbers, (K,).
    """

    labels: bool
    classes: Any

    @property
    def sizes(self) -> list[int]:
        """Outputs for each column of y."""
        return [1] * len(self.classes) if self.labels else [len(found) for found in self.classes]

    @property
    def num_outputs(self) -> int:
        return sum(self.sizes)

    def encode(self, y: np.ndarray) -> Tensor:
        """Return targets (N, K): 0 and 1 as numbers, or the index of each class."""
        if self.labels:
            return torch.as_tensor(np.asarray(y, dtype=np.float32))
        indices = [np.searchsorted(found, y[:, place]) for place, found in enumerate(self.classes)]
        return torch.as_tensor(np.stack(indices, 1), dtype=torch.int64)

    def objective(self) -> Objective:
        """Cross-entropy, averaged over the columns of y."""
        return multilabel() if self.labels else _several_classes(self.sizes)

    def probs(self, logits: Tensor) -> Any:
        """Return the probability of each label (N, K), or a list of the probabilities for each column."""
        if self.labels:
            return logits.sigmoid().numpy()
        return [part.softmax(1).numpy() for part in logits.split(self.sizes, 1)]

    def decode(self, probs: Any) -> np.ndarray:
        """Return the labels or classes (N, K) with these probabilities."""
        if self.labels:
            return (probs >= HALF).astype(int)
        columns = [found[part.argmax(1)] for found, part in zip(self.classes, probs, strict=True)]
        return np.stack(columns, 1)


def read_heads(y: np.ndarray) -> Heads:
    """Return what y (N, K) holds."""
    if type_of_target(y) == "multilabel-indicator":
        return Heads(True, np.arange(y.shape[1]))
    return Heads(False, [np.unique(y[:, place]) for place in range(y.shape[1])])


def _several_classes(sizes: list[int]) -> Objective:
    """Return the objective of one class for each column of targets (B, K), from logits of `sizes`."""

    def loss(logits: Tensor, targets: Tensor, reduction: str = "mean") -> Tensor:
        parts = enumerate(logits.split(sizes, 1))
        losses = [F.cross_entropy(part, targets[:, place], reduction=reduction) for place, part in parts]
        return torch.stack(losses).mean(0)

    def score(logits: Tensor, batch: Any) -> Measures:
        targets = as_batch(batch).targets
        return {"loss": (loss(logits, targets) * len(targets), len(targets))}

    return supervised("several classes", loss, score, read=logits_of)
