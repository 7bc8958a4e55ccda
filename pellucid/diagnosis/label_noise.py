"""How many labels are wrong, and which: from the margins of training rows, without knowing the noise rate.

A wrong label has a margin far below zero, since the model keeps saying something else (Pleiss et al. 2020,
`pellucid.train.margins`). The margins of right labels have one mode with a tail of hard rows to its left. A
mixture is fitted to the histogram of all margins: a normal distribution for wrong labels, and for right ones
two halves of normal distributions that meet at the mode, with a width each. Rows left of where the two cross
are suspected. Where the margins do not show two groups, only those as far below zero as a usual one is above
it are suspected, and nothing is said of how many labels are wrong.
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

TABLE = "evaluation/label-margins.parquet"
"""All training rows with their margins, within a run folder."""
ROWS = "evaluation/label-rows.parquet"
"""The most suspicious rows with their pictures or texts, within a run folder."""

BINS, ROUNDS = 300, 200
SEPARATION = 1.3
"""Distance of the two modes, in units of the widths on the sides that face each other, for two groups."""
GAIN = 0.006
"""Log-likelihood a row that two groups gain over one, in nats, at least."""
EVIDENCE = 25.0
"""The same of all rows together."""
FEWEST = 10
"""Rows that a group has at least."""
CERTAIN, USUAL = 1.5, 0.5
"""Where even the 95th percentile of the margins is below the first, and their median below the second, every
label is nearly as likely as another one: all rows below zero are suspected, and no groups are looked for."""


@dataclass(frozen=True)
class Mixture:
    """Two groups of margins.

    Attributes:
        share: of wrong labels, 0..1.
        wrong: mean and standard deviation of their margins.
        right: mode of the margins of right labels, and their widths to its left and right.
        crossing: the margin at which a label is as likely wrong as right.
        gain: log-likelihood a row over one group, in nats.
    """

    share: float
    wrong: tuple[float, float]
    right: tuple[float, float, float]
    crossing: float = 0.0
    gain: float = 0.0

    @property
    def separation(self) -> float:
        """How far apart the groups are, in their widths."""
        return (self.right[0] - self.wrong[0]) / (self.wrong[1] + self.right[1])

    def probability(self, margins: np.ndarray) -> np.ndarray:
        """Return the probability that each label is wrong, 0..1."""
        return self.share * _normal(margins, *self.wrong) / (self.density(margins) + 1e-300)

    def density(self, margins: np.ndarray) -> np.ndarray:
        """Return the density of margins."""
        right = (1 - self.share) * _two_halves(margins, *self.right)
        return self.share * _normal(margins, *self.wrong) + right


@dataclass(frozen=True)
class Estimate:
    """What the margins of N rows say about their labels.

    Attributes:
        suspect: (N,) whether a label is suspected.
        ranked: (N,) row numbers, the most suspicious first.
        threshold: the margin below which labels are suspected.
        mixture: two groups, where the margins show them; else None.
        pairs: (label, other, rows) of the suspected rows, the most frequent first.
    """

    suspect: np.ndarray
    ranked: np.ndarray
    threshold: float
    mixture: Mixture | None
    precision: float | None
    pairs: tuple[tuple[int, int, int], ...]

    @property
    def count(self) -> int:
        """Suspected rows."""
        return int(self.suspect.sum())

    def facts(self, classes: list[str]) -> dict[str, Any]:
        """Return what `run.json` holds."""
        mixture = self.mixture
        return {
            "rows": len(self.suspect),
            "suspected": self.count,
            "threshold": round(self.threshold, 4),
            "two_groups": mixture is not None,
            "wrong": None if mixture is None else round(mixture.share * len(self.suspect)),
            "precision": self.precision,
            "separation": None if mixture is None else round(mixture.separation, 3),
            "pairs": [[classes[label], classes[other], rows] for label, other, rows in self.pairs],
        }


def estimate(label: np.ndarray, margin: np.ndarray, epochs: np.ndarray, other: np.ndarray) -> Estimate:
    """Say which labels are suspected.

    Args:
        label: (N,) the class of each row.
        margin: (N,) averaged over epochs.
        epochs: (N,) how often a row was seen; rows that never were are not suspected.
        other: (N,) what the model says instead.
    """
    seen = np.flatnonzero((epochs > 0) & np.isfinite(margin))
    known = margin[seen].astype(np.float64)
    mixture, threshold = None, 0.0
    if len(seen) and not _is_uncertain(known):
        mixture = fit_mixture(known) if len(seen) >= 4 * FEWEST else None
        if mixture is not None and not _are_two(mixture, len(seen)):
            mixture = None
        threshold = min(-float(np.median(known)) if mixture is None else mixture.crossing, 0.0)
    suspect = np.zeros(len(margin), bool)
    suspect[seen[known < threshold]] = True
    precision = None
    if mixture is not None and suspect.any():
        precision = round(float(mixture.probability(margin[suspect]).mean()), 3)
    ranked = seen[np.argsort(known, kind="stable")]
    pairs = Counter(zip(label[suspect].tolist(), other[suspect].tolist(), strict=True))
    listed = tuple((a, b, rows) for (a, b), rows in pairs.most_common(5))
    return Estimate(suspect, ranked, threshold, mixture, precision, listed)


def _are_two(mixture: Mixture, rows: int) -> bool:
    return (
        mixture.wrong[0] < 0
        and mixture.separation >= SEPARATION
        and mixture.gain >= GAIN
        and mixture.gain * rows >= EVIDENCE
        and mixture.share * rows >= FEWEST
    )


def _is_uncertain(margins: np.ndarray) -> bool:
    return bool(np.quantile(margins, 0.95) < CERTAIN and np.median(margins) < USUAL)


# ---- the mixture ---------------------------------------------------------------------------------------


def fit_mixture(margins: np.ndarray) -> Mixture | None:
    """Fit two groups to margins (N,) by expectation maximization on their histogram; None: there is one."""
    low, high = np.quantile(margins, [0.0005, 0.9995])
    if not high > low:
        return None
    counts, edges = np.histogram(np.clip(margins, low, high), np.linspace(low, high, BINS + 1))
    x, width, counts = (edges[1:] + edges[:-1]) / 2, edges[1] - edges[0], counts.astype(np.float64)
    one = _fit_two_halves(x, counts, width)
    alone = float((counts * np.log(_two_halves(x, *one) * width + 1e-12)).sum())
    best: tuple[float, Mixture] | None = None
    for share in (0.02, 0.1, 0.3, 0.45):
        start = np.clip((x - np.quantile(margins, share)) / (0.3 * margins.std()), -30, 30)
        likelihood, found = _maximize(x, counts, width, 1 / (1 + np.exp(start)))
        if found.wrong[0] < found.right[0] and (best is None or likelihood > best[0]):
            gain = (likelihood - alone) / len(margins)
            best = likelihood, replace(found, gain=gain)
    return None if best is None else best[1]


def _maximize(x: np.ndarray, counts: np.ndarray, width: float, belongs: np.ndarray) -> tuple[float, Mixture]:
    """Improve the probabilities (BINS,) that rows belong to the wrong labels, until they stay."""
    found = _fit_both(x, counts, width, belongs)
    for _ in range(ROUNDS):
        before, belongs = belongs, found.probability(x)
        if np.abs(belongs - before).max() < 1e-4:
            break
        found = _fit_both(x, counts, width, belongs)
    density = found.density(x)
    behind = np.flatnonzero((found.probability(x) < 0.5) & (x > found.wrong[0]))
    crossing = float(x[behind[0]]) if len(behind) else found.right[0]
    likelihood = float((counts * np.log(density * width + 1e-300)).sum())
    return likelihood, replace(found, crossing=crossing)


def _fit_both(x: np.ndarray, counts: np.ndarray, width: float, belongs: np.ndarray) -> Mixture:
    share, wrong = _fit_normal(x, counts, belongs, width)
    return Mixture(share, wrong, _fit_two_halves(x, counts * (1 - belongs) + 1e-9, width))


def _fit_normal(
    x: np.ndarray, counts: np.ndarray, belongs: np.ndarray, width: float
) -> tuple[float, tuple[float, float]]:
    weights = counts * belongs + 1e-9
    mean = float((weights * x).sum() / weights.sum())
    deviation = math.sqrt(float((weights * (x - mean) ** 2).sum() / weights.sum()))
    return float(weights.sum() / counts.sum()), (mean, max(deviation, 2 * width))


def _fit_two_halves(x: np.ndarray, counts: np.ndarray, width: float) -> tuple[float, float, float]:
    """Return the most likely mode, and the widths to its left and right.

    For a given mode both widths have a closed form, so every bin is tried as the mode (John 1982, "The
    three-parameter two-piece normal family of distributions and its fitting").
    """
    below, total = [], []
    for power in range(3):
        terms = counts * x**power
        below.append(np.cumsum(terms) - terms / 2)
        total.append(terms.sum())
    left = below[2] - 2 * x * below[1] + x * x * below[0]
    right = (total[2] - below[2]) - 2 * x * (total[1] - below[1]) + x * x * (total[0] - below[0])
    a, b = np.cbrt(np.maximum(left, 1e-9)), np.cbrt(np.maximum(right, 1e-9))
    mode = int((a + b).argmin())
    scale = math.sqrt(float((a + b)[mode] / counts.sum()))
    return float(x[mode]), max(float(a[mode]) * scale, 2 * width), max(float(b[mode]) * scale, 2 * width)


def _normal(x: np.ndarray, mean: float, deviation: float) -> np.ndarray:
    return np.exp(-0.5 * ((x - mean) / deviation) ** 2) / (deviation * math.sqrt(2 * math.pi))


def _two_halves(x: np.ndarray, mode: float, left: float, right: float) -> np.ndarray:
    scaled = (x - mode) / np.where(x < mode, left, right)
    return math.sqrt(2 / math.pi) / (left + right) * np.exp(-0.5 * scaled**2)
