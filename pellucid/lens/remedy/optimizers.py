"""Remedies of optimizers: learning rate, weight decay, schedule, clipping, and what is optimized."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from pellucid.diagnosis.wording import figure
from pellucid.lens.remedy.hooks import with_all_parameters
from pellucid.lens.remedy.parts import Parts, Unfit
from pellucid.lens.remedy.registry import Apply, Case, remedy

HIGH = ("learning-rate-too-high", "non-finite-loss", "non-finite-gradients", "exploding-gradients")
DEAD = ("dead-units",)
LOW = ("learning-rate-too-low",)
WARM_UP = 50
"""Steps over which the learning rate rises."""


def scale_rate(parts: Parts, factor: float) -> Parts:
    """Multiply all learning rates."""
    if not parts.optimizers:
        raise Unfit("the loop has no optimizer")
    for one in parts.optimizers:
        for group in one.param_groups:
            group["lr"] = group["lr"] * factor
    new = float(parts.optimizers[0].param_groups[0]["lr"])
    return parts.say(f"the learning rate is {figure(new)} instead of {figure(new / factor)}")


def _by(factor: float) -> Apply:
    return lambda parts, case: scale_rate(parts, factor)


for _factor in (3, 10, 30, 100, 300, 1000):
    _edit = "divide the learning rate"
    _found = (*HIGH, *DEAD) if _factor in (10, 100) else HIGH if _factor != 1000 else HIGH[:1]
    remedy(
        f"rate-divided-by-{_factor}", *_found, words=f"the learning rate is divided by {_factor}", edit=_edit
    )(_by(1 / _factor))
for _factor in (10, 30, 100, 300, 1000, 3000):
    remedy(
        f"rate-times-{_factor}",
        *LOW,
        words=f"the learning rate is multiplied by {_factor}",
        edit="multiply the learning rate",
    )(_by(_factor))


@remedy(
    "rate-times-3",
    "too-few-steps",
    "still-improving",
    words="the learning rate is multiplied by 3",
    edit="multiply the learning rate",
)
def rate_times_3(parts: Parts, case: Case) -> Parts:
    return scale_rate(parts, 3)


@remedy(
    "warm-up",
    "learning-rate-too-high",
    "warm-up-missing",
    words="the learning rate rises over the first steps",
    size=2,
    edit="a scheduler such as LinearLR(optimizer, 0.02, total_iters=50), stepped each batch",
)
def warm_up(parts: Parts, case: Case) -> Parts:
    for one in parts.optimizers:
        peak = [group["lr"] for group in one.param_groups]
        taken = [0]

        def before(optimizer: Any, *_: Any, peak: list[float] = peak, taken: list[int] = taken) -> None:
            taken[0] += 1
            share = min(1.0, taken[0] / WARM_UP)
            for group, rate in zip(optimizer.param_groups, peak, strict=True):
                group["lr"] = rate * share

        one.register_step_pre_hook(before)
    return parts.say(f"the learning rate rises over the first {WARM_UP} steps")


@remedy(
    "rate-held",
    "learning-rate-vanished",
    "learning-rate-zero",
    "schedule-by-batch",
    words="the learning rate stays where it begins",
    edit="leave the scheduler out, or step it once an epoch",
)
def rate_held(parts: Parts, case: Case) -> Parts:
    for one in parts.optimizers:
        rates = [group["lr"] for group in one.param_groups]

        def before(optimizer: Any, *_: Any, rates: list[float] = rates) -> None:
            for group, rate in zip(optimizer.param_groups, rates, strict=True):
                group["lr"] = rate

        one.register_step_pre_hook(before)
    return parts


@remedy(
    "rate-usual",
    *LOW,
    "learning-rate-zero",
    *HIGH[:2],
    words="the learning rate is the usual one",
    edit="a learning rate of 0.05 for SGD, 0.001 for others",
)
def rate_usual(parts: Parts, case: Case) -> Parts:
    for one in parts.optimizers:
        usual = 0.05 if isinstance(one, torch.optim.SGD) else 1e-3
        for group in one.param_groups:
            group["lr"] = usual
    return parts.say(f"the learning rate is {figure(float(parts.optimizers[0].param_groups[0]['lr']))}")


def _decay(value: float) -> Apply:
    def apply(parts: Parts, case: Case) -> Parts:
        before = [
            float(group.get("weight_decay", 0.0)) for one in parts.optimizers for group in one.param_groups
        ]
        if not before or (max(before) == value):
            raise Unfit(f"weight decay is {figure(value)} already")
        for one in parts.optimizers:
            for group in one.param_groups:
                group["weight_decay"] = value
        return parts.say(f"weight decay is {figure(value)} instead of {figure(max(before))}")

    return apply


remedy("decay-0", "weight-decay-too-strong", words="weight decay is 0", edit="weight_decay=0")(_decay(0.0))
remedy("decay-1e-4", "weight-decay-too-strong", words="weight decay is 0.0001", edit="weight_decay=1e-4")(
    _decay(1e-4)
)
remedy(
    "decay-3e-3",
    "overfitting-gap",
    "overfitting-turn",
    words="weight decay is 0.003",
    edit="weight_decay=3e-3",
)(_decay(3e-3))
remedy(
    "decay-3e-2",
    "overfitting-gap",
    "overfitting-turn",
    words="weight decay is 0.03",
    edit="weight_decay=3e-2",
)(_decay(3e-2))


@remedy(
    "all-parameters",
    "not-in-optimizer",
    "optimizer-of-other-parameters",
    "optimizer-replaced",
    "unused-parameters",
    "layers-in-plain-list",
    words="the optimizer has all parameters of the model",
    size=2,
    edit="make the optimizer from model.parameters(), after the model is complete",
)
def all_parameters(parts: Parts, case: Case) -> Parts:
    held = {id(one) for group in parts.only_optimizer().param_groups for one in group["params"]}
    if all(id(one) in held for one in parts.module.parameters() if one.requires_grad):
        raise Unfit("it has them already")
    return with_all_parameters(parts)


@remedy(
    "unfrozen",
    "frozen-random",
    "all-frozen",
    words="no layer is frozen",
    size=2,
    edit="leave requires_grad_(False) out",
)
def unfrozen(parts: Parts, case: Case) -> Parts:
    frozen = [one for one in parts.module.parameters() if not one.requires_grad and one.is_floating_point()]
    if not frozen:
        raise Unfit("no parameter is frozen")
    for one in frozen:
        one.requires_grad_(True)
    return with_all_parameters(parts)


def _limit(limit: float | None) -> Apply:
    """Undo clipping that the loop does, and clip at another norm before the step."""

    def apply(parts: Parts, case: Case) -> Parts:
        raw: dict[int, Tensor] = {}
        for one in parts.module.parameters():
            if one.requires_grad:
                one.register_post_accumulate_grad_hook(_keeper(raw))
        for one in parts.optimizers:
            one.register_step_pre_hook(_restorer(raw, limit))
        return parts

    return apply


def _keeper(raw: dict[int, Tensor]) -> Callable[[Tensor], None]:
    def keep(one: Tensor) -> None:
        if one.grad is not None:
            raw[id(one)] = one.grad.detach().clone()

    return keep


def _restorer(raw: dict[int, Tensor], limit: float | None) -> Callable[..., None]:
    def restore(optimizer: torch.optim.Optimizer, *_: Any) -> None:
        params = [one for group in optimizer.param_groups for one in group["params"] if id(one) in raw]
        for one in params:
            one.grad = raw.pop(id(one))
        if limit is not None and params:
            nn.utils.clip_grad_norm_(params, limit)

    return restore


remedy(
    "clipped-at-1",
    "clipped-to-nothing",
    "gradients-removed",
    "exploding-gradients",
    "non-finite-gradients",
    words="gradients are clipped at a norm of 1",
    size=1.5,
    edit="clip_grad_norm_(model.parameters(), 1.0) between backward and step",
)(_limit(1.0))
remedy(
    "not-clipped",
    "clipped-to-nothing",
    "gradients-removed",
    words="gradients are not clipped",
    size=1.4,
    edit="leave clip_grad_norm_ out",
)(_limit(None))


@remedy(
    "finite-steps",
    "non-finite-loss",
    "non-finite-gradients",
    words="steps with gradients that are not finite are left out",
    size=2.5,
    edit="skip optimizer.step() where a gradient is not finite",
)
def finite_steps(parts: Parts, case: Case) -> Parts:
    def before(optimizer: torch.optim.Optimizer, *_: Any) -> None:
        grads = [
            one.grad for group in optimizer.param_groups for one in group["params"] if one.grad is not None
        ]
        if grads and not math.isfinite(float(sum(one.sum() for one in grads))):
            for one in grads:
                one.zero_()

    for one in parts.optimizers:
        one.register_step_pre_hook(before)
    return parts
