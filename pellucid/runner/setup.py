"""Everything a training run needs, built and checked while nothing has been written."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn

from pellucid.config import Config
from pellucid.data.dataset import Dataset
from pellucid.data.preprocess import Preprocess
from pellucid.errors import ConfigError
from pellucid.runner.components import PRETRAINED, make_model
from pellucid.runner.data import prepare
from pellucid.runner.load import starting_run
from pellucid.runner.supplied import NOTHING, Supplied, customized, measurable, without_own_loss
from pellucid.tasks import get_task
from pellucid.tasks.custom.loader_data import LoaderData
from pellucid.tasks.shared.model_interfaces import CountsData
from pellucid.tasks.task import Task
from pellucid.train import checkpoint
from pellucid.train.objective import Objective
from pellucid.train.seed import seed_everything


@dataclass(frozen=True)
class Ready:
    """The parts of a training run that fit together.

    Attributes:
        task: what is learned.
        prepared: the data, as `PreparedData`: encoded rows, or batches of the caller's own.
        objective: what is optimized.
        model: with the weights it begins with.
        notes: where those are from, if from elsewhere.
    """

    task: Task
    prepared: Any
    objective: Objective
    model: nn.Module
    notes: tuple[str, ...]


def make_ready(
    config: Config,
    runs: str | Path,
    *,
    dataset: Dataset | None = None,
    fitted: Preprocess | None = None,
    model: nn.Module | None = None,
    begins: bool = True,
    supplied: Supplied = NOTHING,
) -> Ready:
    """Load the data, build objective and model, and refuse what does not fit together.

    Args:
        config: everything there is to know.
        runs: the folder of runs, for weights that are those of one.
        dataset: used instead of `data.source`.
        fitted: how rows were encoded by a run that goes on.
        model: used instead of `model.name`.
        supplied: what the caller handed over.
        begins: whether the model begins with the weights the config names; a run that goes on has its own.

    Raises:
        PellucidError: the data is unavailable, or something does not fit.
    """
    task = get_task(config.objective.name)
    if supplied.data is None:
        prepared: Any = prepare(config, dataset, fitted, runs=runs, weights=supplied.sample_weight)
    else:
        prepared = LoaderData(config, supplied.data, supplied.held_out())
    objective = supplied.objective or task.objective(without_own_loss(config), prepared)
    objective = customized(objective, config, supplied)
    if getattr(prepared, "weights", None) is not None and not objective.takes_weights:
        raise ConfigError(
            f"The objective {objective.name} takes no weights of rows.", remedy="sample_weight=None"
        )
    seed_everything(config.train.seed)
    if model is None:
        if prepared.preprocess is None:
            raise ConfigError(
                f"The shape that the model {config.model.name!r} must have does not follow from a loader.",
                remedy="a module, e.g. fit(pellucid.models.CNN(num_classes=10), loader)",
            )
        model = make_model(config, prepared.preprocess)
    objective = measurable(objective, model, prepared, supplied)
    task.check(model, objective, prepared)
    notes = _begin_from(model, config, runs) if begins else ()
    if begins and isinstance(model, CountsData):
        try:
            model.count_batches(prepared.training_batches())
        except ValueError as error:
            raise ConfigError(f"model: {error}") from None
    return Ready(task, prepared, objective, model, notes)


def _begin_from(model: nn.Module, config: Config, runs: str | Path) -> tuple[str, ...]:
    """Load the weights a config names, of a finished run or of a file; returns what to note.

    Raises:
        UnknownNameError, RunError: there is no such run or file.
        ModelError: they are of another model; names the tensors that differ.
    """
    weights = config.model.weights
    if weights is None or config.model.name == PRETRAINED:
        return ()
    run = starting_run(config, runs)
    path = checkpoint.find_weights(run, "best") if run else Path(weights)
    return (checkpoint.begin_from(model, path),)
