"""Remedies of first weights."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from pellucid.lens.remedy.hooks import WEIGHTED, layers_of
from pellucid.lens.remedy.parts import Parts, Unfit
from pellucid.lens.remedy.registry import Case, remedy

FIRST = (
    *(
        "constant-initial-weights",
        "symmetric-units",
        "initial-weights-too-large",
        "initial-weights-too-small",
    ),
    *("saturated-activations", "dead-units", "vanishing-gradients", "exploding-gradients"),
)
DEAD = 0.5
"""A bias whose mean size is above this is not one of an initialization."""


def reset(model: nn.Module) -> int:
    """Initialize every layer as PyTorch does by default; return how many."""
    count = 0
    for one in model.modules():
        again: Any = getattr(one, "reset_parameters", None)
        if callable(again):
            again()
            count += 1
    return count


@remedy(
    "default-weights",
    *FIRST,
    words="the first weights are those of PyTorch's default",
    size=2,
    edit="leave the own initialization out",
)
def default_weights(parts: Parts, case: Case) -> Parts:
    if not reset(parts.module):
        raise Unfit("no layer has reset_parameters()")
    return parts


@remedy(
    "kaiming-weights",
    *FIRST,
    words="the first weights are Kaiming's, biases 0",
    size=2.1,
    edit="nn.init.kaiming_normal_(layer.weight, nonlinearity='relu') and zero biases",
)
def kaiming_weights(parts: Parts, case: Case) -> Parts:
    return _initialize(parts, lambda weight: nn.init.kaiming_normal_(weight, nonlinearity="relu"))


@remedy(
    "xavier-weights",
    "saturated-activations",
    "vanishing-gradients",
    "initial-weights-too-large",
    words="the first weights are Xavier's, biases 0",
    size=2.2,
    edit="nn.init.xavier_uniform_(layer.weight) and zero biases",
)
def xavier_weights(parts: Parts, case: Case) -> Parts:
    return _initialize(parts, nn.init.xavier_uniform_)


def _initialize(parts: Parts, first: Any) -> Parts:
    reset(parts.module)
    found = [one for _, one in layers_of(parts.module, *WEIGHTED)]
    if not found:
        raise Unfit("there is no linear or convolution layer")
    for one in found:
        first(one.weight)
        if one.bias is not None:
            nn.init.zeros_(one.bias)
    return parts


@remedy(
    "zero-biases",
    "dead-units",
    words="the biases that kept units silent start at 0",
    size=1.5,
    edit="nn.init.zeros_(layer.bias)",
)
def zero_biases(parts: Parts, case: Case) -> Parts:
    large = [
        one.bias
        for _, one in layers_of(parts.module, *WEIGHTED)
        if isinstance(one.bias, Tensor) and one.bias.abs().mean() > DEAD
    ]
    if not large:
        raise Unfit("no bias is large")
    with torch.no_grad():
        for bias in large:
            bias.zero_()
    return parts
