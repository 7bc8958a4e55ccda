"""The multilabel task."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from pellucid.config import Config
from pellucid.evaluation import Trained
from pellucid.tasks.multilabel import scores
from pellucid.tasks.multilabel.objective import multilabel
from pellucid.tasks.multilabel.spec import SPEC
from pellucid.tasks.prepared import Prepared
from pellucid.tasks.shared.scoring import Measured
from pellucid.tasks.shared.supervised import Supervised
from pellucid.tasks.task import no_threshold
from pellucid.train.objective import Objective


class Multilabel(Supervised):
    """Any number of K labels."""

    spec = SPEC
    usual_loss = "bce"

    def _objective(self, config: Config, prepared: Prepared | None, **shared: Any) -> Objective:
        return multilabel(**shared, outputs=config.objective.outputs)

    def check_threshold(self, threshold: float | str, prepared: Prepared) -> None:
        if isinstance(threshold, str):
            raise no_threshold("the task multilabel", "a number for several labels a row")

    def _score(self, outputs: Tensor, targets: Tensor, trained: Trained) -> Measured:
        return scores.multilabel(outputs, targets, trained.preprocess, trained.threshold)


TASK = Multilabel()
