"""Train with an objective, a loss or batches of the user's own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from pellucid.batch import as_batch, call_model, describe, leaves, map_tensors
from pellucid.config import Config
from pellucid.config_text import is_reference
from pellucid.data.dataset import Dataset
from pellucid.data.preprocess import Preprocess
from pellucid.errors import ConfigError, PellucidError, UnknownNameError, UsageError
from pellucid.evaluation import Outcome, Trained, measure
from pellucid.nn.device import device_of
from pellucid.nn.modes import evaluating
from pellucid.record import Run
from pellucid.tasks.classification.objective import classification
from pellucid.tasks.custom.loader_data import own_inputs
from pellucid.tasks.custom.spec import SPEC
from pellucid.tasks.options import read_loss_options
from pellucid.tasks.prepared import Prepared, PreparedData, encode_rows
from pellucid.tasks.regression.objective import regression
from pellucid.tasks.task import Answer, Task, answer
from pellucid.train.explain import explain
from pellucid.train.losses import loss as named_loss
from pellucid.train.objective import Objective, read_logits, supervised
from pellucid.train.output_forms import LOGIT, is_one, to_logits


@dataclass(frozen=True)
class Outputs:
    """What a model returned for some inputs.

    Attributes:
        outputs: (N, ...), the logits where the model returns several things.
        classes: whether the targets in training were class indices.
        form: what the outputs are, as in `pellucid.train.output_forms`; None: logits.
    """

    outputs: np.ndarray
    classes: bool = False
    form: str | None = None

    @property
    def probs(self) -> np.ndarray:
        """(N, K) the probability of each class; of one output for two classes, (N, 2)."""
        if not self.classes:
            raise AttributeError("the targets were no classes, so there are no probabilities")
        outputs = torch.as_tensor(self.outputs)
        convert = to_logits(self.form or (LOGIT if is_one(outputs) else None))
        return (outputs if convert is None else convert(outputs)).softmax(1).numpy()

    @property
    def labels(self) -> list[Any]:
        """The class index of each row; where no classes are predicted, its output itself."""
        if not self.classes:
            return self.outputs.tolist()
        return self.probs.argmax(1).tolist()

    def rows(self) -> list[dict[str, Any]]:
        """Return one dict a row: the output as "prediction", and the class index, if any, as "label"."""
        if not self.classes:
            return [{"prediction": row.tolist()} for row in self.outputs]
        pairs = zip(self.outputs, self.labels, strict=True)
        return [{"prediction": row.tolist(), "label": label} for row, label in pairs]


def _by_name(config: Config, name: str) -> Objective:
    return supervised("custom", named_loss(name, **read_loss_options(config, name)))


class Custom(Task):
    """An objective of the user's own; without one, what follows from the targets."""

    spec = SPEC
    not_explained = ""
    returns_several = True

    def prepare(
        self, dataset: Dataset, config: Config, reads_tokens: bool, fitted: Preprocess | None = None
    ) -> Prepared:
        return Prepared(config, dataset, *encode_rows(dataset, config, reads_tokens, fitted))

    def objective(self, config: Config, prepared: PreparedData | None = None) -> Objective:
        """Build the objective that follows from the targets, or from the loss named in the config.

        Raises:
            ConfigError: neither says what to learn.
        """
        name = None if is_reference(config.objective.loss or "") else config.objective.loss
        if prepared is None:
            return Objective("custom", ()) if name is None else _by_name(config, name)
        targets = as_batch(next(iter(prepared.training_batches()))).targets
        if isinstance(targets, Tensor) and targets.ndim == 1 and not targets.is_floating_point():
            options = read_loss_options(config, "cross_entropy")
            return classification(name, options=options, outputs=config.objective.outputs)
        if isinstance(targets, Tensor) and targets.is_floating_point() and targets.ndim <= 2:
            return regression(name, options=read_loss_options(config, "mse"))
        if name is not None:
            return _by_name(config, name)
        return supervised("custom", _no_loss(targets))

    def check(self, model: nn.Module, objective: Objective, prepared: PreparedData) -> None:
        """Compute the loss of a batch before training.

        Raises:
            ModelError: the model or the loss fails; says which, with the line of the user's code.
        """
        batch = next(iter(prepared.training_batches()))
        training, state = model.training, torch.get_rng_state()
        device = device_of(model)
        try:
            with torch.no_grad():
                _check_phase(model.eval(), objective, map_tensors(lambda t: t.to(device), batch))
        finally:
            model.train(training)
            torch.set_rng_state(state)

    def evaluate(self, trained: Trained, prepared: PreparedData, split: str) -> Outcome:
        return Outcome(
            measure(trained, prepared.batches(split)), {"task": self.name, **prepared.size_of(split)}
        )

    def predict(self, trained: Trained, inputs: Any, **options: Any) -> Answer:
        """Predict for inputs that the model takes, for batches of them, or for a table of rows.

        Options: `output`, a key or an index of what the model returns; None: the logits.
        """
        return answer(_predict, trained, inputs, options)


def _predict(trained: Trained, inputs: Any, output: str | int | None = None) -> Outputs:
    if trained.preprocess is not None and trained.preprocess.columns:
        batches: Any = [trained.preprocess.inputs(trained.preprocess.table_from(inputs))]
    else:
        batches = own_inputs(trained.model, inputs, _num_inputs(trained))
    kinds = {part.dtype for part in trained.model.parameters() if part.is_floating_point()}
    kind = next(iter(kinds)) if len(kinds) == 1 else None

    def placed(tensor: Tensor) -> Tensor:
        return tensor.to(trained.device, kind if tensor.is_floating_point() else None)

    with evaluating(trained.model):
        made = [_read(call_model(trained.model, map_tensors(placed, batch)), output) for batch in batches]
    outputs = torch.cat([part.float().cpu() for part in made]) if len(made) > 1 else made[0].float().cpu()
    classes = output is None and _predicts_classes(trained)
    return Outputs(outputs.numpy(), classes, _form(trained) if classes else None)


def _read(outputs: Any, output: Any) -> Tensor:
    """Return one output of a model, by its key or index; None: the logits."""
    if output is None:
        return read_logits(outputs)
    try:
        found = outputs[output] if isinstance(outputs, (dict, tuple, list)) else getattr(outputs, str(output))
    except (KeyError, IndexError, TypeError, AttributeError):
        known = outputs if isinstance(outputs, dict) else range(len(outputs)) if _several(outputs) else []
        raise UnknownNameError("output of the model", str(output), [str(name) for name in known]) from None
    if not isinstance(found, Tensor):
        raise UsageError(f"output={output!r} is of type {type(found).__name__}: expected a tensor.")
    return found


def _several(outputs: Any) -> bool:
    return isinstance(outputs, (tuple, list))


def _predicts_classes(trained: Trained) -> bool:
    """Whether the run learned from batches whose targets are class indices."""
    return trained.folder is not None and bool(
        Run(trained.folder).facts.get("dataset", {}).get("class_targets")
    )


def _form(trained: Trained) -> str | None:
    """What the outputs of the model are in place of logits; None: logits."""
    if trained.folder is None:
        return None
    return Config.read(trained.folder / "config.yaml").objective.outputs


def _num_inputs(trained: Trained) -> int | None:
    """How many of the first entries of a batch were inputs in training; None: all but the last."""
    if trained.folder is None:
        return None
    return Config.read(trained.folder / "config.yaml").data.num_inputs


def _check_phase(model: nn.Module, objective: Objective, batch: Any) -> None:
    try:
        objective.phases[0].loss(model, batch)
        if objective.metrics:
            objective.try_metrics(objective.forward(model, batch), batch)
    except PellucidError:
        raise
    except Exception as error:
        raise explain(error, model, batch, objective.forward) from error


def _no_loss(targets: Any) -> Any:
    """A loss that is to be replaced by the user's own."""

    def loss(outputs: Any, targets: Any) -> Tensor:
        raise ConfigError(
            f"What to learn does not follow from targets {describe(targets)}.",
            remedy="class numbers instead of names, or (X, y) as arrays, which takes names"
            if any(isinstance(leaf, str) for leaf in leaves(targets))
            else "loss=a function (outputs, targets) -> scalar, or objective=Objective(...)",
        )

    return loss


TASK = Custom()
