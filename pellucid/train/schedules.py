"""The schedule catalogue: the factor of the base learning rate, as a function of the step.

    lr(step) = base_lr * factor(step)      step = 0, 1, ... counts optimizer updates

A schedule has no state, so a resumed run needs only its step. The only exception is `plateau`, which depends
on a metric: `ReduceOnPlateau` takes the metric and returns the factor.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from pellucid.train.catalogue import (
    Count,
    HasOptions,
    NonNegative,
    Positive,
    Share,
    check_options,
    find_entry,
)

Factor = Callable[[int], float]


# ---- pure functions ----------------------------------------------------------------------------


def constant() -> Factor:
    """Return 1 at every step."""
    return lambda step: 1.0


def step_decay(steps_per_epoch: int = 1, *, every: Positive = 10, factor: Share = 0.1) -> Factor:
    """Multiply by `factor` every n epochs.

    Args:
        steps_per_epoch: updates per epoch.
        every: n, epochs between two changes, > 0.
        factor: 0..1.
    """
    interval = max(1, round(every * steps_per_epoch))
    return lambda step: factor ** (step // interval)


def cosine(total_steps: int, *, final: Share = 0.0) -> Factor:
    """Decrease from 1 to `final` along half a cosine.

    Args:
        total_steps: the step at which `final` is reached.
        final: 0..1.
    """

    def factor(step: int) -> float:
        return _cosine(1.0, final, step / max(total_steps, 1))

    return factor


def one_cycle(total_steps: int, *, start: Share = 0.04, peak_at: Share = 0.3, final: Share = 0.0) -> Factor:
    """Increase from `start` to 1, then decrease to `final`, both along half a cosine.

    Args:
        total_steps: the step at which `final` is reached.
        start: the factor at step 0, 0..1.
        peak_at: position of the peak as a share of all steps, 0..1.
        final: the factor at the end, 0..1.
    """
    peak = peak_at * total_steps

    def factor(step: int) -> float:
        if step < peak:
            return _cosine(start, 1.0, step / peak)
        return _cosine(1.0, final, (step - peak) / max(total_steps - peak, 1))

    return factor


def warmup(after: Factor, steps: int) -> Factor:
    """Increase linearly to the first factor of a schedule, then follow it from its start.

    Args:
        after: the schedule that follows.
        steps: length of the warm-up; its last step already has the full factor.
    """

    def factor(step: int) -> float:
        return after(0) * (step + 1) / steps if step < steps else after(step - steps)

    return factor


def _cosine(begin: float, end: float, share: float) -> float:
    """Interpolate from begin to end along half a cosine; constant beyond the end."""
    return end + (begin - end) * (1 + math.cos(math.pi * min(share, 1.0))) / 2


# ---- driven by a metric ------------------------------------------------------------------------


class ReduceOnPlateau:
    """Multiply the learning rate by `factor` whenever a metric has stopped improving.

    Args:
        mode: whether smaller ("min") or larger ("max") is better.
        factor: 0..1.
        patience: number of updates without improvement before a change, >= 0.
        min_delta: minimum improvement that counts, in units of the metric.
        floor: lower bound of the product.

    Attributes:
        scale: the product so far, 1 at first; the factor of the base learning rate.
    """

    def __init__(
        self,
        *,
        mode: Literal["min", "max"] = "min",
        factor: Share = 0.1,
        patience: Count = 5,
        min_delta: NonNegative = 0.0,
        floor: Share = 1e-3,
    ):
        self.mode = mode
        self.factor = factor
        self.patience = patience
        self.min_delta = min_delta
        self.floor = floor
        self.scale = 1.0
        self.best: float | None = None
        self.waited = 0

    def update(self, value: float) -> float:
        """Take the newest value of the metric (NaN is no improvement) and return `scale`."""
        if self._improves(value):
            self.best, self.waited = value, 0
            return self.scale
        self.waited += 1
        if self.waited > self.patience:
            self.scale = max(self.scale * self.factor, self.floor)
            self.waited = 0
        return self.scale

    def state_dict(self) -> dict[str, Any]:
        """Return the state as plain JSON values."""
        return {"scale": self.scale, "best": self.best, "waited": self.waited}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.scale, self.best, self.waited = state["scale"], state["best"], state["waited"]

    def _improves(self, value: float) -> bool:
        if math.isnan(value):
            return False
        if self.best is None:
            return True
        gain = self.best - value if self.mode == "min" else value - self.best
        return gain > self.min_delta


# ---- the catalogue -----------------------------------------------------------------------------


@dataclass(frozen=True)
class Schedule(HasOptions):
    """An entry of the schedule catalogue.

    Attributes:
        name: the name here and in configs.
        formula: the factor at step t of T, in LaTeX.
        source: the paper that proposed it.
        function: the function or class whose keyword-only parameters are the options.
        build: (total steps, steps per epoch, **options) -> factor.
        note: when to use it, or what to know about it.
    """

    name: str
    formula: str
    source: str
    function: Callable[..., Any]
    build: Callable[..., Factor]
    note: str


_ENTRIES = [
    Schedule(
        name="constant",
        formula=r"1",
        source="Robbins and Monro 1951 ask for a rate that falls; adaptive optimizers do well without",
        function=constant,
        build=lambda total, per_epoch: constant(),
        note="The simplest; a rate that decreases at the end is almost always slightly better.",
    ),
    Schedule(
        name="step",
        formula=r"\gamma^{\lfloor t / n \rfloor}",
        source="Krizhevsky, Sutskever and Hinton 2012; He et al. 2016",
        function=step_decay,
        build=lambda total, per_epoch, **options: step_decay(per_epoch, **options),
        note="`every` counts epochs.",
    ),
    Schedule(
        name="cosine",
        formula=r"f + (1 - f)\,\frac{1 + \cos(\pi t / T)}{2}",
        source="Loshchilov and Hutter 2017, SGDR",
        function=cosine,
        build=lambda total, per_epoch, **options: cosine(total, **options),
        note="The default, often after a warm-up.",
    ),
    Schedule(
        name="one_cycle",
        formula=r"\begin{cases}s + (1 - s)\,\frac{1 - \cos(\pi t / (pT))}{2} & t < pT\\"
        r" f + (1 - f)\,\frac{1 + \cos(\pi (t - pT) / (T - pT))}{2} & t \ge pT\end{cases}",
        source="Smith and Topin 2018, Super-Convergence",
        function=one_cycle,
        build=lambda total, per_epoch, **options: one_cycle(total, **options),
        note="For short training runs with a high peak rate.",
    ),
    Schedule(
        name="plateau",
        formula=r"\gamma^{\text{number of plateaus so far}}",
        source="LeCun, Bottou, Orr and Müller 1998; as in Keras and PyTorch",
        function=ReduceOnPlateau,
        build=lambda total, per_epoch, **options: constant(),
        note="Depends on a metric: the factor here is 1, `ReduceOnPlateau` computes the actual one.",
    ),
]

SCHEDULES: dict[str, Schedule] = {entry.name: entry for entry in _ENTRIES}
"""Every schedule, by name."""


def schedule(
    name: str, total_steps: int, *, warmup_steps: int = 0, steps_per_epoch: int = 1, **options: Any
) -> Factor:
    """Return the factor of the base learning rate, as a function of the step.

    Args:
        name: one of `SCHEDULES`.
        total_steps: updates of the whole training run, including the warm-up.
        warmup_steps: length of a linear warm-up before the schedule.
        steps_per_epoch: updates per epoch; only used by `step`.
        options: see `SCHEDULES[name].options`.

    Raises:
        UnknownNameError: there is no schedule of that name, or it has no such option.
        ConfigError: the value of an option is not of its type or out of range.

    Example:
        >>> factor = schedule("cosine", 100, warmup_steps=10)
        >>> [round(factor(step), 2) for step in (0, 9, 10, 55, 99)]
        [0.1, 1.0, 1.0, 0.5, 0.0]
    """
    entry = find_entry("schedule", name, SCHEDULES)
    options = check_options(f"the schedule {name}", options, entry.types)
    factor = entry.build(max(total_steps - warmup_steps, 1), steps_per_epoch, **options)
    return warmup(factor, warmup_steps) if warmup_steps else factor
