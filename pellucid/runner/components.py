"""The parts of a training, each built from its section of the config."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import torch
from rich.console import Console
from torch import nn

from pellucid.config import Config
from pellucid.data.batches import Batches
from pellucid.data.preprocess import Preprocess
from pellucid.data.text.token_rows import RaggedRows
from pellucid.errors import ConfigError, UnknownNameError
from pellucid.models import BUILDERS
from pellucid.pretrained import input_type, pretrained, rebuild
from pellucid.record import Run, measures
from pellucid.tasks import get_task
from pellucid.tasks.prepared import Prepared
from pellucid.train import optimizers, schedules
from pellucid.train.autotune import Tuned, autotune
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
from pellucid.train.checkpoint import Checkpointer
from pellucid.train.device import choose_device
from pellucid.train.objective import Objective
from pellucid.train.progress import ProgressBar
from pellucid.train.trackers import tracker
from pellucid.train.trainer import Trainer

PRETRAINED = "pretrained"
"""What `model.name` says of a model that others have trained; `model.weights` names it."""
OWN_MODEL = "custom"
"""What `model.name` says of a module that was handed over."""
MODELS = {**BUILDERS, PRETRAINED: pretrained}
SET_HERE = ("input_shape", "num_outputs", "vocab_size", "weights")
"""What a builder is told by the data, or by another key of the config."""


def make_model(
    config: Config, preprocess: Preprocess, architecture: Mapping[str, Any] | None = None
) -> nn.Module:
    """Build the model a config names, for the shape of its data.

    Args:
        config: all of it.
        preprocess: fitted on the data.
        architecture: of a pretrained model that has been trained further, whose files are not needed again.

    Raises:
        UnknownNameError: no such model.
        ConfigError: an option the model does not have, or a model that reads something else.
    """
    builder = builder_of(config)
    parameters = inspect.signature(builder).parameters
    options = {**({"size": config.model.size} if config.model.size else {}), **config.model.options}
    known = [name for name in parameters if name not in SET_HERE]
    for option in options:
        if option not in known:
            raise UnknownNameError(f"option of the model {config.model.name!r}", option, known)
    if preprocess.vocab_size is not None and "vocab_size" in parameters:
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


def builder_of(config: Config) -> Callable[..., nn.Module]:
    """Return the builder of the model a config names."""
    if config.model.name not in MODELS:
        raise UnknownNameError("model", config.model.name, MODELS)
    return MODELS[config.model.name]


def reads_tokens(config: Config) -> bool:
    """Whether the model of a config takes token ids; of a module of the caller's own it is not known."""
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


def optimizer_of(
    config: Config, phase: str | None = None, model: nn.Module | None = None
) -> Callable[..., torch.optim.Optimizer]:
    """Return what makes the optimizer of a config, given parameters and, if it should be another, an lr.

    Args:
        config: all of it.
        phase: of the objective, whose own settings come before the common ones.
        model: whose layers these are, for rates that fall with depth.
    """
    section = config.optimizer
    if phase in section.phases:
        section = section.model_copy(update=section.phases[phase].model_dump(exclude_none=True))
    options = {"lr": section.lr, "weight_decay": section.weight_decay, **section.options}
    return partial(optimizers.optimizer, section.name, model=model, **options)


def _optimizers(
    config: Config, objective: Objective, model: nn.Module
) -> dict[str, Callable[..., torch.optim.Optimizer]]:
    phases = [phase.name for phase in objective.phases]
    for name in config.optimizer.phases:
        if name not in phases:
            raise UnknownNameError(f"phase of the objective {config.objective.name!r}", name, phases)
    return {name: optimizer_of(config, name, model) for name in phases}


def updates(config: Config, batches: Batches) -> tuple[int, int]:
    """Return the updates of an epoch, and of the whole training."""
    per_epoch = math.ceil(len(batches) / config.train.gradient_accumulation_steps)
    return per_epoch, int(min(per_epoch * config.train.epochs, config.train.max_steps or math.inf))


def choose_execution(config: Config, prepared: Prepared, model: nn.Module, objective: Objective) -> Tuned:
    """Return how steps are computed: as the config says, or as measured on this model and its data."""
    batches = prepared.training_batches()
    alike = not isinstance(prepared.rows["train"], RaggedRows)
    return autotune(
        config.train.execution,
        model,
        next(iter(batches)),
        objective.phases[0].loss,
        choose_device(config.train.device)[0],
        steps=updates(config, batches)[1] if alike else 0,
        make_optimizer=optimizer_of(config),
    )


def make_trainer(
    config: Config,
    model: nn.Module,
    objective: Objective,
    steps: int,
    per_epoch: int,
    callbacks: list[Callback],
) -> Trainer:
    """Build the trainer: optimizer, schedule and callbacks, for `steps` updates, `per_epoch` in an epoch."""
    section = config.schedule
    plateau = section.name == "plateau"
    if plateau:
        callbacks = [ReduceOnPlateau("val/loss", schedules.ReduceOnPlateau(**section.options)), *callbacks]
    schedule = schedules.schedule(
        section.name,
        steps,
        warmup_steps=section.warmup_steps,
        steps_per_epoch=per_epoch,
        **({} if plateau else section.options),
    )
    return Trainer(
        model,
        objective,
        _optimizers(config, objective, model),
        config.train,
        schedule=schedule,
        callbacks=callbacks,
    )


def make_callbacks(
    config: Config,
    objective: Objective,
    run: Run,
    console: Console,
    per_epoch: int,
    shown: Sequence[Callback] = (),
) -> list[Callback]:
    """The callbacks of a run; the checkpointer is last, so that it saves what the others have decided.

    Those of the task, `shown`, come before the monitor: what they measure can be monitored.
    """
    metric, mode = monitored(config, objective)
    monitor = Monitor(metric, mode)
    callbacks: list[Callback] = [NonFiniteGuard(run), Memory(), *shown, monitor]
    stopping = config.train.early_stopping
    if stopping is not None:
        callbacks.append(
            EarlyStopping(
                stopping.monitor, direction(stopping.monitor), stopping.patience, stopping.min_delta
            )
        )
    callbacks += [Recorder(run), ProgressBar(console, per_epoch), SignalHandler()]
    callbacks += [tracker(name, run) for name in config.train.trackers]
    return [
        *callbacks,
        Checkpointer(run, monitor, seconds=config.train.checkpoint_seconds, keep=config.train.keep),
    ]


def monitored(config: Config, objective: Objective) -> tuple[str, Any]:
    """Return (metric, mode) of what is called best."""
    if config.train.monitor is None:
        return objective.monitor, objective.mode
    return config.train.monitor, direction(config.train.monitor)


def direction(metric: str) -> Any:
    """Return "min" for losses and errors, "max" for scores."""
    return "min" if measures.lower_is_better(metric) else "max"
