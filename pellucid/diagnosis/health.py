"""Is a watched loop learning? The symptom that causes are asked for.

A cause such as a learning rate is reported only for a loop that is measurably unhealthy: its loss is not
finite, grows, stays where guessing is, or falls far too slowly; or new rows are predicted by guessing.
"""

from __future__ import annotations

import itertools
import math
import statistics
from dataclasses import dataclass

from pellucid.diagnosis.watched import Watched

ENOUGH = 30
"""Steps before a loop is called slow or stuck."""
CHANCE = 0.02
"""An accuracy within this of the share of the commonest class counts as guessing."""
NEAR = 0.05
"""A loss within this share of that of guessing counts as guessing."""


@dataclass(frozen=True)
class Health:
    """How a loop is doing.

    Attributes:
        state: "non-finite", "diverging", "stuck", "slow", "unstable", "learning" or "early" (too few steps).
        start, end: the loss at the first and the last steps (trimmed means).
        low: the lowest loss of a stretch as long as the last.
        prior: loss of the best constant prediction; None if not known.
        peak: the highest loss.
        chance: the measure on new rows is that of always naming the commonest class.
    """

    state: str
    start: float = math.nan
    end: float = math.nan
    low: float = math.nan
    prior: float | None = None
    peak: float = math.nan
    chance: bool = False

    @property
    def ill(self) -> bool:
        """Whether something is measurably wrong."""
        return self.state not in {"learning", "early"} or self.chance

    @property
    def spiked(self) -> bool:
        """Whether the loss was once far above that of the start and of guessing."""
        return self.peak > 20 * max(self.start, self.prior or 0.0) > 0

    @property
    def far(self) -> bool:
        """Whether the first loss was far above that of guessing, which a good start is near to."""
        return self.prior is not None and self.start > 2.5 * self.prior > 0

    @property
    def poor(self) -> bool:
        """Whether less than half of the loss of guessing is gone; many healthy loops get no further."""
        return self.ill or (self.learned is not None and self.learned < 0.5)

    @property
    def learned(self) -> float | None:
        """The share of the loss of guessing that is gone, 1 at a loss of 0; None if it is not known."""
        return None if not self.prior or self.prior <= 0 else (self.prior - self.end) / self.prior


def health(watched: Watched) -> Health:
    """Read from its losses and measures how a loop is doing."""
    several = len(watched.optimizers) > 1
    values, prior = watched.finite, None if several else watched.batches.prior
    bad = [value for _, value in watched.losses if not math.isfinite(value)]
    if bad:
        return Health("non-finite", prior=prior)
    if len(values) < 5 or several:  # losses of opponents have no level that means anything
        return Health("early", prior=prior)
    width = max(3, min(len(values) // 10, 200))
    start, end = values[0], _level(values[-width:])
    early = _level(values[: min(width, 5)])
    low = min(_level(values[i : i + width]) for i in range(0, len(values) - width + 1, width))
    return Health(
        _state(values, start, early, end, low, prior),
        start,
        end,
        low,
        prior,
        max(values),
        _at_chance(watched),
    )


def _state(
    values: list[float], start: float, early: float, end: float, low: float, prior: float | None
) -> str:
    scale = prior if prior else max(abs(early), 1e-12)
    if end > max(2 * abs(early), 2 * scale) and end > early:
        return "diverging"
    if end > low + 0.5 * scale and low < early and len(values) >= ENOUGH:
        return "diverging"
    if len(values) < ENOUGH:
        return "early"
    if prior and prior > 0 and end > (1 - NEAR) * prior:
        return "slow" if start > 1.2 * prior and end < 0.8 * start else "stuck"
    if prior is None and early > 0 and end > (1 - NEAR) * early and end > 0:
        return "stuck"
    if _scatter(values) > 0.5 * scale and end > 0.3 * scale:
        return "unstable"
    return "learning"


def _level(values: list[float]) -> float:
    """The mean without the largest and smallest tenth: a few odd batches do not move it."""
    cut = len(values) // 10
    return statistics.fmean(sorted(values)[cut : len(values) - cut])


def _scatter(values: list[float]) -> float:
    """How far successive losses jump in the last half, as a median."""
    late = values[len(values) // 2 :]
    jumps = [abs(after - before) for before, after in itertools.pairwise(late)]
    return statistics.median(jumps) if jumps else 0.0


def _at_chance(watched: Watched) -> bool:
    """Whether an accuracy on new rows is no better than always naming the commonest class."""
    majority = watched.batches.majority
    if not majority or len(watched.batches.classes) < 2:
        return False
    series = accuracies(watched)
    return bool(series) and len(watched.finite) >= ENOUGH and max(series[-3:]) <= majority + CHANCE


def accuracies(watched: Watched) -> list[float]:
    """Return the values of the measure on new rows that is an accuracy, from 0 to 1; [] if none is.

    A measure without a name counts where each row has one class and no class is far commoner than others:
    elsewhere it may as well be an F1 score or an overlap.
    """
    look = watched.first
    rows = look is not None and look.targets is not None and len(look.targets.shape) == 1
    even = rows and watched.batches.majority < 0.7
    for name, series in watched.validations.items():
        values = [value for _, value in series]
        plain = (name == "metric" and even) or name == "acc" or "accuracy" in name.lower()
        if name not in watched.lower and plain and values and all(0 <= value <= 1 for value in values):
            return values
    return []
