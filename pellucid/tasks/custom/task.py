"""Train with an objective, a loss or batches of the user's own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from pellucid.batch import as_batch, call_model, describe, map_tensors
from pellucid.config import Config, is_reference
from pellucid.data.batches import rows
from pellucid.data.dataset import Dataset
from pellucid.data.preprocess import Preprocess
from pellucid.errors import ConfigError, ModelError, PellucidError
from pellucid.evaluation import Outcome, Trained, measure
from pellucid.nn.modes import evaluating
from pellucid.tasks.classification.objective import classification
from pellucid.tasks.custom.spec import SPEC
from pellucid.tasks.prepared import Prepared, PreparedData
from pellucid.tasks.regression.objective import regression
from pellucid.tasks.task import Answer, Task
from pellucid.train.losses import loss as named_loss
from pellucid.train.objective import Objective, read_logits, supervised


@dataclass(frozen=True)
class Outputs:
    """What a model returned for some inputs.

    Attributes:
        outputs: (N, ...), the logits where the model returns several things.
    """

    outputs: np.ndarray

    def rows(self) -> list[dict[str, Any]]:
        """Return one dict a row."""
        return [{"prediction": row.tolist()} for row in self.outputs]


class Custom(Task):
    """An objective of the user's own; without one, what follows from the targets."""

    spec = SPEC
    labelled = False

    def prepare(
        self, dataset: Dataset, config: Config, reads_tokens: bool, fitted: Preprocess | None = None
    ) -> Prepared:
        data = config.data
        preprocess = fitted or Preprocess.fit(
            dataset,
            image_size=data.image_size,
            normalize=data.normalize,
            text=data.text if reads_tokens else None,
        )
        encoded = {name: rows(table, preprocess, data.memory) for name, table in dataset.splits.items()}
        where = "; ".join(f"{name} {reason}" for name, (_, reason) in encoded.items())
        return Prepared(
            config, dataset, preprocess, {name: found for name, (found, _) in encoded.items()}, where
        )

    def objective(self, config: Config, prepared: PreparedData | None = None) -> Objective:
        """Build the objective that follows from the targets, or from the loss named in the config.

        Raises:
            ConfigError: neither says what to learn.
        """
        name = config.objective.loss
        known = name is not None and not is_reference(name)
        if prepared is None:
            return supervised("custom", named_loss(name)) if known and name else Objective("custom", ())
        targets = as_batch(next(iter(prepared.training_batches()))).targets
        if isinstance(targets, Tensor) and targets.ndim == 1 and not targets.is_floating_point():
            return classification(name if known else None)
        if isinstance(targets, Tensor) and targets.is_floating_point() and targets.ndim <= 2:
            return regression(name if known else None)
        if known and name:
            return supervised("custom", named_loss(name))
        return supervised("custom", _no_loss(targets))

    def check(self, model: nn.Module, objective: Objective, prepared: PreparedData) -> None:
        batch = next(iter(prepared.training_batches()))
        training, state = model.training, torch.get_rng_state()
        device = next((parameter.device for parameter in model.parameters()), torch.device("cpu"))
        try:
            with torch.no_grad():
                objective.phases[0].loss(model.eval(), map_tensors(lambda t: t.to(device), batch))
        except PellucidError:
            raise
        except Exception as error:
            raise ModelError(
                f"The model cannot learn from a batch {describe(batch)}: {type(error).__name__}: {error}",
                remedy="batches are (inputs, targets) or dicts; the model is called as model(inputs), or "
                "with the entries of a dict by name; the loss as loss(outputs, targets)",
            ) from error
        finally:
            model.train(training)
            torch.set_rng_state(state)

    def evaluate(self, trained: Trained, prepared: PreparedData, split: str) -> Outcome:
        return Outcome(
            measure(trained, prepared.batches(split)), {"task": self.name, **prepared.size_of(split)}
        )

    def predict(self, trained: Trained, inputs: Any, **options: Any) -> Answer:
        """Return the outputs for inputs that the model takes, or for a table of rows it was trained on."""
        if trained.preprocess is not None and trained.preprocess.columns:
            inputs = trained.preprocess.inputs(trained.preprocess.table_from(inputs))
        batch = map_tensors(lambda tensor: tensor.to(trained.device), _tensors(inputs))
        with evaluating(trained.model):
            return Outputs(read_logits(call_model(trained.model, batch)).float().cpu().numpy())


def _tensors(inputs: Any) -> Any:
    return torch.as_tensor(inputs) if isinstance(inputs, (np.ndarray, list)) else inputs


def _no_loss(targets: Any) -> Any:
    """A loss that is to be replaced by the user's own."""

    def loss(outputs: Any, targets: Any) -> Tensor:
        raise ConfigError(
            f"What to learn does not follow from targets {describe(targets)}.",
            remedy="loss=a function (outputs, targets) -> scalar, or objective=Objective(...)",
        )

    return loss


TASK = Custom()
