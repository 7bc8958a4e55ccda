"""The classification objective: cross-entropy of one class out of K, and other losses."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from pellucid.batch import as_batch
from pellucid.train.losses import loss as named_loss
from pellucid.train.objective import Measures, Objective, each_row, logits_of, penalty, supervised
from pellucid.train.output_forms import to_logits

IGNORED = -100
"""A target that asks nothing, as in PyTorch's cross-entropy."""


def classification(
    loss: str | None = None,
    *,
    options: Mapping[str, Any] | None = None,
    label_smoothing: float = 0.0,
    class_weights: Tensor | None = None,
    l1: float = 0.0,
    l2: float = 0.0,
    outputs: str | None = None,
) -> Objective:
    """One class out of K. Logits (B, K); targets int64 (B,), or probabilities (B, K) under mixup.

    Measured are cross-entropy in nats, unsmoothed and unweighted so that it compares with ln K, and accuracy;
    the best weights are those with the highest validation accuracy. With class weights, each row counts for
    the latter as much as its class does (`weighted_accuracy`): with those by inverse frequency, as much as
    all other classes together.

    Args:
        loss: a name in the loss catalogue; None: cross-entropy.
        options: of the loss.
        label_smoothing: share of the target spread over all classes, 0..1, for a loss with this option.
        class_weights: (K,), by which the loss of each class counts, for a loss with the option `weight`.
        l1, l2: strengths of the penalties on weights.
        outputs: what the model returns, as in `pellucid.train.output_forms`; None: logits.

    Raises:
        UnknownNameError: there is no loss of that name, or it has no such option.
    """
    name, given = loss or "cross_entropy", dict(options or {})
    if label_smoothing:
        given["label_smoothing"] = label_smoothing
    weight = given.pop("weight", None) if class_weights is None else class_weights
    plain = each_row(named_loss(name, **given))
    function = named_loss(name, **given, **({} if weight is None else {"weight": weight}))

    def compare(logits: Tensor, targets: Tensor, reduction: str = "mean") -> Tensor:
        if reduction == "mean":
            return function(logits, targets)
        rows = plain(logits, targets)
        return rows if weight is None or targets.ndim > 1 else rows * weight.to(targets.device)[targets]

    score = classes_score if class_weights is None else partial(weighted_score, weights=class_weights)
    return replace(
        supervised(
            "classification",
            compare,
            score,
            read=logits_of,
            convert=to_logits(outputs),
            penalty=penalty(l1, l2),
        ),
        probs=partial(torch.softmax, dim=-1),
        monitor="val/accuracy" if class_weights is None else "val/weighted_accuracy",
        mode="max",
    )


def weighted_score(logits: Tensor, batch: Any, weights: Tensor) -> Measures:
    """Return what `classes_score` does, and the accuracy in which a row counts by the weight (K,) of its
    class."""
    targets, measured = as_batch(batch).targets, classes_score(logits, batch)
    if targets.is_floating_point():
        return measured
    rows = weights.to(targets.device)[targets.clamp(min=0)] * (targets != IGNORED)
    return {**measured, "weighted_accuracy": ((logits.argmax(1) == targets).mul(rows).sum(), rows.sum())}


def classes_score(logits: Tensor, batch: Any) -> Measures:
    """Return cross-entropy in nats and accuracy of logits (B, K)."""
    targets = as_batch(batch).targets
    asked = len(targets) if targets.is_floating_point() else int((targets != IGNORED).sum())
    return {
        "loss": (F.cross_entropy(logits, targets, reduction="sum"), asked),
        "accuracy": ((logits.argmax(1) == targets).sum(), asked),
    }
