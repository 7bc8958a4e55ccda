"""The forecasting objective: predict the next rows of a series."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from torch import Tensor, nn
from torch.nn import functional as F

from pellucid.train.losses import loss as named_loss
from pellucid.train.objective import Measures, Objective, Phase, one_of

LossName = Literal["mse", "mae", "huber"]


@dataclass(frozen=True)
class Options:
    """Options of the task; see `forecasting`."""

    loss: LossName = "mse"


def forecasting(loss: LossName = Options.loss, options: Mapping[str, Any] | None = None) -> Objective:
    r"""Predict the next H rows of C channels from the last L.

    The loss is the mean over horizon and channels of $(\hat y - y)^2$, $|\hat y - y|$ or Huber's function of
    the two, in units of each channel's standard deviation, as in the published comparisons (Zhou et al. 2021,
    Informer; Zeng et al. 2023, Are Transformers Effective for Time Series Forecasting?).

    Batches are (inputs (B, L, C), targets (B, H, C)); models give (B, H * C), steps before channels, or
    (B, H, C). Measured are "loss", which is the mean squared error whatever was trained with, and "mae".

    Args:
        loss: "mse", "mae" or "huber".
        options: of the loss, e.g. {"delta": 0.5}.

    Raises:
        ConfigError: no such loss.
    """
    one_of("loss", loss, ("mse", "mae", "huber"))
    function = named_loss(loss, **(options or {}))

    def train(model: nn.Module, batch: Any) -> Tensor:
        inputs, targets = batch
        return function(_shaped(model(inputs), targets), targets)

    def measure(model: nn.Module, batch: Any) -> Measures:
        inputs, targets = batch
        outputs, count = _shaped(model(inputs), targets), targets.numel()
        return {
            "loss": (F.mse_loss(outputs, targets, reduction="sum"), count),
            "mae": (F.l1_loss(outputs, targets, reduction="sum"), count),
        }

    return Objective("forecasting", (Phase("train", train),), measure)


def _shaped(outputs: Tensor, targets: Tensor) -> Tensor:
    return outputs.float().reshape(targets.shape)
