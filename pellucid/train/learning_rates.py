"""Learning rates of an optimizer: the base rate of each parameter group times a factor."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from torch.optim import Optimizer

from pellucid.train.torch_schedules import TorchSchedule, set_momentum


class LearningRates:
    """Set the learning rate of each parameter group of an optimizer.

    A rate that differs from the one last set was changed from outside, for example by a callback or a PyTorch
    scheduler. It becomes the new base rate, divided by the factor of the step before, and the factor of
    every later step applies to it. A new parameter group joins with its own rate as base rate.

    Attributes:
        bases: base rate of each group.
        last: the rate of each group that was last set.
        factors: the factor of each group that was last set; 1 before the first step.
    """

    def __init__(self, optimizer: Optimizer):
        self.optimizer = optimizer
        self.bases: list[float] = []
        self.last: list[float] = []
        self.factors: list[float] = []
        self._add_new_groups()
        for group, base in zip(optimizer.param_groups, self.bases, strict=True):
            group["lr"] = base  # a number, also where the user gave a tensor

    def follow(self, schedule: Callable[[Any], float], step: float, scale: float = 1.0) -> float:
        """Set what a schedule says for a step, times a scale; return the rate of the first group."""
        if not isinstance(schedule, TorchSchedule):
            return self.set(float(schedule(step)) * scale)
        settings = schedule.settings(step)
        for number, group in enumerate(self.optimizer.param_groups):
            momentum = _of(settings, number).momentum
            if momentum is not None:
                set_momentum(group, momentum)
        return self.set([factor * scale for factor in schedule.factors(step)])

    def set(self, factor: float | Sequence[float]) -> float:
        """Set every rate to base rate * factor; return the rate of the first group.

        Args:
            factor: of all groups, or one for each; a group that has none gets that of the first.
        """
        if len(self.optimizer.param_groups) != len(self.bases):
            self._add_new_groups()
        for number, group in enumerate(self.optimizer.param_groups):
            if group["lr"] != self.last[number]:
                self.bases[number] = float(group["lr"]) / (self.factors[number] or 1.0)
            own = factor if isinstance(factor, (int, float)) else _of(factor, number)
            self.factors[number] = own
            group["lr"] = self.last[number] = self.bases[number] * own
        return self.last[0]

    def _add_new_groups(self) -> None:
        groups = self.optimizer.param_groups
        new = [float(group["lr"]) for group in groups[len(self.bases) :]]
        self.bases = self.bases[: len(groups)] + new
        self.last = self.last[: len(groups)] + new
        known = self.factors[: len(groups)]
        self.factors = known + [known[0] if known else 1.0] * len(new)

    def state_dict(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return {"bases": list(self.bases), "last": list(self.last), "factors": list(self.factors)}

    def load_state_dict(self, state: dict[str, Any] | None) -> None:
        """Continue from `state_dict`; the optimizer must have been restored before.

        None, from a checkpoint of an earlier version, means that only the schedule has set rates.
        """
        if state is None:
            self.last = [float(group["lr"]) for group in self.optimizer.param_groups]
        else:
            self.bases, self.last = list(state["bases"]), list(state["last"])
            self.factors = list(state.get("factors") or [state["factor"]] * len(self.bases))


def _of(values: Sequence[Any], number: int) -> Any:
    """The value of a group; that of the first where there is none of its own."""
    return values[number] if number < len(values) else values[0]
