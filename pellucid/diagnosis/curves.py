"""Learning curves, and what can be asked of them without knowing what was trained.

Every comparison is relative to the run itself: two losses count as equal when they differ by no more than
the run's own epoch-to-epoch noise, so that one bad epoch is not an alarm; and where a curve ends is the
median of a few epochs, never a single one.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

Series = Sequence[tuple[int, float]]

ENOUGH = 3
"""Evaluations after a turn before it is believed."""
MATERIAL = 0.05
"""The smallest share of a loss that is worth a sentence, however quiet the run is."""
BAND = 4.0
"""Half-width of the band of equal losses, in standard errors of the run's own noise."""


@dataclass(frozen=True)
class Curves:
    """Curves on the steps where validation loss was measured; arrays of one length n >= 1.

    Attributes:
        epoch: the epochs done at each of them.
        step: the optimizer updates done.
        val: validation loss.
        train: training loss, or None where it was not recorded; so the accuracies, as shares of 1.
    """

    epoch: np.ndarray
    step: np.ndarray
    val: np.ndarray
    train: np.ndarray | None = None
    val_accuracy: np.ndarray | None = None
    train_accuracy: np.ndarray | None = None

    @property
    def best(self) -> int:
        """The index at which validation loss is lowest."""
        return int(np.argmin(self.val))

    def at(self, index: int) -> str:
        """Return a point of the curves in words, e.g. "epoch 3"."""
        return f"epoch {self.epoch[index]:g}"


def align(series: Mapping[str, Series]) -> Curves | None:
    """Bring every series to the steps at which validation loss was measured; None if it never was.

    Values that are not finite are left out.
    """
    val = _finite(series.get("val/loss"))
    if not val:
        return None
    steps = np.array([step for step, _ in val])

    def on_steps(key: str) -> np.ndarray | None:
        points = _finite(series.get(key))
        if not points:
            return None
        where, values = zip(*points, strict=True)
        return np.interp(steps, where, values)

    epoch = on_steps("epoch")
    return Curves(
        epoch=np.arange(1, len(val) + 1, dtype=float) if epoch is None else np.round(epoch, 2),
        step=steps,
        val=np.array([value for _, value in val], dtype=float),
        train=on_steps("train/loss"),
        val_accuracy=on_steps("val/accuracy"),
        train_accuracy=on_steps("train/accuracy"),
    )


def _finite(points: Series | None) -> Series:
    return [(step, value) for step, value in points or () if math.isfinite(value)]


def noise(values: np.ndarray) -> float:
    """The epoch-to-epoch scatter of a curve: a robust standard deviation with its trend removed.

    The third difference of white noise has sqrt(20) times its standard deviation, and of any parabola
    none; the median leaves out the few epochs where the curve bends. The first third, where it falls
    steeply, is left out as well.
    """
    late = values[len(values) // 3 :] if len(values) > 6 else values
    third = np.abs(np.diff(late, 3))
    return float(np.median(third)) * 1.4826 / math.sqrt(20) if len(third) else 0.0


def level(values: np.ndarray) -> float:
    """Where a curve ends: the median of its last epochs, which one bad epoch does not move."""
    return float(np.median(values[-ENOUGH:]))


def turned_up(values: np.ndarray) -> bool:
    """Whether a curve ends above its minimum by more than noise, several epochs after it."""
    best = int(np.argmin(values))
    if len(values) - 1 - best < ENOUGH:
        return False
    around = values[max(0, best - 1) : best + 2]
    trough = float(np.mean(around))
    band = BAND * noise(values) * math.sqrt(1 / ENOUGH + 1 / len(around))
    return level(values) - trough > max(band, MATERIAL * abs(trough))


def fell(values: np.ndarray, since: int) -> bool:
    """Whether a curve ends below where it was at index `since`, by more than noise."""
    drop = float(values[since]) - level(values)
    return drop > max(2 * noise(values), 0.01 * abs(float(values[since])))


def held(accuracy: np.ndarray, since: int) -> bool:
    """Whether an accuracy ends no lower than it was at index `since`, but for noise."""
    lost = float(accuracy[since]) - level(accuracy)
    return lost <= max(2 * noise(accuracy), MATERIAL * (1 - float(accuracy[since])))


def still_falling(values: np.ndarray) -> bool:
    """Whether a loss was still falling at its end, by more than noise, with its minimum there."""
    tail = last_epochs(len(values))
    if len(values) < ENOUGH or len(values) - 1 - int(np.argmin(values)) > 1:
        return False
    before = float(values[-tail - 1])
    band = BAND * noise(values) * math.sqrt(2)
    return before - float(values[-1]) > max(band, MATERIAL * abs(before))


def last_epochs(count: int) -> int:
    """Return how many of `count` epochs count as the last ones."""
    return max(1, min(5, count // 3))
