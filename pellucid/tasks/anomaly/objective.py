"""The objective of one-class learning: reconstruct images of one class."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal, get_args, get_type_hints

from pellucid import models
from pellucid.config import Config
from pellucid.errors import ConfigError
from pellucid.tasks.anomaly.defects import detection
from pellucid.tasks.anomaly.reconstruction_score import FALSE_ALARM_RATE
from pellucid.tasks.elbo.objective import elbo
from pellucid.tasks.options import read_options
from pellucid.tasks.reconstruction.objective import NoiseKind, reconstruction
from pellucid.train.objective import Objective, one_of

LossName = Literal["mse", "mae", "bce", "elbo", "defects"]
DEFECTS: Literal["defects"] = "defects"


@dataclass(frozen=True)
class Options:
    """Options of the task; see `anomaly`.

    Attributes:
        loss: see `anomaly`; None: "defects" for a model that scores patches, else "mse".
        normal: the class to learn; None: the only one, or the one called good, normal, ok or healthy; where
            there are no classes, all images are normal.
        limit: the score above which an image counts as an anomaly; None: by `false_alarm_rate`.
        false_alarm_rate: the share of normal images that may count as anomalies, above 0 and below 1.
        examples: a folder with normal images in good/ and anomalies in other folders, which the limit is
            chosen from.
    """

    normal: str | int | float | bool | None = None
    loss: LossName | None = None
    noise: float = 0.0
    noise_kind: NoiseKind = "gaussian"
    limit: float | None = None
    false_alarm_rate: float = FALSE_ALARM_RATE
    examples: str | None = None


def loss_of(config: Config) -> LossName:
    """Return the loss of a config: the one it names, else the one that its model learns by."""
    named = read_options(Options, config).loss
    return named or (DEFECTS if _makes_patches(config.model.name) else "mse")


def by_patches(config: Config) -> bool:
    """Whether the model of a config scores patches, instead of reconstructing."""
    return loss_of(config) == DEFECTS


def _makes_patches(name: str) -> bool:
    """Whether the builder of a model returns one that is fitted to the patches of normal images."""
    if name not in models.BUILDERS and ":" not in name:
        return False
    builder = models.find(name)
    made = builder if isinstance(builder, type) else get_type_hints(builder).get("return")
    return hasattr(made, "fit_normal")


def anomaly(
    loss: LossName = "mse",
    *,
    noise: float = Options.noise,
    noise_kind: NoiseKind = Options.noise_kind,
) -> Objective:
    """Learn what is normal, by `reconstruction`, `elbo` or `detection`; the batches hold only normal rows.

    Args:
        loss: that of `reconstruction`; "elbo" for a variational autoencoder; or "defects" for a model that
            scores patches, which learns its features by finding artificial defects.
        noise: strength of the noise to remove; see `add_noise`. None of it with "elbo" and "defects".
        noise_kind: "gaussian" or "masking"; see `add_noise`.

    Raises:
        ConfigError: no such loss or kind of noise, or noise where there can be none.
    """
    one_of("loss", loss, get_args(LossName))
    if loss in ("elbo", DEFECTS) and noise:
        raise ConfigError(
            f"objective.options.noise: expected 0 with the loss {loss}, received {noise:g}.",
            remedy="--set objective.options.noise=0, or the loss mse",
        )
    if loss == DEFECTS:
        return detection()
    if loss == "elbo":
        return replace(elbo(), name="anomaly")
    return replace(reconstruction(loss, noise=noise, noise_kind=noise_kind), name="anomaly")
