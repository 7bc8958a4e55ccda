"""Build the components of a training run, each from its section of the config."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from rich.console import Console
from torch import nn

from pellucid import models
from pellucid.config import Config
from pellucid.data.preprocess import Preprocess
from pellucid.errors import ConfigError, ModelError, UnknownNameError
from pellucid.extensions import origin, recall
from pellucid.pretrained import input_type, pretrained, rebuild
from pellucid.record import Run, measures
from pellucid.record.spec import UNKNOWN, TaskSpec, find_spec
from pellucid.runner.optimization import make_optimizers, make_schedule, schedule_options
from pellucid.runner.supplied import NOTHING, Supplied, argument_names
from pellucid.tasks import get_task
from pellucid.train import schedules
from pellucid.train.callbacks import (
    Callback,
    EarlyStopping,
    Memory,
    Monitor,
    NonFiniteGuard,
    Recorder,
    ReduceOnPlateau,
    SignalHandler,
)
from pellucid.train.catalogue import check_options, types_of
from pellucid.train.checkpoint import Checkpointer
from pellucid.train.metrics import directions
from pellucid.train.objective import Objective
from pellucid.train.progress import PlainUpdates, ProgressBar
from pellucid.train.trackers import tracker
from pellucid.train.trainer import Trainer

PRETRAINED = "pretrained"
"""The `model.name` of a pretrained model; `model.weights` names its weights."""
OWN_MODEL = "custom"
"""The `model.name` of a module that the user passed."""
DERIVED = ("input_shape", "num_outputs", "vocab_size", "weights")
"""Arguments of a builder that are derived from the data or from another key of the config."""


def make_model(
    config: Config, preprocess: Preprocess, architecture: Mapping[str, Any] | None = None
) -> nn.Module:
    """Build the model that a config names, for the shape of its data.

    Args:
        config: the whole config.
        preprocess: the preprocessing fitted on the data.
        architecture: the recorded architecture of a fine-tuned pretrained model, whose original files are no
            longer needed; None otherwise.

    Raises:
        UnknownNameError: there is no model or option of that name.
        ConfigError: an option has a wrong value, or the model needs other inputs.
    """
    builder, options = builder_of(config), model_options(config)
    if preprocess.vocab_size is not None and "vocab_size" in inspect.signature(builder).parameters:
        options["vocab_size"] = preprocess.vocab_size
    outputs = get_task(config.objective.name).num_outputs(preprocess)
    if architecture is not None:
        return rebuild(architecture, outputs, options.get("dropout", 0.1))
    if config.model.name == PRETRAINED:
        options["weights"] = _weights(config)
    try:
        return builder(preprocess.input_shape, outputs, **options)
    except (TypeError, ValueError, KeyError) as error:
        raise ConfigError(f"model: {error}") from None


def model_options(config: Config) -> dict[str, Any]:
    """Return the size and the options of a config's model, as arguments of its builder.

    Raises:
        UnknownNameError: there is no such model, or it has no such option.
        ConfigError: the value of an option is not of its type.
    """
    builder, section = builder_of(config), config.model
    options = {**({"size": section.size} if section.size else {}), **section.options}
    names = argument_names(builder)
    if names is None:
        return options
    types = {name: hint for name, hint in types_of(builder, names).items() if name not in DERIVED}
    return check_options(f"the model {section.name!r}", options, types, "model.options")


def builder_of(config: Config) -> Callable[..., nn.Module]:
    """Return the builder of a config's model: built in, registered, or `package.module:attribute`.

    Raises:
        UnknownNameError: there is no model of that name.
        ConfigError: the attribute cannot be imported.
    """
    name = config.model.name
    if name == PRETRAINED:
        return pretrained
    if ":" not in name and name not in models.BUILDERS:
        raise UnknownNameError("model", name, [*models.BUILDERS, PRETRAINED])
    try:
        return models.find(name)
    except (ValueError, ImportError) as error:
        raise ConfigError(f"model.name: {error}") from None


def model_origin(config: Config) -> dict[str, str]:
    """Return where another process finds the model of a config, by its name; {} if it is ours or named by its
    import path."""
    name = config.model.name
    builder, by = models.BUILDERS.get(name), models.REGISTERED_BY.get(name, "")
    if builder is None or by.partition(".")[0] == "pellucid":
        return {}
    return {name: origin(builder, builder, by)}


def recall_model(run: Run) -> None:
    """Register the model of a run again, if another process registered it.

    Raises:
        ModelError: it is not found; names the module to import.
    """
    for name, where in run.facts.get("registered", {}).get("models", {}).items():
        reason = "" if name in models.BUILDERS else recall(where, partial(models.register, name))
        if reason or name not in models.BUILDERS:
            module = where.partition(":")[0] or "the module that registers it"
            raise ModelError(
                f"Run {run.id} trained the model {name!r}, which is not registered in this process: "
                f"{reason or f'{where} no longer registers it'}.",
                remedy=f"import {module} first, or pass model=; a model named module:attribute needs no "
                "registration",
            )


def reads_tokens(config: Config) -> bool:
    """Return whether the model of a config takes token ids; False for the caller's own module (unknown)."""
    if config.model.name == PRETRAINED:
        return input_type(_weights(config)) == "text"
    own = config.model.name == OWN_MODEL
    return not own and "vocab_size" in inspect.signature(builder_of(config)).parameters


def _weights(config: Config) -> str:
    if config.model.weights is None:
        raise ConfigError(
            "A pretrained model needs model.weights: a folder, a package or a hub id.",
            remedy="--set model.weights=sentence-transformers/all-MiniLM-L6-v2",
        )
    return config.model.weights


def make_trainer(
    config: Config,
    model: nn.Module,
    objective: Objective,
    steps: int,
    per_epoch: int,
    callbacks: list[Callback],
    supplied: Supplied = NOTHING,
) -> Trainer:
    """Build the trainer with its optimizer, schedule and callbacks.

    Args:
        config: the whole config.
        model: the model to train.
        objective: the objective to optimize.
        steps: number of updates in total; 0 if unknown.
        per_epoch: number of updates per epoch; 0 if unknown.
        callbacks: the callbacks, in the order in which they are called.
        supplied: the objects that the caller passed in.
    """
    if config.schedule.name == "plateau":
        rule = schedules.ReduceOnPlateau(**schedule_options(config))
        callbacks = [ReduceOnPlateau("val/loss", rule), *callbacks]
    return Trainer(
        model,
        objective,
        make_optimizers(config, objective, model, supplied),
        config.train,
        schedule=make_schedule(config, steps, per_epoch, supplied),
        callbacks=callbacks,
    )


def make_callbacks(
    config: Config,
    objective: Objective,
    run: Run,
    console: Console,
    per_epoch: int,
    extra: Sequence[Callback] = (),
    *,
    validated: bool = True,
) -> list[Callback]:
    """Return the callbacks of a run; the checkpointer is last, so that it saves the state of all others.

    Args:
        config: the whole config.
        objective: the objective, which has a default metric to monitor.
        run: the run to record in.
        console: where to show progress.
        per_epoch: number of updates per epoch.
        extra: callbacks of the task and the user. They come before the monitor, so that it can monitor the
            metrics they compute.
        validated: whether there is a held-out split; if not, the training loss determines the best epoch.
    """
    spec = spec_of(config, objective)
    metric, mode = monitored(config, objective, spec) if validated else ("train/loss", "min")
    monitor = Monitor(metric, mode)
    callbacks: list[Callback] = [NonFiniteGuard(run), Memory(), *extra, monitor]
    stopping = config.train.early_stopping
    if stopping is not None:
        watched = stopped_by(config)
        same = mode if watched == metric else direction(watched, spec)
        callbacks.append(EarlyStopping(watched, stopping.mode or same, stopping.patience, stopping.min_delta))
    callbacks += [Recorder(run), ProgressBar(console, per_epoch), PlainUpdates(run, console), SignalHandler()]
    callbacks += [tracker(name, run) for name in config.train.trackers]
    return [
        *callbacks,
        Checkpointer(run, monitor, seconds=config.train.checkpoint_seconds, keep=config.train.keep),
    ]


def monitored(config: Config, objective: Objective, spec: TaskSpec = UNKNOWN) -> tuple[str, Any]:
    """Return (metric, mode), which determine the best epoch."""
    given, mode = config.train.monitor, config.train.monitor_mode
    if given in (None, objective.monitor):
        return objective.monitor, mode or objective.mode
    return given, mode or direction(given, spec)


def stopped_by(config: Config) -> str:
    """Return the metric that early stopping watches."""
    stopping = config.train.early_stopping
    return (stopping and stopping.monitor) or config.train.monitor or "val/loss"


def direction(metric: str, spec: TaskSpec) -> Any:
    """Return "min" if lower is better, else "max": as the spec states, or by the name of the metric."""
    return "min" if measures.lower_is_better(metric, spec) else "max"


def spec_of(config: Config, objective: Objective) -> TaskSpec:
    """Return the spec of a config's task, with the directions that metrics of the user's own state."""
    spec = find_spec(config.objective.name)
    own = {
        name: replace(measures.measure(name, spec), lower=not higher)
        for name, higher in directions(objective.metrics).items()
        if name not in spec.measures
    }
    return replace(spec, measures={**spec.measures, **own}) if own else spec
