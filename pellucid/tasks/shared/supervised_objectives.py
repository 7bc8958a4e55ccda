"""Objectives with a target for every row: one class, several labels, or numbers."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pellucid.train.losses import loss as named_loss
from pellucid.train.objective import Measures, Objective, Phase


def classification(
    loss: str | None = None,
    *,
    label_smoothing: float = 0.0,
    class_weights: Tensor | None = None,
    l1: float = 0.0,
    l2: float = 0.0,
) -> Objective:
    """One class out of K. Logits (B, K); targets int64 (B,), or probabilities (B, K) under mixup.

    Measured are cross-entropy in nats, unsmoothed and unweighted so that it can be set beside ln K, and
    accuracy; the best weights are those with the highest validation accuracy.
    """
    options: dict[str, Any] = {}
    if (loss or "cross_entropy") == "cross_entropy":
        options = {"label_smoothing": label_smoothing}
        if class_weights is not None:
            options["weight"] = class_weights
    train_loss = named_loss(loss or "cross_entropy", **options)

    def measure(model: nn.Module, batch: Any) -> Measures:
        inputs, targets = batch
        logits = model(inputs).float()
        return {
            "loss": (F.cross_entropy(logits, targets, reduction="sum"), len(targets)),
            "accuracy": ((logits.argmax(1) == targets).sum(), len(targets)),
        }

    phase = Phase("train", _supervised(train_loss, l1, l2))
    probs = partial(torch.softmax, dim=-1)
    return Objective("classification", (phase,), measure, probs, "val/accuracy", "max")


def multilabel(loss: str | None = None, *, l1: float = 0.0, l2: float = 0.0) -> Objective:
    """Any number of K labels. Logits and targets (B, K); measured are loss and share of right labels."""
    function = named_loss(loss or "bce")

    def measure(model: nn.Module, batch: Any) -> Measures:
        inputs, targets = batch
        logits = model(inputs).float()
        right = (logits > 0) == (targets > 0.5)
        return {
            "loss": (function(logits, targets) * len(targets), len(targets)),
            "accuracy": (right.sum(), targets.numel()),
        }

    return Objective("multilabel", (Phase("train", _supervised(function, l1, l2)),), measure, torch.sigmoid)


def regression(loss: str | None = None, *, l1: float = 0.0, l2: float = 0.0) -> Objective:
    """Numbers. Outputs (B, 1) or (B, D) against targets (B,) or (B, D), both in standardized units."""
    function = named_loss(loss or "mse")

    def shaped(outputs: Tensor, targets: Tensor) -> Tensor:
        return function(_like(outputs, targets), targets)

    def measure(model: nn.Module, batch: Any) -> Measures:
        inputs, targets = batch
        outputs = _like(model(inputs).float(), targets)
        return {
            "loss": (function(outputs, targets) * len(targets), len(targets)),
            "mae": ((outputs - targets).abs().sum(), targets.numel()),
        }

    return Objective("regression", (Phase("train", _supervised(shaped, l1, l2)),), measure)


def _like(outputs: Tensor, targets: Tensor) -> Tensor:
    """Drop the last axis of (B, 1) outputs when targets are (B,): never let the two broadcast."""
    return (
        outputs.squeeze(1) if targets.ndim == 1 and outputs.ndim == 2 and outputs.shape[1] == 1 else outputs
    )


def _supervised(loss: Callable[[Tensor, Tensor], Tensor], l1: float, l2: float) -> Callable[..., Tensor]:
    def step(model: nn.Module, batch: Any) -> Tensor:
        inputs, targets = batch
        value = loss(model(inputs).float(), targets)
        return value + _penalty(model, l1, l2) if l1 or l2 else value

    return step


def _penalty(model: nn.Module, l1: float, l2: float) -> Tensor:
    """L1 (Tibshirani 1996) and L2 penalties on weights; biases and norms are left alone."""
    weights = [parameter for parameter in model.parameters() if parameter.ndim >= 2]
    total = weights[0].new_zeros(())
    for weight in weights:
        total = total + l1 * weight.abs().sum() + 0.5 * l2 * weight.square().sum()
    return total
