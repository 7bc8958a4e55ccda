"""The regression task."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from pellucid.config import Config
from pellucid.evaluation import Trained
from pellucid.tasks.prepared import Prepared
from pellucid.tasks.regression import scores
from pellucid.tasks.regression.objective import regression
from pellucid.tasks.regression.spec import SPEC
from pellucid.tasks.shared.scoring import Measured
from pellucid.tasks.shared.supervised import Supervised
from pellucid.train.objective import Objective


class Regression(Supervised):
    """One amount, or several."""

    spec = SPEC
    usual_loss = "mse"

    def _objective(self, config: Config, prepared: Prepared | None, **shared: Any) -> Objective:
        target = prepared.preprocess.target if prepared is not None else None
        return regression(**shared, units=getattr(target, "std", (1.0,)))

    def _score(self, outputs: Tensor, targets: Tensor, trained: Trained) -> Measured:
        return scores.regression(outputs, targets, trained.preprocess)


TASK = Regression()
