"""Adam in one kernel, and little around it: most of a small network's update would be spent there."""

# pyright: reportPrivateImportUsage=false
# (torch._foreach_* and torch._fused_* are what torch's own optimizers are built on.)
from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor


@dataclass(frozen=True)
class _Kept:
    """What the kernel reads and writes of one group."""

    group: dict[str, Any]
    weights: list[Tensor]
    means: list[Tensor]
    squares: list[Tensor]
    steps: list[Tensor]


class FusedAdamW(torch.optim.AdamW):
    """`torch.optim.AdamW` with fused=True, which looks for its state once and not in every step.

    It computes the same, bit for bit. Wherever something is unusual (a closure, a weight without gradient,
    weights on several devices) torch's own step is taken.
    """

    _kept: list[_Kept] | None = None

    @torch.no_grad()
    def step(self, closure: Callable[[], Tensor] | None = None) -> Tensor | None:  # type: ignore[override]
        """Take one step; `closure` recomputes the loss where the caller wants that."""
        kept = self._kept or self._keep()
        gradients = [[weight.grad for weight in part.weights if weight.grad is not None] for part in kept]
        missing = any(len(grads) < len(part.weights) for part, grads in zip(kept, gradients, strict=True))
        if closure is not None or not kept or missing:
            self._kept = None
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

    def _keep(self) -> list[_Kept]:
        """Find the state of every weight; nothing where torch's own step must be taken."""
        weights = [weight for group in self.param_groups for weight in group["params"]]
        plain = not any(group["amsgrad"] or group["maximize"] for group in self.param_groups)
        alike = len({(weight.device, weight.dtype) for weight in weights}) == 1
        if not plain or not alike or not all(self.state.get(weight) for weight in weights):
            return []
        self._kept = [
            _Kept(
                group,
                list(group["params"]),
                *(
                    [self.state[weight][name] for weight in group["params"]]
                    for name in ("exp_avg", "exp_avg_sq", "step")
                ),
            )
            for group in self.param_groups
        ]
        return self._kept

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self._kept = None
        super().load_state_dict(state_dict)

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        self._kept = None
        super().add_param_group(param_group)
