"""Training losses with L1 and L2 penalties on the weights."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from pellucid.train.losses import loss as named_loss
from pellucid.train.objective import Measures, Objective, Phase



def matched(outputs: Tensor, targets: Tensor) -> Tensor:
    """Drop the last axis of (B, 1) outputs when targets are (B,): never let the two broadcast."""
    return (
        outputs.squeeze(1) if targets.ndim == 1 and outputs.ndim == 2 and outputs.shape[1] == 1 else outputs
    )


def penalized(loss: Callable[[Tensor, Tensor], Tensor], l1: float, l2: float) -> Callable[..., Tensor]:
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
