"""Pieces of records."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from pellucid.diagnosis.watched import Batches, Look, Loop, ParameterLook, Spread, Watched

PRIOR = 2.3026
"""The loss of guessing one of ten classes."""
STUCK = tuple((step, 2.3) for step in range(1, 101))
FALLING = tuple((step, 2.3 * 0.96**step + 0.05) for step in range(1, 101))
BATCHES = Batches(rows=32, seen=20, distinct=20, prior=PRIOR)
DONE = Loop(attended=30, forwards=30, backwards=30, steps=30)


def by_epoch(values: Sequence[float], steps: int = 100) -> list[tuple[int, float]]:
    """Return a curve with one value an epoch."""
    return [(steps * epoch, float(value)) for epoch, value in enumerate(values, start=1)]


def curves(**named: Sequence[float]) -> dict[str, list[tuple[int, float]]]:
    """Return series; val_loss= is "val/loss"."""
    series = {name.replace("_", "/", 1): by_epoch(values) for name, values in named.items()}
    return series | {"epoch": by_epoch(range(1, len(named["val_loss"]) + 1))}


def loop(losses: Sequence[tuple[int, float]] = FALLING, **more: Any) -> Watched:
    """Return a loop of 100 steps that learns."""
    return Watched(steps=len(losses), losses=losses, **{"batches": BATCHES, "loop": DONE, **more})


def stuck(**more: Any) -> Watched:
    """Return a loop whose loss stays where guessing is."""
    return loop(STUCK, **more)


def values(shape: tuple[int, ...], mean: float = 0.0, std: float = 1.0, **more: Any) -> Spread:
    """Return a tensor of real numbers."""
    rms = float(np.hypot(mean, std))
    return Spread(
        shape, "float32", **{"mean": mean, "std": std, "rms": rms, "low": -3.0, "high": 3.0, **more}
    )


def classes(rows: int = 32, most: int = 9) -> Spread:
    """Return targets that are classes."""
    return Spread((rows,), "int64", mean=most / 2, std=most / 3, low=0, high=most)


def weight(name: str, shape: tuple[int, ...] = (64, 64), rms: float = 0.072, **more: Any) -> ParameterLook:
    """Return a weight that is trained as usual: a gradient of 0.01, and updates of a thousandth."""
    usual = {"grad_rms": 0.01, "backward_rms": 0.01, "update_rms": rms / 1000, "lr": 1e-3}
    return ParameterLook(name, shape, **{"trainable": True, "optimized": True, "rms": rms, **usual, **more})


def looks(*parameters: ParameterLook, count: int = 3, **more: Any) -> tuple[Look, ...]:
    """Return several looks at the same parameters."""
    return tuple(Look(step, 2.3, parameters=parameters, **more) for step in (1, 10, 100)[:count])
