"""AdamW in one kernel with little overhead, which would take most of the update of a small network."""

# pyright: reportPrivateImportUsage=false
# (torch._foreach_* and torch._fused_* are what torch's own optimizers are built on.)
from __future__ import annotations

import inspect
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

BARE = {
    name: inspect.unwrap(getattr(torch.optim.Optimizer, name))
    for name in ("state_dict", "load_state_dict", "zero_grad", "add_param_group")
}
"""Methods without what torch wraps them in to tell torch.compile to skip them, which loads it: a second."""


@dataclass(frozen=True)
class GroupState:
    """The tensors of a group that the kernel reads and writes."""

    group: dict[str, Any]
    weights: list[Tensor]
    means: list[Tensor]
    squares: list[Tensor]
    steps: list[Tensor]


def adamw(
    weight: Tensor,
    mean: Tensor,
    square: Tensor,
    gradient: Tensor,
    scalars: Tensor,
    beta1: float,
    beta2: float,
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the weight and its two moments after a step (Loshchilov and Hutter 2019, algorithm 2).

    Args:
        weight, mean, square, gradient: tensors of the same shape.
        scalars: (3,), a row of `FusedAdamW.advance`.
        beta1, beta2: decay of the moments.
    """
    size, eps, keep = scalars.unbind()
    mean = torch.lerp(mean, gradient, 1 - beta1)
    square = square * beta2 + (1 - beta2) * gradient * gradient
    return weight * keep - size * mean / (square.sqrt() + eps), mean, square


class FusedAdamW(torch.optim.AdamW):
    """`torch.optim.AdamW` with fused=True that looks up its state once instead of in every step.

    Results are equal bit for bit. In special cases (a closure, a weight without gradient, weights on several
    devices) it calls torch's own step.

    A compiled update can take the step itself (see `pellucid.train.compiled`): if `ready()`, it updates the
    weights and moments with `adamw` and the values that `advance()` returns.
    """

    group_states: tuple[GroupState, ...] = ()
    moments: tuple[Tensor, ...] = ()
    """Mean and square of each weight, in the order of `weights`."""
    constants: tuple[tuple[float, float], ...] = ()
    """beta1 and beta2 of each group."""
    _steps: int | None = None  # number of steps by compiled updates
    _counted = 0  # number of these in torch's state

    @torch.no_grad()
    def step(self, closure: Callable[[], Tensor] | None = None) -> Tensor | None:  # type: ignore[override]
        """Take one step; `closure`, if given, recomputes the loss."""
        self._count()
        self._steps = None
        states = self.group_states or self._collect()
        gradients = [[weight.grad for weight in part.weights if weight.grad is not None] for part in states]
        missing = any(len(grads) < len(part.weights) for part, grads in zip(states, gradients, strict=True))
        if closure is not None or not states or missing:
            self.group_states = ()
            return super().step(closure)
        for part, grads in zip(states, gradients, strict=True):
            group = part.group
            torch._foreach_add_(part.steps, 1)
            torch._fused_adamw_(
                part.weights,
                grads,
                part.means,
                part.squares,
                [],
                part.steps,
                amsgrad=False,
                lr=group["lr"],
                beta1=group["betas"][0],
                beta2=group["betas"][1],
                weight_decay=group["weight_decay"],
                eps=group["eps"],
                maximize=False,
            )
        return None

    # ---- for compiled updates -------------------------------------------------------------------

    @property
    def weights(self) -> list[Tensor]:
        """All weights in the order of the groups."""
        return [weight for group in self.param_groups for weight in group["params"]]

    def ready(self) -> bool:
        """Return whether all weights have taken the same number of steps; create missing state."""
        if self._steps is not None:
            return True
        weights = self.weights
        if not any(self.state.get(weight) for weight in weights):
            if not all(weight.requires_grad for weight in weights):
                return False
            for weight in weights:
                moments = {name: torch.zeros_like(weight).detach() for name in ("exp_avg", "exp_avg_sq")}
                self.state[weight] = {"step": torch.zeros((), device=weight.device), **moments}
        steps = {int(step) for part in self._collect() for step in part.steps}
        if len(steps) == 1:
            self._steps = self._counted = steps.pop()
        return self._steps is not None

    def advance(self) -> Tensor:
        """Count a step, and return the scalars for `adamw`, (groups, 3).

        These are the step size and eps, both multiplied by the square root of the bias correction of `square`
        instead of dividing every weight by it, and the factor of weight decay.
        """
        assert self._steps is not None
        self._steps += 1
        rows, steps = [], self._steps
        for part in self.group_states:
            (beta1, beta2), lr, eps = (part.group[name] for name in ("betas", "lr", "eps"))
            root = math.sqrt(1 - beta2**steps)
            rows.append((root * lr / (1 - beta1**steps), root * eps, 1 - lr * part.group["weight_decay"]))
        return torch.from_numpy(np.array(rows, np.float32)).to(self.group_states[0].weights[0].device)

    def state_dict(self) -> dict[str, Any]:
        self._count()
        return BARE["state_dict"](self)

    def zero_grad(self, set_to_none: bool = True) -> None:
        BARE["zero_grad"](self, set_to_none)

    def _count(self) -> None:
        """Write the number of steps of compiled updates to torch's state."""
        if self._steps is not None:
            for part in self.group_states:
                torch._foreach_add_(part.steps, self._steps - self._counted)
            self._counted = self._steps

    def _collect(self) -> tuple[GroupState, ...]:
        """Look up the state of every weight; return () if torch's own step is needed."""
        weights = self.weights
        plain = not any(group["amsgrad"] or group["maximize"] for group in self.param_groups)
        same_kind = len({(weight.device, weight.dtype) for weight in weights}) == 1
        if not plain or not same_kind or not all(self.state.get(weight) for weight in weights):
            return ()
        self.group_states = tuple(
            GroupState(
                group,
                list(group["params"]),
                *(
                    [self.state[weight][name] for weight in group["params"]]
                    for name in ("exp_avg", "exp_avg_sq", "step")
                ),
            )
            for group in self.param_groups
        )
        pairs = [pair for part in self.group_states for pair in zip(part.means, part.squares, strict=True)]
        self.moments = tuple(moment for pair in pairs for moment in pair)
        self.constants = tuple(tuple(group["betas"]) for group in self.param_groups)
        return self.group_states

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.group_states, self._steps = (), None
        BARE["load_state_dict"](self, state_dict)

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        self._count()
        self.group_states, self._steps = (), None
        BARE["add_param_group"](self, param_group)
