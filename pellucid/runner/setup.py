"""Build and check everything that a training run needs, before anything is written."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from pellucid.batch import map_tensors
from pellucid.config import Config
from pellucid.data.continuation import known_outputs
from pellucid.data.dataset import Dataset
from pellucid.data.preprocess import Preprocess
from pellucid.data.text.vocabulary import PREPROCESS
from pellucid.errors import ConfigError, ModelError
from pellucid.runner.components import stopped_by
from pellucid.runner.data import prepare
from pellucid.runner.load import load_preprocess, starting_run
from pellucid.runner.model_builder import PRETRAINED, make_model
from pellucid.runner.model_size import check_batch_size, check_model_size, size_notes
from pellucid.runner.optimization import make_optimizers, make_schedule, updates
from pellucid.runner.own_activation import activation_of, warning
from pellucid.runner.own_outputs import check_gradient, with_output_form
from pellucid.runner.own_precision import as_precise_as_batches
from pellucid.runner.supplied import (
    NOTHING,
    Supplied,
    customized,
    make_own_callbacks,
    measurable,
    without_own_loss,
)
from pellucid.tasks import get_task
from pellucid.tasks.custom.loader_data import LoaderData
from pellucid.tasks.prepared import Prepared
from pellucid.tasks.shared.model_interfaces import CountsData
from pellucid.tasks.task import Task
from pellucid.train import checkpoint
from pellucid.train.autotune import check_mode
from pellucid.train.callback_states import check_keys
from pellucid.train.device import choose_device
from pellucid.train.execution import ExecutionMode, execution_mode
from pellucid.train.objective import Objective
from pellucid.train.seed import seed_everything


@dataclass(frozen=True)
class Setup:
    """The parts of a training run, which fit together.

    Attributes:
        config: the whole config, with what was found out about the model.
        task: the task.
        prepared: the data, as `PreparedData`: encoded rows, or the caller's own batches.
        objective: the objective to optimize.
        model: the model with its initial weights.
        notes: where these weights come from, if they were loaded; what is wrong with the model.
        activation: softmax or sigmoid, where the user's module applies it before the loss does again.
    """

    config: Config
    task: Task
    prepared: Any
    objective: Objective
    model: nn.Module
    notes: tuple[str, ...]
    activation: str = ""


def set_up(
    config: Config,
    runs: str | Path,
    *,
    dataset: Dataset | None = None,
    fitted: Preprocess | None = None,
    model: nn.Module | None = None,
    fresh: bool = True,
    architecture: Mapping[str, Any] | None = None,
    supplied: Supplied = NOTHING,
) -> Setup:
    """Load the data, build the objective and the model, and check that they fit together.

    Args:
        config: the whole config.
        runs: the folder of runs, to find the run that the model starts from.
        dataset: the dataset to use instead of `data.source`.
        fitted: the preprocessing of a run that is resumed; None to fit it on the data.
        model: the module to use instead of `model.name`.
        fresh: whether to load the initial weights that the config names; a resumed run has its own.
        architecture: the recorded architecture of a pretrained model that is resumed, whose files are not
            needed.
        supplied: the objects that the caller passed in.

    Raises:
        PellucidError: the data is unavailable, or the parts do not fit together.
    """
    task = get_task(config.objective.name)
    if supplied.data is None:
        prepared: Any = prepare(
            config, dataset, fitted, runs=runs, weights=supplied.sample_weight, model=model
        )
    else:
        prepared = LoaderData(config, supplied.data, supplied.held_out())
    if supplied.data is not None and (supplied.sample_weight is not None or config.objective.class_weights):
        raise ConfigError(
            "sample_weight= and class_weight= go with a dataset or (X, y), not with batches of your own.",
            remedy='a batch with the entry "weights", one for each row, or weights inside your loss',
        )
    seed_everything(config.train.seed)
    own = model is not None
    converted = ""
    if model is not None:
        converted = as_precise_as_batches(model, prepared)
        config = with_output_form(config, model, prepared, supplied)
    objective = supplied.objective or task.objective(without_own_loss(config), prepared)
    objective = customized(objective, config, supplied)
    if getattr(prepared, "weights", None) is not None and not objective.takes_weights:
        raise ConfigError(
            f"The objective {objective.name} does not support sample weights.", remedy="sample_weight=None"
        )
    if model is None:
        if prepared.preprocess is None:
            raise ConfigError(
                f"The model {config.model.name!r} cannot be built by name: a loader does not determine its "
                "input and output shape.",
                remedy="pass a module, e.g. fit(pellucid.models.CNN(num_classes=10), loader)",
            )
        check_model_size(config, prepared.preprocess)
        check_batch_size(config, prepared.preprocess, prepared.size_of("train").get("rows"))
        model = make_model(config, prepared.preprocess, architecture)
    if not any(parameter.requires_grad for parameter in model.parameters()):
        raise ModelError(
            f"The model {type(model).__name__} has no parameters that can be learned.",
            remedy="a layer with weights, or requires_grad_(True)",
        )
    if any(parameter.is_meta for parameter in model.parameters()):
        raise ModelError(
            f"The parameters of the model {type(model).__name__} are on the device meta, without values.",
            remedy="build it without torch.device('meta'), or model.to_empty(device='cpu') and initialize it",
        )
    if config.objective.threshold is not None:
        task.check_threshold(config.objective.threshold, prepared)
    objective = measurable(objective, model, prepared, config, supplied)
    task.check(model, objective, prepared)
    if own and supplied.objective is None:
        check_gradient(model, prepared)
    _check_metrics(objective, model, prepared)
    _check_settings(config, objective, model, prepared, supplied)
    notes = _load_initial_weights(model, config, runs, prepared.preprocess) if fresh else ()
    if fresh and isinstance(model, CountsData):
        try:
            model.count_batches(prepared.training_batches())
        except ValueError as error:
            raise ConfigError(f"model: {error}") from None
    activation = (
        activation_of(model, objective, prepared, supplied, config.objective.outputs) if own and fresh else ""
    )
    notes = (*notes, *filter(None, (converted, activation and warning(activation))))
    return Setup(
        config, task, prepared, objective, model, (*notes, *size_notes(model, config, prepared)), activation
    )


def _check_metrics(objective: Objective, model: nn.Module, prepared: Any) -> None:
    """Try the metrics on the first batch they will see; batches of the user are tried by their task.

    Raises:
        ConfigError: one of them fails.
    """
    if not objective.metrics or not isinstance(prepared, Prepared) or not prepared.has(prepared.validation):
        return
    training, state = model.training, torch.get_rng_state()
    device = next(model.parameters()).device
    batch = map_tensors(lambda tensor: tensor.to(device), next(iter(prepared.batches(prepared.validation))))
    try:
        with torch.no_grad():
            objective.try_metrics(objective.forward(model.eval(), batch), batch)
    finally:
        model.train(training)
        torch.set_rng_state(state)


def _check_settings(
    config: Config, objective: Objective, model: nn.Module, prepared: Any, supplied: Supplied
) -> None:
    """Refuse an optimizer, schedule, execution mode or callback that cannot be used, before a run exists."""
    if execution_mode(config.train.execution) != ExecutionMode():
        batch, loss = next(iter(prepared.training_batches())), objective.phases[0].loss
        check_mode(config.train.execution, model, batch, loss, choose_device(config.train.device)[0])
    _check_watched(config, prepared)
    makers = make_optimizers(config, objective, model, supplied)
    if supplied.optimizer is None:
        for phase in objective.phases:
            makers[phase.name](list(phase.parameters(model)))
    per_epoch, steps = updates(config, prepared.training_batches())
    make_schedule(config, steps, per_epoch, supplied)
    check_keys(make_own_callbacks(config, supplied))


def _check_watched(config: Config, prepared: Any) -> None:
    """Refuse early stopping and a schedule that watch the validation split, where there is none."""
    if prepared.validation is not None:
        return
    stops = config.train.early_stopping is not None and stopped_by(config).startswith("val/")
    plateau = config.schedule.name == "plateau"
    if stops or plateau:
        what, metric = ("train.early_stopping", stopped_by(config)) if stops else ("plateau", "val/loss")
        raise ConfigError(
            f"{what} watches {metric}, and there are no validation data.",
            remedy="validation=..., or data.validation for a dataset"
            + ("; or --set train.early_stopping.monitor=train/loss" if stops else ""),
        )


def _load_initial_weights(
    model: nn.Module, config: Config, runs: str | Path, preprocess: Preprocess | None
) -> tuple[str, ...]:
    """Load the weights that a config names, from a run or a file; return notes about them.

    Raises:
        UnknownNameError, RunError: there is no such run or file.
        ModelError: the weights belong to another model; names the tensors that differ.
    """
    weights = config.model.weights
    if config.model.name == PRETRAINED:
        return getattr(model, "notes", ())
    if weights is None:
        return ()
    run = starting_run(config, runs)
    path = checkpoint.find_weights(run, "best") if run else Path(weights)
    known = None
    if run is not None and preprocess is not None and (run.path / PREPROCESS).is_file():
        known = known_outputs(load_preprocess(run), preprocess)
    return (checkpoint.begin_from(model, path, known),)
