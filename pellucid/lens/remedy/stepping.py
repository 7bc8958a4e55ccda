"""Remedies of the order in a step: zero_grad, forward, loss, backward, step.

The loop stays as it is; hooks of its optimizer, its model and its loss do what it misses."""

from __future__ import annotations

import types
from typing import Any

import torch
from torch import Tensor

from pellucid.lens.remedy.hooks import on_loss, wrap
from pellucid.lens.remedy.parts import Parts, Unfit
from pellucid.lens.remedy.registry import Case, remedy
from pellucid.lens.remedy.rows import Continuing, Turning, is_rows


@remedy(
    "zero-grad-each-step",
    "missing-zero-grad",
    words="gradients are set to zero in each step",
    size=2,
    edit="optimizer.zero_grad() before loss.backward()",
)
def zero_grad_each_step(parts: Parts, case: Case) -> Parts:
    for one in parts.optimizers:
        one.register_step_post_hook(lambda optimizer, *_: optimizer.zero_grad())
    return parts


class _Fresh:
    """Steps where gradients of a backward pass wait, and not where there are none."""

    def __init__(self, optimizer: torch.optim.Optimizer) -> None:
        self.waiting = False
        self.optimizer = optimizer
        self._step, self._zero = optimizer.step, optimizer.zero_grad
        for group in optimizer.param_groups:
            for one in group["params"]:
                if one.requires_grad:
                    one.register_post_accumulate_grad_hook(self._arrived)

        def step(_: Any, *given: Any, **named: Any) -> Any:
            return self.take(*given, **named)

        def zero_grad(_: Any, *given: Any, **named: Any) -> None:
            self.take()
            self._zero(*given, **named)

        optimizer.step = types.MethodType(step, optimizer)
        optimizer.zero_grad = types.MethodType(zero_grad, optimizer)

    def _arrived(self, _: Tensor) -> None:
        self.waiting = True

    def take(self, *given: Any, **named: Any) -> Any:
        """Step if gradients wait."""
        if not self.waiting:
            return None
        self.waiting = False
        return self._step(*given, **named)

    def before_forward(self, *_: Any) -> None:
        """Step before the next forward pass at the latest."""
        if torch.is_grad_enabled() and self.waiting:
            self.take()
            self._zero()


@remedy(
    "step-after-backward",
    "no-step",
    "step-before-backward",
    "zero-grad-before-step",
    words="each backward pass is followed by a step",
    size=2,
    edit="optimizer.zero_grad(), loss.backward(), optimizer.step(), in this order",
)
def step_after_backward(parts: Parts, case: Case) -> Parts:
    for one in parts.optimizers:
        fresh = _Fresh(one)
        parts.module.register_forward_pre_hook(fresh.before_forward)
    return parts


@remedy(
    "backward-before-step",
    "no-backward",
    words="the loss is differentiated before each step",
    size=2,
    edit="loss.backward() before optimizer.step()",
)
def backward_before_step(parts: Parts, case: Case) -> Parts:
    last: list[Any] = [None]
    optimizer = parts.only_optimizer()

    def noted(loss: Any, *given: Any, **named: Any) -> Any:
        last[0] = loss(*given, **named)
        return last[0]

    def before(*_: Any) -> None:
        value, last[0] = last[0], None
        if isinstance(value, Tensor) and value.grad_fn is not None:
            optimizer.zero_grad()
            value.backward()

    optimizer.register_step_pre_hook(before)
    return on_loss(parts, noted)


@remedy(
    "graph-kept",
    "graph-broken",
    words="the loss is computed from the outputs with their graph",
    size=2,
    edit="leave detach(), .data, numpy() or torch.tensor(...) out between the model and the loss",
)
def graph_kept(parts: Parts, case: Case) -> Parts:
    made: list[Any] = [None]

    def keep(_: Any, __: Any, output: Any) -> None:
        if torch.is_grad_enabled():
            made[0] = output[0] if isinstance(output, tuple | list) else output

    def with_graph(loss: Any, outputs: Any, targets: Any) -> Any:
        real = made[0]
        if isinstance(outputs, Tensor) and isinstance(real, Tensor) and real.shape == outputs.shape:
            broken = outputs.grad_fn is None and real.grad_fn is not None
            if torch.is_grad_enabled() and broken and torch.equal(outputs, real):
                outputs = real
        return loss(outputs, targets)

    parts.module.register_forward_hook(keep)
    return wrap(parts, with_graph)


@remedy(
    "same-rows-no-more",
    "same-batch",
    words="each step gets other rows",
    size=2,
    edit="for inputs, targets in loader: instead of next(iter(loader))",
)
def other_rows(parts: Parts, case: Case) -> Parts:
    if is_rows(parts.batches):
        parts.batches = tuple(Turning(one) for one in parts.batches)
    elif hasattr(parts.batches, "__len__") and len(parts.batches) > 1:
        parts.batches = Continuing(parts.batches)
    else:
        raise Unfit("there is only one batch")
    return parts
