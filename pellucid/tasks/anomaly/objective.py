"""One-class learning: give back the images of one class, and never see another."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

from pellucid.errors import ConfigError
from pellucid.tasks.reconstruction.objective import NoiseKind, elbo, reconstruction
from pellucid.train.objective import Objective, one_of

LOSSES = ("mse", "mae", "bce", "elbo")


def anomaly(
    loss: Literal["mse", "mae", "bce", "elbo"] = "mse",
    *,
    noise: float = 0.0,
    noise_kind: NoiseKind = "gaussian",
) -> Objective:
    """Learn what is normal, by `reconstruction` or by `elbo`; the batches hold normal rows alone.

    Args:
        loss: that of `reconstruction`, or "elbo" for a variational autoencoder.
        noise: how much of it is to be removed; see `spoil`. None of it with "elbo".
        noise_kind: "gaussian" or "masking"; see `spoil`.

    Raises:
        ConfigError: no such loss or kind of noise, or noise where there can be none.
    """
    one_of("loss", loss, LOSSES)
    if loss == "elbo":
        if noise:
            raise ConfigError(
                f"objective.options.noise: expected 0 with the loss elbo, received {noise:g}.",
                remedy="--set objective.options.noise=0, or the loss mse",
            )
        return replace(elbo(), name="anomaly")
    return replace(reconstruction(loss, noise=noise, noise_kind=noise_kind), name="anomaly")
