"""Learning rates of an optimizer: the base rate of each parameter group times a factor."""

from __future__ import annotations

from typing import Any

from torch.optim import Optimizer


class LearningRates:
    """Set the learning rate of each parameter group of an optimizer.

    A rate that differs from the one last set was changed from outside, for example by a callback or a PyTorch
    scheduler. It becomes the new base rate, divided by the factor of the step before, and the factor of
    every later step applies to it. A new parameter group joins with its own rate as base rate.

    Attributes:
        bases: base rate of each group.
        last: the rate of each group that was last set.
        factor: the factor that was last set; 1 before the first step.
    """

    def __init__(self, optimizer: Optimizer):
        self.optimizer = optimizer
        self.bases: list[float] = []
        self.last: list[float] = []
        self.factor = 1.0
        self._add_new_groups()
        for group, base in zip(optimizer.param_groups, self.bases, strict=True):
            group["lr"] = base  # a number, also where the user gave a tensor

    def set(self, factor: float) -> float:
        """Set every rate to base rate * factor; return the rate of the first group."""
        if len(self.optimizer.param_groups) != len(self.bases):
            self._add_new_groups()
        for number, group in enumerate(self.optimizer.param_groups):
            if group["lr"] != self.last[number]:
                self.bases[number] = float(group["lr"]) / (self.factor or 1.0)
            group["lr"] = self.last[number] = self.bases[number] * factor
        self.factor = factor
        return self.last[0]

    def _add_new_groups(self) -> None:
        groups = self.optimizer.param_groups
        new = [float(group["lr"]) for group in groups[len(self.bases) :]]
        self.bases = self.bases[: len(groups)] + new
        self.last = self.last[: len(groups)] + new

    def state_dict(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return {"bases": list(self.bases), "last": list(self.last), "factor": self.factor}

    def load_state_dict(self, state: dict[str, Any] | None) -> None:
        """Continue from `state_dict`; the optimizer must have been restored before.

        None, from a checkpoint of an earlier version, means that only the schedule has set rates.
        """
        if state is None:
            self.last = [float(group["lr"]) for group in self.optimizer.param_groups]
        else:
            self.bases, self.last, self.factor = list(state["bases"]), list(state["last"]), state["factor"]
