"""The objectives of models that answer at every step: a class or numbers, without steps that have no label.

Shapes: B rows, T steps, K classes, D numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from pellucid.batch import as_batch
from pellucid.train.objective import Measures, Objective, logits_of, supervised

PADDING = 0
"""What stands for no label; class k is the target k + 1."""


def step_classes(
    name: str,
    label_smoothing: float = 0.0,
    weights: Tensor | None = None,
    read: Callable[[Any, Any], Tensor] = logits_of,
) -> Objective:
    """One class out of K at every step. Logits (B, T, K); targets int64 (B, T), 1 + class, 0 for no label.

    Args:
        name: of the objective.
        label_smoothing: share of the target spread over all classes, 0..1.
        weights: (K,), by which the loss of each class counts.
        read: (what the model returned, batch) -> logits.
    """

    def loss(logits: Tensor, targets: Tensor, reduction: str = "mean") -> Tensor:
        each, wanted = None if weights is None else weights.to(logits.device), targets.flatten() - 1
        found = F.cross_entropy(
            logits.flatten(0, 1),
            wanted,
            weight=each,
            ignore_index=PADDING - 1,
            label_smoothing=label_smoothing,
            reduction="none" if reduction == "none" else "sum",
        )
        if reduction == "none":
            return found.view(targets.shape)
        counted = (wanted >= 0).to(found.dtype)
        total = (counted if each is None else counted * each[wanted.clamp(min=0)]).sum()
        return found / total.clamp(min=torch.finfo(found.dtype).tiny)  # 0 for a batch without any label

    return replace(
        supervised(name, loss, classes_score, read=read),
        probs=partial(torch.softmax, dim=-1),
        monitor="val/accuracy",
        mode="max",
    )


def classes_score(logits: Tensor, batch: Any) -> Measures:
    """Return cross-entropy in nats and accuracy of logits (B, T, K), over all steps with a label."""
    wanted = as_batch(batch).targets.flatten() - 1
    logits, asked = logits.flatten(0, 1), int((wanted >= 0).sum())
    return {
        "loss": (F.cross_entropy(logits, wanted, ignore_index=PADDING - 1, reduction="sum"), asked),
        "accuracy": (((logits.argmax(1) == wanted) & (wanted >= 0)).sum(), asked),
    }


def step_numbers(
    name: str, units: Sequence[float] = (1.0,), read: Callable[[Any, Any], Tensor] = logits_of
) -> Objective:
    """D numbers at every step. Outputs (B, T, D) against targets (B, T, D), standardized; NaN is no number.

    Args:
        name: of the objective.
        units: what 1 means in the units of the data, for each of D numbers; "mae" is in these.
        read: (what the model returned, batch) -> outputs.
    """

    def loss(outputs: Tensor, targets: Tensor, reduction: str = "mean") -> Tensor:
        errors, known = _errors(outputs, targets)
        if reduction == "none":
            return errors.square()
        return errors.square().sum() / known.sum().clamp(min=1)

    def score(outputs: Tensor, batch: Any) -> Measures:
        errors, known = _errors(outputs, as_batch(batch).targets)
        asked = int(known.sum())
        return {
            "loss": (errors.square().sum(), asked),
            "mae": ((errors.abs() * torch.tensor(units, device=errors.device)).sum(), asked),
        }

    return supervised(name, loss, score, read=read)


def _errors(outputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """Return errors (B, T, D), 0 where there is no number, and where there is one."""
    known = ~targets.isnan()
    return torch.where(known, outputs - targets.nan_to_num(), 0.0), known


def by_step(outputs: int) -> Callable[[Any, Any], Tensor]:
    """Return a function that reads what a model of `outputs` values a step returned, as (B, T, outputs).

    Modules may also return (B, outputs, T), as convolutions do, and (B, T) for one value a step.
    """

    def read(returned: Any, batch: Any) -> Tensor:
        found = logits_of(returned)
        steps = as_batch(batch).targets.shape[1]
        if outputs == 1 and found.ndim == 2 and found.shape[1] == steps:
            return found[:, :, None]
        turned = found.ndim == 3 and tuple(found.shape[1:]) == (outputs, steps) and steps != outputs
        return found.transpose(1, 2) if turned else found

    return read
