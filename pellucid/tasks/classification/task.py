"""The classification task."""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from torch import Tensor

from pellucid.config import Config
from pellucid.data.batches import Batches
from pellucid.evaluation import Trained
from pellucid.record import Run
from pellucid.tasks.classification import scores
from pellucid.tasks.classification.label_margins import label_margins
from pellucid.tasks.classification.objective import classification
from pellucid.tasks.classification.spec import SPEC
from pellucid.tasks.prepared import Prepared
from pellucid.tasks.shared.class_weights import class_weights
from pellucid.tasks.shared.scoring import Measured
from pellucid.tasks.shared.supervised import Supervised
from pellucid.tasks.task import no_threshold
from pellucid.train.callbacks import Callback
from pellucid.train.objective import Objective


class Classification(Supervised):
    """One class out of K."""

    spec = SPEC
    usual_loss = "cross_entropy"

    def _objective(self, config: Config, prepared: Prepared | None, **shared: Any) -> Objective:
        section = config.objective
        weights = None
        if prepared is not None:
            count = partial(_count, prepared)
            weights = class_weights(section.class_weights, prepared.preprocess.classes, count)
        return classification(
            **shared,
            label_smoothing=section.label_smoothing,
            class_weights=weights,
            outputs=section.outputs,
        )

    def check_threshold(self, threshold: float | str, prepared: Prepared) -> None:
        if (classes := prepared.preprocess.num_outputs) != 2:
            raise no_threshold(f"{classes} classes")

    def callbacks(self, run: Run, prepared: Prepared) -> list[Callback]:
        found = label_margins(run, prepared)
        return [] if found is None else [found]

    def _score(self, outputs: Tensor, targets: Tensor, trained: Trained) -> Measured:
        return scores.classification(outputs, targets, trained.preprocess, trained.threshold)


def _count(prepared: Prepared) -> Tensor:
    """Return the number of training rows of each class, (K,)."""
    counts = torch.zeros(prepared.preprocess.num_outputs)
    for _, targets in Batches(prepared.rows["train"], 4096):
        counts += torch.bincount(targets, minlength=len(counts))
    return counts


TASK = Classification()
