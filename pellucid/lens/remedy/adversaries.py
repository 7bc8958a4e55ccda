"""Remedies of a generator and a discriminator."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call

from pellucid.lens.remedy.hooks import give
from pellucid.lens.remedy.parts import Parts, Unfit
from pellucid.lens.remedy.registry import Apply, Case, remedy


def opponents(parts: Parts) -> tuple[nn.Module, nn.Module]:
    """Return the generator and the discriminator, by their names.

    Raises:
        Unfit: they are not named so.
    """
    named = dict(parts.module.named_children())
    makers = [one for name, one in named.items() if name.lower().startswith(("g", "decoder", "netg"))]
    judges = [one for name, one in named.items() if name.lower().startswith(("d", "critic", "netd"))]
    if len(makers) != 1 or len(judges) != 1 or len(parts.optimizers) != 2:
        raise Unfit("generator and discriminator were not found")
    return makers[0], judges[0]


def _rates(of_generator: float, of_discriminator: float) -> Apply:
    def apply(parts: Parts, case: Case) -> Parts:
        maker, _ = opponents(parts)
        ours = {id(one) for one in maker.parameters()}
        for one in parts.optimizers:
            its = any(id(p) in ours for group in one.param_groups for p in group["params"])
            for group in one.param_groups:
                group["lr"] *= of_generator if its else of_discriminator
        return parts

    return apply


for _g, _d in ((1, 0.1), (10, 1), (10, 0.1), (100, 0.1), (100, 0.03), (300, 0.1)):
    remedy(
        f"rates-{_g}-{_d}",
        "discriminator-too-strong",
        "discriminator-winning",
        size=1 + _g / 1000,
        words=f"the learning rate of the generator is x {_g}, that of the discriminator x {_d}",
        edit="other learning rates",
    )(_rates(_g, _d))


def _divided(first_to_generator: bool) -> Apply:
    def apply(parts: Parts, case: Case) -> Parts:
        maker, judge = opponents(parts)
        order = (maker, judge) if first_to_generator else (judge, maker)
        for optimizer, module in zip(parts.optimizers, order, strict=True):
            give(optimizer, list(module.parameters()))
        return parts

    return apply


for _first in (True, False):
    _order = "first" if _first else "second"
    remedy(
        f"own-optimizers-{_order}",
        "optimizers-overlap",
        "missing-detach",
        size=2 + (not _first) / 10,
        words=f"each optimizer has one network; the generator's is the {_order}",
        edit="Adam(generator.parameters()) and Adam(discriminator.parameters())",
    )(_divided(_first))


@remedy(
    "detached-fakes",
    "missing-detach",
    words="the discriminator learns from detached fakes, the generator from a fixed discriminator",
    size=2,
    edit="discriminator(fake.detach()) for the loss of the discriminator",
)
def detached_fakes(parts: Parts, case: Case) -> Parts:
    _, judge = opponents(parts)
    plain = judge.forward
    before: list[Any] = [None]
    inside = [False]

    def forward(inputs: Tensor) -> Any:
        if inside[0] or not torch.is_grad_enabled() or inputs.grad_fn is None:
            return plain(inputs)
        if before[0] is not inputs:  # the first time that it sees these fakes
            before[0] = inputs
            return plain(inputs.detach())
        before[0] = None
        fixed = {name: one.detach() for name, one in judge.named_parameters()}
        inside[0] = True
        try:
            return functional_call(judge, fixed, (inputs,))
        finally:
            inside[0] = False

    judge.forward = forward
    return parts
