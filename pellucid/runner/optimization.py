"""Optimizer, schedule and execution mode, from the config or from what the caller handed over."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any

from torch import nn
from torch.optim import Optimizer

from pellucid.config import Config, is_reference
from pellucid.errors import ConfigError, UnknownNameError
from pellucid.runner.supplied import NOTHING, Supplied, import_object, make_optimizer_of, make_schedule_of
from pellucid.tasks.prepared import PreparedData
from pellucid.train import optimizers, schedules
from pellucid.train.autotune import Tuned, autotune
from pellucid.train.device import choose_device
from pellucid.train.objective import Objective
from pellucid.train.schedules import Factor


def optimizer_of(
    config: Config,
    phase: str | None = None,
    model: nn.Module | None = None,
    supplied: Supplied = NOTHING,
) -> Callable[..., Optimizer]:
    """Return what makes the optimizer of a config, given parameters and, if it should be another, an lr.

    Args:
        config: all of it.
        phase: of the objective, whose own settings come before the common ones.
        model: whose layers these are, for rates that fall with depth.
        supplied: what the caller handed over.
    """
    section = config.optimizer
    if supplied.optimizer is not None:
        return make_optimizer_of(supplied.optimizer, config)
    if is_reference(section.name):
        return make_optimizer_of(import_object("optimizer.name", section.name), config)
    if phase in section.phases:
        section = section.model_copy(update=section.phases[phase].model_dump(exclude_none=True))
    options = {"lr": section.lr, "weight_decay": section.weight_decay, **section.options}
    return partial(optimizers.optimizer, section.name, model=model, **options)


def make_optimizers(
    config: Config, objective: Objective, model: nn.Module, supplied: Supplied = NOTHING
) -> dict[str, Callable[..., Optimizer]]:
    """Return what makes the optimizer of each phase, by its name.

    Raises:
        UnknownNameError: the config has settings for a phase that the objective does not have.
    """
    phases = [phase.name for phase in objective.phases]
    for name in config.optimizer.phases:
        if name not in phases:
            raise UnknownNameError(f"phase of the objective {config.objective.name!r}", name, phases)
    return {name: optimizer_of(config, name, model, supplied) for name in phases}


def make_schedule(config: Config, steps: int, per_epoch: int, supplied: Supplied = NOTHING) -> Factor:
    """Return the factor of the learning rate by step.

    Args:
        config: all of it.
        steps: updates in the whole training; 0 where that is not known.
        per_epoch: updates in an epoch; 0 where that is not known.
        supplied: what the caller handed over.

    Raises:
        ConfigError: the schedule needs to know how long training takes.
    """
    section = config.schedule
    if supplied.schedule is not None:
        return make_schedule_of(supplied.schedule, config, steps, per_epoch, _first_lr(config, supplied))
    if is_reference(section.name):
        given = import_object("schedule.name", section.name)
        return make_schedule_of(given, config, steps, per_epoch, _first_lr(config, supplied))
    if not steps and section.name in ("cosine", "one_cycle"):
        raise ConfigError(
            f"The schedule {section.name} needs the number of updates, and these batches do not say how many "
            "they are.",
            remedy="--set train.max_steps=1000, or the schedule constant",
        )
    return schedules.schedule(
        section.name,
        steps,
        warmup_steps=section.warmup_steps,
        steps_per_epoch=max(per_epoch, 1),
        **({} if section.name == "plateau" else section.options),
    )


def _first_lr(config: Config, supplied: Supplied) -> float:
    given = supplied.optimizer
    return given.param_groups[0]["lr"] if isinstance(given, Optimizer) else config.optimizer.lr


def updates(config: Config, batches: Any) -> tuple[int, int]:
    """Return the updates of an epoch, and of the whole training; 0 where that is not known."""
    try:
        per_epoch = math.ceil(len(batches) / config.train.gradient_accumulation_steps)
    except TypeError:  # batches of unknown number
        return 0, config.train.max_steps or 0
    return per_epoch, int(min(per_epoch * config.train.epochs, config.train.max_steps or math.inf))


def choose_execution(
    config: Config,
    prepared: PreparedData,
    model: nn.Module,
    objective: Objective,
    supplied: Supplied = NOTHING,
) -> Tuned:
    """Return how steps are computed: as the config says, or as measured on this model and its data."""
    batches = prepared.training_batches()
    instance = isinstance(supplied.optimizer, Optimizer)
    return autotune(
        config.train.execution,
        model,
        next(iter(batches)),
        objective.phases[0].loss,
        choose_device(config.train.device)[0],
        steps=updates(config, batches)[1] if prepared.same_shapes else 0,
        make_optimizer=None if instance else optimizer_of(config, supplied=supplied),
    )
