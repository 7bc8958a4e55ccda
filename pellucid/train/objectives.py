"""The noun **Objective**: what one training step optimizes, as a list of phases.

Supervised learning is one phase. A GAN is two, each with its own loss and its own parameters; a critic
that learns several times per generator update is a phase with `repeat`.

    objective = classification(label_smoothing=0.1)
    objective = Objective("gan", (Phase("discriminator", d_loss, lambda m: m.discriminator.parameters()),
                                  Phase("generator", g_loss, lambda m: m.generator.parameters())), measure)
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pellucid.train.losses import loss as named_loss

Measures = dict[str, tuple[Tensor, int]]
"""Sums and counts by name, kept on the device: the mean over batches is sum / count."""


def all_parameters(model: nn.Module) -> Iterable[nn.Parameter]:
    return model.parameters()


@dataclass(frozen=True)
class Phase:
    """One kind of update within a step.

    Attributes:
        name: e.g. "discriminator".
        loss: (model, batch) -> the scalar to minimize.
        parameters: model -> the parameters this phase updates.
        every: take part in every n-th step only.
        repeat: updates within one step.
    """

    name: str
    loss: Callable[[nn.Module, Any], Tensor]
    parameters: Callable[[nn.Module], Iterable[nn.Parameter]] = all_parameters
    every: int = 1
    repeat: int = 1


@dataclass(frozen=True)
class Objective:
    """What one step optimizes, and how its result is measured.

    Attributes:
        name: e.g. "classification".
        phases: the updates of one step, in order.
        measure: (model, batch) -> sums and counts, without gradients; "loss" is always among them.
        probs: logits -> what a prediction is read from (probabilities, or the values themselves).
        monitor: the metric that says which weights are best.
        mode: whether the best is the largest or the smallest.
    """

    name: str
    phases: tuple[Phase, ...]
    measure: Callable[[nn.Module, Any], Measures]
    probs: Callable[[Tensor], Tensor] = lambda logits: logits
    monitor: str = "val/loss"
    mode: Literal["min", "max"] = "min"


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


BUILDERS = {"classification": classification, "multilabel": multilabel, "regression": regression}


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
