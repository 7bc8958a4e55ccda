"""The objective of one-class learning: reconstruct images of one class."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal, get_args

from pellucid.errors import ConfigError
from pellucid.tasks.anomaly.reconstruction_score import FALSE_ALARM_RATE
from pellucid.tasks.elbo.objective import elbo
from pellucid.tasks.reconstruction.objective import NoiseKind, reconstruction
from pellucid.train.objective import Objective, one_of

LossName = Literal["mse", "mae", "bce", "elbo"]


@dataclass(frozen=True)
class Options:
    """Options of the task; see `anomaly`.

    Attributes:
        normal: the class to learn; None: the only one, or the one called good, normal, ok or healthy; where
            there are no classes, all images are normal.
        limit: the score above which an image counts as an anomaly; None: by `false_alarm_rate`.
        false_alarm_rate: the share of normal images that may count as anomalies, above 0 and below 1.
        examples: a folder with normal images in good/ and anomalies in other folders, which the limit is
            chosen from.
    """

    normal: str | int | float | bool | None = None
    loss: LossName = "mse"
    noise: float = 0.0
    noise_kind: NoiseKind = "gaussian"
    limit: float | None = None
    false_alarm_rate: float = FALSE_ALARM_RATE
    examples: str | None = None


def anomaly(
    loss: LossName = Options.loss,
    *,
    noise: float = Options.noise,
    noise_kind: NoiseKind = Options.noise_kind,
) -> Objective:
    """Learn what is normal, by `reconstruction` or by `elbo`; the batches hold only normal rows.

    Args:
        loss: that of `reconstruction`, or "elbo" for a variational autoencoder.
        noise: strength of the noise to remove; see `add_noise`. None of it with "elbo".
        noise_kind: "gaussian" or "masking"; see `add_noise`.

    Raises:
        ConfigError: no such loss or kind of noise, or noise where there can be none.
    """
    one_of("loss", loss, get_args(LossName))
    if loss == "elbo":
        if noise:
            raise ConfigError(
                f"objective.options.noise: expected 0 with the loss elbo, received {noise:g}.",
                remedy="--set objective.options.noise=0, or the loss mse",
            )
        return replace(elbo(), name="anomaly")
    return replace(reconstruction(loss, noise=noise, noise_kind=noise_kind), name="anomaly")
