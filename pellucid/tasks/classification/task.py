"""The classification task."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from pellucid.config import Config
from pellucid.data.batches import Batches
from pellucid.data.preprocess import Preprocess
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

    def _objective(self, config: Config, prepared: Prepared | None, **shared: Any) -> Objective:
        section = config.objective
        weights = _class_weights(prepared) if section.class_weights and prepared is not None else None
        return classification(**shared, label_smoothing=section.label_smoothing, class_weights=weights)

    def _score(self, outputs: Tensor, targets: Tensor, preprocess: Preprocess) -> Measured:
        return scores.classification(outputs, targets, preprocess)


def _class_weights(prepared: Prepared) -> Tensor:
    counts = torch.zeros(prepared.preprocess.num_outputs)
    for _, targets in Batches(prepared.rows["train"], 4096):
        counts += torch.bincount(targets, minlength=len(counts))
    return counts.sum() / (len(counts) * counts.clamp(min=1))


TASK = Classification()
