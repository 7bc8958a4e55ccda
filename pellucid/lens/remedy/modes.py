"""Remedies of training and evaluation mode, dropout and normalization."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from pellucid.lens.remedy.hooks import called, layers_of, on_inputs, put, with_all_parameters
from pellucid.lens.remedy.parts import Parts, Unfit
from pellucid.lens.remedy.registry import Apply, Case, remedy

DROPOUTS = (nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d, nn.AlphaDropout)
NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)


@remedy(
    "modes-by-use",
    "trains-in-eval-mode",
    "measured-in-train-mode",
    "random-in-evaluation",
    words="the model is in training mode where gradients are recorded, else in evaluation mode",
    size=2,
    edit="model.train() before the steps, model.eval() before measuring",
)
def modes_by_use(parts: Parts, case: Case) -> Parts:
    def before(model: nn.Module, _: Any) -> None:
        if model.training != torch.is_grad_enabled():
            model.train(torch.is_grad_enabled())

    parts.module.register_forward_pre_hook(before)
    return parts


def _dropout(p: float) -> Apply:
    def apply(parts: Parts, case: Case) -> Parts:
        found = [one for _, one in layers_of(parts.module, *DROPOUTS) if one.p > p]
        if not found:
            raise Unfit("no dropout is stronger")
        before = max(one.p for one in found)
        for one in found:
            one.p = p
        return parts.say(f"dropout is {p:g} instead of {before:g}")

    return apply


for _p in (0.3, 0.1, 0.0):
    remedy(f"dropout-{_p:g}", "dropout-too-strong", words=f"dropout is {_p:g}", edit=f"Dropout({_p:g})")(
        _dropout(_p)
    )


@remedy(
    "no-dropout-on-outputs",
    "dropout-on-outputs",
    words="there is no dropout on the outputs",
    size=3,
    edit="leave the dropout after the last layer out",
)
def no_dropout_on_outputs(parts: Parts, case: Case) -> Parts:
    order = called(parts)
    after: list[str] = []
    for one in reversed(order):
        if list(one.layer.parameters()):
            break
        if isinstance(one.layer, DROPOUTS):
            after.append(one.name)
    if not after:
        raise Unfit("the dropout is not a layer")
    for name in after:
        put(parts.module, name, nn.Identity())
    return parts


@remedy(
    "group-norm",
    "batch-norm-of-few-rows",
    "batch-norm-too-slow",
    words="group norm instead of batch norm",
    size=4,
    edit="nn.GroupNorm(groups, channels) instead of nn.BatchNorm2d(channels)",
)
def group_norm(parts: Parts, case: Case) -> Parts:
    found = list(layers_of(parts.module, *NORMS))
    if not found:
        raise Unfit("there is no batch norm")
    for name, one in found:
        groups = next(g for g in (8, 4, 2, 1) if one.num_features % g == 0)
        put(parts.module, name, nn.GroupNorm(groups, one.num_features))
    return with_all_parameters(parts)


@remedy(
    "batch-norm-momentum",
    "batch-norm-too-slow",
    words="batch norm follows its statistics faster",
    size=1,
    edit="BatchNorm2d(channels, momentum=0.1)",
)
def batch_norm_momentum(parts: Parts, case: Case) -> Parts:
    found = [one for _, one in layers_of(parts.module, *NORMS)]
    if not found:
        raise Unfit("there is no batch norm")
    for one in found:
        one.momentum = 0.1
    return parts


@remedy(
    "input-dropout",
    "overfitting-gap",
    "overfitting-turn",
    words="a fifth of the inputs is dropped in training",
    size=3,
    edit="nn.Dropout(0.2) before the first layer",
)
def input_dropout(parts: Parts, case: Case) -> Parts:
    on_inputs(parts.module, lambda x: nn.functional.dropout(x, 0.2), training_only=True)
    return parts


@remedy(
    "input-noise",
    "overfitting-gap",
    "overfitting-turn",
    words="noise is added to the inputs in training",
    size=3,
    edit="inputs + 0.3 * inputs.std() * torch.randn_like(inputs)",
)
def input_noise(parts: Parts, case: Case) -> Parts:
    on_inputs(parts.module, lambda x: x + 0.3 * x.std() * torch.randn_like(x), training_only=True)
    return parts
