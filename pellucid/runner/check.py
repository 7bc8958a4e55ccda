"""Check the names and options of a config, before data is loaded or a recipe that it needs is trained."""

from __future__ import annotations

from typing import Any

from pellucid.config import Config
from pellucid.config_text import is_reference
from pellucid.diagnosis.explained import check_muted
from pellucid.errors import ConfigError
from pellucid.runner.model_builder import OWN_MODEL, model_options
from pellucid.runner.optimization import make_optimizers, schedule_options
from pellucid.runner.supplied import (
    NOTHING,
    Supplied,
    argument_names,
    import_object,
    loss_arguments,
    without_own_loss,
)
from pellucid.tasks import get_task
from pellucid.tasks.task import Task
from pellucid.train.catalogue import check_options
from pellucid.train.execution import execution_mode


def check_config(config: Config, supplied: Supplied = NOTHING, *, own_model: bool = False) -> None:
    """Refuse names and options that do not exist, and options of the wrong type; nothing is loaded or built.

    Args:
        config: the whole config.
        supplied: the objects that the caller passed in.
        own_model: whether the caller passed in the model.

    Raises:
        UnknownNameError: a name or an option does not exist; suggests the nearest and lists the known ones.
        ConfigError: the value of an option is not of its type, or a setting does not fit another.
    """
    task = get_task(config.objective.name)
    check_muted(config.diagnosis.mute)
    execution_mode(config.train.execution)
    if not own_model and config.model.name != OWN_MODEL:
        model_options(config)
    _check_loss(config, task, supplied)
    objective = supplied.objective or task.objective(without_own_loss(config))
    if supplied.optimizer is None:
        _check_optimizer(config)
        if objective.phases:
            make_optimizers(config, objective, None)
    if supplied.schedule is None and not is_reference(config.schedule.name):
        schedule_options(config)


def _check_loss(config: Config, task: Task, supplied: Supplied) -> None:
    section = config.objective
    own = is_reference(section.loss or "")
    if supplied.loss is not None or own:
        loss = supplied.loss or import_object("objective.loss", section.loss or "")
        loss_arguments(loss, section.loss_options)
        if section.loss_options and not own:
            raise ConfigError(
                "loss_options go with a loss of the catalogue, or with a function or class of a module.",
                remedy="functools.partial(your_loss, option=value)",
            )
    elif not task.takes_loss and (section.loss or section.loss_options):
        key = "loss" if section.loss else "loss_options"
        raise ConfigError(
            f"objective.{key} is {getattr(section, key)!r}, but the task {task.name!r} does not learn "
            "by a loss of the catalogue.",
            remedy=f"--set objective.{key}={'null' if section.loss else '{}'}; its own settings are in "
            "objective.options",
        )


def _check_optimizer(config: Config) -> None:
    """Refuse options that an optimizer named as `package.module:Class` does not have."""
    section = config.optimizer
    if is_reference(section.name) and section.options:
        names = argument_names(import_object("optimizer.name", section.name), skip=1)
        if names is not None:
            types = dict.fromkeys(names, Any)
            check_options(f"the optimizer {section.name}", section.options, types, "optimizer.options")
