"""Adam in one kernel, and little around it: most of a small network's update would be spent there."""

# pyright: reportPrivateImportUsage=false
# (torch._foreach_* and torch._fused_* are what torch's own optimizers are built on.)
from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor


@dataclass(frozen=True)
class Kept:
    """What the kernel reads and writes of one group."""

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
        weight, mean, square, gradient: of one shape.
        scalars: (3,), a row of `FusedAdamW.advance`.
        beta1, beta2: decay of the moments.
    """
    size, eps, keep = scalars.unbind()
    mean = torch.lerp(mean, gradient, 1 - beta1)
    square = square * beta2 + (1 - beta2) * gradient * gradient
    return weight * keep - size * mean / (square.sqrt() + eps), mean, square


class FusedAdamW(torch.optim.AdamW):
    """`torch.optim.AdamW` with fused=True, which looks for its state once and not in every step.

    It computes the same, bit for bit. Wherever something is unusual (a closure, a weight without gradient,
    weights on several devices) torch's own step is taken.

    A program can take the step in its place (see `pellucid.train.compiled`): where `ready()`, it moves the
    weights and moments of `kept` by `adamw`, with what `advance()` returns.
    """

    kept: tuple[Kept, ...] = ()
    moments: tuple[Tensor, ...] = ()
    """Mean and square of each weight, in the order of `weights`."""
    constants: tuple[tuple[float, float], ...] = ()
    """beta1 and beta2 of each group."""
    _steps: int | None = None  # done, where programs take them
    _counted = 0  # of these, in the state

    @torch.no_grad()
    def step(self, closure: Callable[[], Tensor] | None = None) -> Tensor | None:  # type: ignore[override]
        """Take one step; `closure` recomputes the loss where the caller wants that."""
        self._count()
        self._steps = None
        kept = self.kept or self._keep()
        gradients = [[weight.grad for weight in part.weights if weight.grad is not None] for part in kept]
        missing = any(len(grads) < len(part.weights) for part, grads in zip(kept, gradients, strict=True))
        if closure is not None or not kept or missing:
            self.kept = ()
            return super().step(closure)
        for part, grads in zip(kept, gradients, strict=True):
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

    # ---- for a program that takes the step ------------------------------------------------------

    @property
    def weights(self) -> list[Tensor]:
        """All of them, in the order of the groups."""
        return [weight for group in self.param_groups for weight in group["params"]]

    def ready(self) -> bool:
        """Whether every weight has a state of as many steps; where none has begun, all are made."""
        if self._steps is not None:
            return True
        weights = self.weights
        if not any(self.state.get(weight) for weight in weights):
            if not all(weight.requires_grad for weight in weights):
                return False
            for weight in weights:
                moments = {name: torch.zeros_like(weight).detach() for name in ("exp_avg", "exp_avg_sq")}
                self.state[weight] = {"step": torch.zeros((), device=weight.device), **moments}
        steps = {int(step) for part in self._keep() for step in part.steps}
        if len(steps) == 1:
            self._steps = self._counted = steps.pop()
        return self._steps is not None

    def advance(self) -> Tensor:
        """Count a step, and return of each group (groups, 3) what `adamw` asks for: the size of the step and
        eps, both times the root of the bias of `square`, by which each weight would be divided otherwise,
        and what decay keeps of a weight."""
        assert self._steps is not None
        self._steps += 1
        rows, steps = [], self._steps
        for part in self.kept:
            (beta1, beta2), lr, eps = (part.group[name] for name in ("betas", "lr", "eps"))
            root = math.sqrt(1 - beta2**steps)
            rows.append((root * lr / (1 - beta1**steps), root * eps, 1 - lr * part.group["weight_decay"]))
        return torch.from_numpy(np.array(rows, np.float32)).to(self.kept[0].weights[0].device)

    def state_dict(self) -> dict[str, Any]:
        self._count()
        return super().state_dict()

    def _count(self) -> None:
        """Write the steps of programs where torch's own step looks for them."""
        if self._steps is not None:
            for part in self.kept:
                torch._foreach_add_(part.steps, self._steps - self._counted)
            self._counted = self._steps

    def _keep(self) -> tuple[Kept, ...]:
        """Find the state of every weight; nothing where torch's own step must be taken."""
        weights = self.weights
        plain = not any(group["amsgrad"] or group["maximize"] for group in self.param_groups)
        alike = len({(weight.device, weight.dtype) for weight in weights}) == 1
        if not plain or not alike or not all(self.state.get(weight) for weight in weights):
            return ()
        self.kept = tuple(
            Kept(
                group,
                list(group["params"]),
                *(
                    [self.state[weight][name] for weight in group["params"]]
                    for name in ("exp_avg", "exp_avg_sq", "step")
                ),
            )
            for group in self.param_groups
        )
        pairs = [pair for part in self.kept for pair in zip(part.means, part.squares, strict=True)]
        self.moments = tuple(moment for pair in pairs for moment in pair)
        self.constants = tuple(tuple(group["betas"]) for group in self.param_groups)
        return self.kept

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.kept, self._steps = (), None
        super().load_state_dict(state_dict)

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        self._count()
        self.kept, self._steps = (), None
        super().add_param_group(param_group)
