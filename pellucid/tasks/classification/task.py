"""The classification task."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from pellucid.config import Config
from pellucid.data.batches import Batches
from pellucid.errors import ConfigError, UnknownNameError
from pellucid.evaluation import Trained
from pellucid.tasks.classification import scores
from pellucid.tasks.classification.objective import classification
from pellucid.tasks.classification.spec import SPEC
from pellucid.tasks.prepared import Prepared
from pellucid.tasks.shared.scoring import Measured
from pellucid.tasks.shared.supervised import Supervised
from pellucid.train.objective import Objective


class Classification(Supervised):
    """One class out of K."""

    spec = SPEC
    usual_loss = "cross_entropy"

    def _objective(self, config: Config, prepared: Prepared | None, **shared: Any) -> Objective:
        section = config.objective
        weights = None
        if section.class_weights and prepared is not None:
            weights = _class_weights(prepared, section.class_weights)
        return classification(
            **shared,
            label_smoothing=section.label_smoothing,
            class_weights=weights,
            outputs=section.outputs,
        )

    def _score(self, outputs: Tensor, targets: Tensor, trained: Trained) -> Measured:
        return scores.classification(outputs, targets, trained.preprocess, trained.threshold)


def _class_weights(prepared: Prepared, weights: bool | dict[str, float] | list[float]) -> Tensor:
    """Return a weight for each class (K,): as given by name or in order, or by inverse frequency.

    Raises:
        UnknownNameError: there is no class of a name.
        ConfigError: there are more or fewer weights than classes.
    """
    classes = prepared.preprocess.classes
    if isinstance(weights, dict):
        for name in weights:
            if name not in classes:
                raise UnknownNameError("class to weigh", name, classes)
        return torch.tensor([float(weights.get(name, 1.0)) for name in classes])
    if isinstance(weights, list):
        if len(weights) != len(classes):
            raise ConfigError(
                f"objective.class_weights has {len(weights)} values: expected one for each of {len(classes)} "
                f"classes, in the order {', '.join(classes[:10])}."
            )
        return torch.tensor(weights, dtype=torch.float32)
    counts = torch.zeros(len(classes))
    for _, targets in Batches(prepared.rows["train"], 4096):
        counts += torch.bincount(targets, minlength=len(counts))
    return counts.sum() / (len(counts) * counts.clamp(min=1))


TASK = Classification()
