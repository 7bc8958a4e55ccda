"""Make the optimizer, schedule and execution mode, from the config or from the caller's objects."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from torch import nn
from torch.optim import Optimizer

from pellucid.config import Config
from pellucid.config_text import is_reference
from pellucid.errors import ConfigError, UnknownNameError, UsageError
from pellucid.runner.supplied import NOTHING, Supplied, import_object, make_optimizer_of, make_schedule_of
from pellucid.tasks.prepared import PreparedData
from pellucid.train import optimizers, schedules
from pellucid.train.autotune import Tuned, autotune
from pellucid.train.catalogue import check_options, find_entry
from pellucid.train.device import choose_device
from pellucid.train.objective import Objective
from pellucid.train.schedules import Factor

STREAMED = 1000
"""Updates that the schedule is made for, and then stretched, where batches have no length."""


def optimizer_of(
    config: Config,
    phase: str | None = None,
    model: nn.Module | None = None,
    supplied: Supplied = NOTHING,
) -> Callable[..., Optimizer]:
    """Return a function (parameters, lr=...) -> optimizer for a config; lr is optional.

    Args:
        config: the whole config.
        phase: a phase of the objective, whose own settings override the common ones.
        model: the model of the parameters, for learning rates by layer.
        supplied: the objects that the caller passed in.

    Raises:
        UnknownNameError: there is no such optimizer, or it has no such option.
        ConfigError: the value of an option is not of its type.
    """
    section = config.optimizer
    if phase in section.phases:
        section = section.model_copy(update=section.phases[phase].model_dump(exclude_none=True))
    if (passed := supplied.optimizer_for(phase)) is not None:
        return make_optimizer_of(passed, section)
    if is_reference(section.name):
        return make_optimizer_of(import_object("optimizer.name", section.name), section)
    types = find_entry("optimizer", section.name, optimizers.OPTIMIZERS).types
    options = check_options(f"the optimizer {section.name}", section.options, types, "optimizer.options")
    shared = {"lr": section.lr, "weight_decay": section.weight_decay}
    return partial(optimizers.optimizer, section.name, model=model, **shared, **options)


def make_optimizers(
    config: Config, objective: Objective, model: nn.Module | None, supplied: Supplied = NOTHING
) -> dict[str, Callable[..., Optimizer]]:
    """Return a function parameters -> optimizer for each phase, by its name.

    Raises:
        UnknownNameError: there are settings or an optimizer for a phase that the objective does not have.
        UsageError: optimizers were passed by phase, and one is missing.
    """
    phases = [phase.name for phase in objective.phases]
    passed = supplied.optimizer if isinstance(supplied.optimizer, Mapping) else {}
    for name in (*config.optimizer.phases, *passed):
        if name not in phases:
            raise UnknownNameError(f"phase of the objective {config.objective.name!r}", name, phases)
    if passed and (missing := [name for name in phases if name not in passed]):
        raise UsageError(
            f"optimizer= has none for {', '.join(missing)}: expected one for each phase of the objective, "
            f"{', '.join(phases)}.",
            remedy=f'optimizer={{..., "{missing[0]}": "{config.optimizer.name}"}}',
        )
    return {name: optimizer_of(config, name, model, supplied) for name in phases}


def make_schedule(config: Config, steps: int, per_epoch: int, supplied: Supplied = NOTHING) -> Factor:
    """Return the schedule: step -> factor of the learning rate.

    Args:
        config: the whole config.
        steps: number of updates in total; 0 if unknown.
        per_epoch: number of updates per epoch; 0 if unknown.
        supplied: the objects that the caller passed in.

    Raises:
        ConfigError: the schedule needs the number of updates, and it is unknown.
    """
    section = config.schedule
    passed = supplied.optimizer
    first = next(iter(passed.values()), None) if isinstance(passed, Mapping) else passed
    own = first if isinstance(first, Optimizer) else None
    if supplied.schedule is not None:
        return make_schedule_of(supplied.schedule, config, steps, per_epoch, own)
    if is_reference(section.name):
        schedule = import_object("schedule.name", section.name)
        return make_schedule_of(schedule, config, steps, per_epoch, own)
    if not steps and section.name in ("cosine", "one_cycle"):
        raise ConfigError(
            f"The schedule {section.name} needs the number of updates, and these batches have no length.",
            remedy="--set train.max_steps=1000, or --set schedule.name=constant",
        )
    return schedules.schedule(
        section.name,
        steps,
        warmup_steps=section.warmup_steps,
        steps_per_epoch=max(per_epoch, 1),
        **schedule_options(config),
    )


def schedule_options(config: Config) -> dict[str, Any]:
    """Return the options of a schedule of the catalogue.

    Raises:
        UnknownNameError: there is no such schedule, or it has no such option.
        ConfigError: the value of an option is not of its type.
    """
    section = config.schedule
    types = find_entry("schedule", section.name, schedules.SCHEDULES).types
    return check_options(f"the schedule {section.name}", section.options, types, "schedule.options")


def updates(config: Config, batches: Any) -> tuple[int, int]:
    """Return the number of updates per epoch and in total; 0 if unknown."""
    try:
        per_epoch = math.ceil(len(batches) / config.train.gradient_accumulation_steps)
    except TypeError:  # the batches have no length
        return 0, config.train.max_steps or (STREAMED if config.train.minutes is not None else 0)
    return per_epoch, int(min(per_epoch * config.train.epochs, config.train.max_steps or math.inf))


def choose_execution(
    config: Config,
    prepared: PreparedData,
    model: nn.Module,
    objective: Objective,
    supplied: Supplied = NOTHING,
    seconds: float | None = None,
) -> Tuned:
    """Return the execution mode of the config, or the fastest one measured on this model and data.

    `seconds` is the time for training, where that is what is known of its length.
    """
    batches, phase = prepared.training_batches(), objective.phases[0].name
    instance = isinstance(supplied.optimizer_for(phase), Optimizer)
    return autotune(
        config.train.execution,
        model,
        next(iter(batches)),
        objective.phases[0].loss,
        choose_device(config.train.device)[0],
        steps=updates(config, batches)[1] if prepared.same_shapes else 0,
        seconds=seconds,
        make_optimizer=None if instance else optimizer_of(config, phase, supplied=supplied),
    )
