"""The parts of a training, each built from its section of the config."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from rich.console import Console
from torch import nn

from pellucid.build.prepared import Prepared
from pellucid.config import Config
from pellucid.data.batches import Batches
from pellucid.data.preprocess import Preprocess
from pellucid.errors import ConfigError, ModelError, PellucidError, UnknownNameError
from pellucid.models import BUILDERS as MODELS
from pellucid.record import Run
from pellucid.train import objectives, optimizers, schedules
from pellucid.train.callbacks import (
    Callback,
    EarlyStopping,
    Interrupt,
    Memory,
    Monitor,
    NonFiniteGuard,
    Recorder,
    ReduceOnPlateau,
)
from pellucid.train.catalogue import lookup
from pellucid.train.checkpoint import Checkpointer
from pellucid.train.losses import LOSSES
from pellucid.train.objectives import Objective
from pellucid.train.progress import ProgressBar
from pellucid.train.trackers import tracker
from pellucid.train.trainer import Trainer

OWN_MODEL = "custom"
"""What `model.name` says of a module that was handed over."""


def make_model(config: Config, preprocess: Preprocess) -> nn.Module:
    """Build the model a config names, for the shape of its data.

    Raises:
        UnknownNameError: no such model.
        ConfigError: an option the model does not have.
    """
    if config.model.name not in MODELS:
        raise UnknownNameError("model", config.model.name, MODELS)
    builder = MODELS[config.model.name]
    options = {**({"size": config.model.size} if config.model.size else {}), **config.model.options}
    known = [p for p in inspect.signature(builder).parameters if p not in ("input_shape", "num_outputs")]
    for option in options:
        if option not in known:
            raise UnknownNameError(f"option of the model {config.model.name!r}", option, known)
    try:
        return builder(preprocess.input_shape, preprocess.num_outputs, **options)
    except (TypeError, ValueError, KeyError) as error:
        raise ConfigError(f"model: {error}") from None


def make_objective(config: Config, prepared: Prepared) -> Objective:
    """Build the objective, and refuse one that does not fit the task."""
    name, task = config.objective.name, prepared.dataset.task
    if task is not None and name != task:
        raise ConfigError(
            f"objective.name is {name!r}, but the target {prepared.dataset.target!r} makes this {task}.",
            remedy=f"--set objective.name={task}, or another --set data.target=COLUMN",
        )
    _check_loss(config)
    options: dict[str, Any] = config.objective.model_dump(include={"loss", "l1", "l2"})
    if name == "classification":
        options["label_smoothing"] = config.objective.label_smoothing
        if config.objective.class_weights:
            options["class_weights"] = _class_weights(prepared)
    return objectives.BUILDERS[name](**options)


def _check_loss(config: Config) -> None:
    """Refuse a loss that is made for another task, such as a squared error between logits and class ids."""
    name, task = config.objective.loss, config.objective.name
    if name is None:
        return
    loss = lookup("loss", name, LOSSES)
    if task not in loss.tasks:
        fitting = ", ".join(other.name for other in LOSSES.values() if task in other.tasks)
        raise ConfigError(
            f"objective.loss {name!r} is for {' or '.join(loss.tasks)}, and this is {task}.",
            remedy=f"one of: {fitting}",
        )


def _class_weights(prepared: Prepared) -> torch.Tensor:
    counts = torch.zeros(prepared.preprocess.num_outputs)
    for _, targets in Batches(prepared.rows["train"], 4096):
        counts += torch.bincount(targets, minlength=len(counts))
    return counts.sum() / (len(counts) * counts.clamp(min=1))


def optimizer_of(config: Config) -> Callable[..., torch.optim.Optimizer]:
    """Return what makes the optimizer of a config, given parameters and, if it should be another, an lr."""
    section = config.optimizer
    options = {"lr": section.lr, "weight_decay": section.weight_decay, **section.options}
    return partial(optimizers.optimizer, section.name, **options)


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
        model, objective, optimizer_of(config), config.train, schedule=schedule, callbacks=callbacks
    )


def make_callbacks(
    config: Config, objective: Objective, run: Run, console: Console, per_epoch: int
) -> list[Callback]:
    """The callbacks of a run; the checkpointer is last, so that it saves what the others have decided."""
    metric, mode = monitored(config, objective)
    monitor = Monitor(metric, mode)
    callbacks: list[Callback] = [NonFiniteGuard(run), Memory(), monitor]
    stopping = config.train.early_stopping
    if stopping is not None:
        callbacks.append(
            EarlyStopping(
                stopping.monitor, direction(stopping.monitor), stopping.patience, stopping.min_delta
            )
        )
    callbacks += [Recorder(run), ProgressBar(console, per_epoch), Interrupt()]
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
    return "min" if metric.rsplit("/", 1)[-1] in ("loss", "loss_clean", "mae", "rmse") else "max"


def check_fit(model: nn.Module, prepared: Prepared) -> None:
    """Run two rows through the model: one of the wrong shape is refused before anything is written."""
    inputs, _ = next(prepared.rows["train"].batches([torch.arange(min(2, len(prepared.rows["train"])))]))
    training = model.training
    device = next((parameter.device for parameter in model.parameters()), torch.device("cpu"))
    try:
        with torch.no_grad():
            outputs = model.eval()(inputs.to(device))
    except PellucidError:
        raise
    except Exception as error:
        raise ModelError(f"The model cannot take inputs of shape {tuple(inputs.shape)}: {error}") from error
    finally:
        model.train(training)
    expected = (len(inputs), prepared.preprocess.num_outputs)
    if tuple(outputs.shape) != expected and tuple(outputs.shape) != expected[: outputs.ndim]:
        raise ModelError(
            f"The model's outputs have shape {tuple(outputs.shape)}, expected {expected}: "
            f"one logit for each of the {expected[1]} outputs of {prepared.dataset.name}.",
            remedy=f"a last layer of {expected[1]}",
        )
