"""Schedulers of PyTorch as schedules: what they set in an optimizer, as a function of the step."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler, ReduceLROnPlateau

from pellucid.errors import ConfigError

PER_STEP = ("OneCycleLR", "CyclicLR")
"""Schedulers whose documentation steps them after every batch; all others are stepped after every epoch."""


@dataclass(frozen=True)
class GroupSetting:
    """What a scheduler sets in a parameter group: the learning rate, and the momentum if it changes that."""

    lr: float
    momentum: float | None = None


class TorchSchedule:
    """What a PyTorch scheduler sets at every step.

    The scheduler is run in advance on a copy, so that its settings only depend on the step and a resumed run
    needs nothing else.

    Args:
        scheduler: a copy, at its first step.
        bases: learning rate of each parameter group that its rates are a factor of.
        interval: updates between two of its steps.
    """

    def __init__(self, scheduler: LRScheduler, bases: list[float], interval: int):
        self.scheduler, self.bases, self.interval = scheduler, bases, interval
        parts = (scheduler, *getattr(scheduler, "_schedulers", ()))
        self.changes_momentum = any(getattr(part, "cycle_momentum", False) for part in parts)
        self._settings = [self._now()]

    def __call__(self, step: float) -> float:
        """Return the factor of the first group's learning rate."""
        return self.factors(step)[0]

    def factors(self, step: float) -> list[float]:
        """Return the factor of each group's learning rate."""
        settings = self.settings(step)
        return [setting.lr / base for setting, base in zip(settings, self.bases, strict=True)]

    def settings(self, step: float) -> list[GroupSetting]:
        """Return what is set in each group before an update, computed as far as needed."""
        number = int(step) // self.interval
        while len(self._settings) <= number:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # "the optimizer has not stepped"
                try:
                    self.scheduler.step()
                except ValueError:  # beyond its last step
                    return self._settings[-1]
            self._settings.append(self._now())
        return self._settings[number]

    def _now(self) -> list[GroupSetting]:
        groups = self.scheduler.optimizer.param_groups
        momenta = [momentum_of(group) if self.changes_momentum else None for group in groups]
        return [GroupSetting(float(group["lr"]), m) for group, m in zip(groups, momenta, strict=True)]


def momentum_of(group: Mapping[str, Any]) -> float | None:
    """Return the momentum of a parameter group, or the first beta of Adam; None if it has neither."""
    return group["betas"][0] if "betas" in group else group.get("momentum")


def set_momentum(group: dict[str, Any], value: float) -> None:
    """Set the momentum of a parameter group, or the first beta of Adam."""
    if "betas" in group:
        group["betas"] = (value, *group["betas"][1:])
    elif "momentum" in group:
        group["momentum"] = value


def torch_schedule(
    given: Any,
    lr: float,
    total_steps: int,
    steps_per_epoch: int,
    options: Mapping[str, Any],
    optimizer: Optimizer | None = None,
) -> TorchSchedule:
    """Return what a PyTorch scheduler sets, as a function of the step.

    Args:
        given: a class, a function (optimizer) -> scheduler, or a scheduler.
        lr: initial learning rate of the optimizer.
        total_steps: updates of the whole training run.
        steps_per_epoch: updates per epoch.
        options: options of the class.
        optimizer: the one that learns, where it exists already; left as it is.

    Raises:
        ConfigError: the scheduler depends on a metric, or has other options.
    """
    if getattr(given, "__name__", "") == "ReduceLROnPlateau":
        raise _follows_a_metric()
    if isinstance(given, LRScheduler):
        scheduler, bases = _copied(given)
    else:
        scheduler, bases = _made(given, stand_in(optimizer, lr), lr, total_steps, options)
    if isinstance(scheduler, ReduceLROnPlateau):
        raise _follows_a_metric()
    per_step = type(scheduler).__name__ in PER_STEP
    length = getattr(scheduler, "total_steps", total_steps) if per_step else total_steps
    if length < total_steps:
        raise ConfigError(
            f"{type(scheduler).__name__} was made for {length:,} updates: expected {total_steps:,}, as many "
            "as this training run has.",
            remedy=f"total_steps={total_steps}, or the class {type(scheduler).__name__} itself",
        )
    return TorchSchedule(scheduler, bases, 1 if per_step else max(steps_per_epoch, 1))


def _follows_a_metric() -> ConfigError:
    return ConfigError(
        "ReduceLROnPlateau follows a metric and is built in.",
        remedy='schedule="plateau"; settings={"schedule.options": {"patience": 2, "factor": 0.5}}',
    )


def _copied(given: LRScheduler) -> tuple[LRScheduler, list[float]]:
    """Copy a scheduler and its optimizer, and give the optimizer the rates from before the scheduler.

    The copy has the rates that the scheduler set last: the optimizer may have learned with others since.
    """
    scheduler = _copy(given, given.optimizer)
    for group, rate in zip(scheduler.optimizer.param_groups, given.get_last_lr(), strict=True):
        group["lr"] = rate
    for group in given.optimizer.param_groups:  # a scheduler begins anew in every training run
        group["lr"] = group.get("initial_lr", group["lr"])
    return scheduler, [float(group["lr"]) for group in given.optimizer.param_groups]


def _made(
    make: Any, optimizer: Optimizer, lr: float, total_steps: int, options: Mapping[str, Any]
) -> tuple[LRScheduler, list[float]]:
    bases = [float(group["lr"]) for group in optimizer.param_groups]
    name = getattr(make, "__name__", "")
    needed = {"max_lr": lr, "total_steps": max(total_steps, 1)} if name == "OneCycleLR" else {}
    try:
        return make(optimizer, **{**needed, **options}), bases
    except (TypeError, ValueError) as error:
        raise ConfigError(f"schedule {name}: {error}") from None


def stand_in(optimizer: Optimizer | None, lr: float) -> Optimizer:
    """Return a copy of an optimizer that a scheduler may change; without one, an SGD of one group."""
    if optimizer is not None:
        return _copy(optimizer, optimizer)
    return torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=lr, momentum=0.9)


def _copy(given: Any, optimizer: Optimizer) -> Any:
    """Copy a scheduler or an optimizer, but not the weights and what is remembered of them."""
    weights = [weight for group in optimizer.param_groups for weight in group["params"]]
    return copy.deepcopy(given, {**{id(weight): weight for weight in weights}, id(optimizer.state): {}})
