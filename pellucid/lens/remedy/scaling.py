"""Remedies of the scale of inputs and targets: before and after the model, so in evaluation too."""

from __future__ import annotations

import torch
from torch import Tensor

from pellucid.diagnosis.wording import figure
from pellucid.lens.remedy.hooks import on_inputs, on_outputs, output_of, wrap
from pellucid.lens.remedy.parts import Parts, Unfit
from pellucid.lens.remedy.registry import Case, remedy
from pellucid.lens.remedy.rows import all_rows, put_rows, take

SCALE = (
    *("inputs-unscaled", "saturated-activations", "measured-on-other-scale", "constant-inputs"),
    "inputs-ignored",
)


def _finite_inputs(parts: Parts) -> Tensor:
    inputs = all_rows(parts)[0]
    if not inputs.is_floating_point():
        raise Unfit("the inputs are no real numbers")
    rows = inputs[torch.isfinite(inputs.flatten(1)).all(1)]
    if not len(rows):
        raise Unfit("no row of the inputs is finite")
    return rows


@remedy(
    "inputs-standard",
    *SCALE,
    "learning-rate-too-high",
    "non-finite-loss",
    "dead-units",
    words="inputs have mean 0 and deviation 1",
    size=2,
    edit="(inputs - mean) / std, computed from the training rows",
)
def inputs_standard(parts: Parts, case: Case) -> Parts:
    inputs = _finite_inputs(parts)
    mean, std = inputs.mean(), inputs.std().clamp_min(1e-12)
    on_inputs(parts.module, lambda x: (x - mean.to(x)) / std.to(x))
    return parts.say(
        f"inputs have mean 0 and deviation 1 instead of {figure(float(mean))} and {figure(float(std))}"
    )


@remedy(
    "columns-standard",
    *SCALE,
    words="each column of the inputs has mean 0 and deviation 1",
    size=2.1,
    edit="(inputs - inputs.mean(0)) / inputs.std(0), computed from the training rows",
)
def columns_standard(parts: Parts, case: Case) -> Parts:
    inputs = _finite_inputs(parts)
    if inputs.ndim < 2:
        raise Unfit("the inputs have no columns")
    mean, std = inputs.mean(0), inputs.std(0)
    std = torch.where(std > 1e-6 * std.max().clamp_min(1e-12), std, std.mean().clamp_min(1e-12))
    on_inputs(parts.module, lambda x: (x - mean.to(x)) / std.to(x))
    return parts


@remedy(
    "targets-standard",
    "targets-unscaled",
    "output-range",
    words="targets have mean 0 and deviation 1 in the loss, and the outputs are scaled back",
    size=3,
    edit="train on (targets - mean) / std, and scale predictions back",
)
def targets_standard(parts: Parts, case: Case) -> Parts:
    targets, outputs = all_rows(parts)[1], output_of(parts)
    if not targets.is_floating_point() or not isinstance(outputs, Tensor):
        raise Unfit("the targets are no real numbers")
    mean, std = targets.mean(), targets.std().clamp_min(1e-12)
    on_outputs(parts.module, lambda made: made * std + mean)

    return wrap(parts, lambda loss, made, wanted: loss((made - mean) / std, (wanted - mean) / std))


@remedy(
    "finite-rows",
    "non-finite-inputs",
    "non-finite-loss",
    "non-finite-targets",
    "non-finite-gradients",
    words="rows with NaN or infinite values are left out",
    size=2,
    edit="rows = torch.isfinite(inputs).all(1); inputs[rows], targets[rows]",
)
def finite_rows(parts: Parts, case: Case) -> Parts:
    x, y = all_rows(parts)
    good = torch.ones(len(x), dtype=torch.bool, device=x.device)
    for one in (x, y):
        if one.is_floating_point():
            good &= torch.isfinite(one.reshape(len(one), -1)).all(1).to(x.device)
    if good.all():
        raise Unfit("all rows are finite")
    left = int((~good).sum())
    return take(parts, good.nonzero().flatten()).say(f"{left} rows with NaN or infinite values are left out")


@remedy(
    "finite-cells",
    "non-finite-inputs",
    words="cells that are not finite get the mean of their column",
    size=3,
    edit="fill missing values before training",
)
def finite_cells(parts: Parts, case: Case) -> Parts:
    x, y = all_rows(parts)
    if not x.is_floating_point() or torch.isfinite(x).all():
        raise Unfit("all inputs are finite")
    usual = torch.where(torch.isfinite(x), x, torch.nan).nanmean(0).nan_to_num(0.0)
    on_inputs(parts.module, lambda given: torch.where(torch.isfinite(given), given, usual.to(given)))
    return put_rows(parts, torch.where(torch.isfinite(x), x, usual), y)


@remedy(
    "leaking-column-out",
    "target-in-inputs",
    words="the one column that predicts the target is left out",
    size=3,
    edit="leave the column that holds the target out of the inputs",
)
def leaking_column_out(parts: Parts, case: Case) -> Parts:
    x, y = all_rows(parts)
    if x.ndim != 2 or y.ndim != 1 or not x.is_floating_point():
        raise Unfit("the inputs are no table")
    both = torch.cat([x.float(), y.float()[:, None]], 1)
    alike = torch.corrcoef(both.T)[-1, :-1].abs().nan_to_num(0.0)
    column = int(alike.argmax())
    keep = torch.ones(x.shape[1])
    keep[column] = 0
    on_inputs(parts.module, lambda given: given * keep.to(given))
    return parts.say(f"column {column} of the inputs, which predicts the target by itself, is 0")
