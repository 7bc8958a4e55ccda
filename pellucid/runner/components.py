"""Build the components of a training run, each from its section of the config."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from rich.console import Console
from torch import nn

from pellucid.config import Config
from pellucid.record import Run, measures
from pellucid.record.spec import UNKNOWN, TaskSpec, find_spec
from pellucid.runner.optimization import make_optimizers, make_schedule, schedule_options
from pellucid.runner.supplied import NOTHING, Supplied
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
from pellucid.train.checkpoint import Checkpointer
from pellucid.train.finding_stream import FindingStream
from pellucid.train.metrics import directions
from pellucid.train.objective import Objective
from pellucid.train.progress import PlainUpdates, ProgressBar
from pellucid.train.trackers import tracker
from pellucid.train.trainer import Trainer


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
    stream: FindingStream | None = None,
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
        stream: what reports findings during training.
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
    callbacks += [Recorder(run), ProgressBar(console, per_epoch), *([stream] if stream else [])]
    callbacks += [PlainUpdates(run, console), SignalHandler()]
    callbacks += [tracker(name, run) for name in config.train.trackers]
    return [
        *callbacks,
        Checkpointer(
            run,
            monitor,
            seconds=config.train.checkpoint_seconds,
            keep=config.train.keep,
            snapshots=config.train.snapshots,
        ),
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
    if config.objective.class_weights:
        spec = replace(spec, headline=("balanced_accuracy", *spec.headline))
    own = {
        name: replace(measures.measure(name, spec), lower=not higher)
        for name, higher in directions(objective.metrics).items()
        if name not in spec.measures
    }
    return replace(spec, measures={**spec.measures, **own}) if own else spec
