"""The reading of two networks trained against each other.

Their losses do not fall as one loss does: each is measured against an opponent that changes, so neither a
rise nor a level says anything by itself. What can be read is whether one of the two has won, by the verdicts
of the discriminator on real and generated images, and whether the generator still draws every class.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from pellucid.diagnosis.curves import ENOUGH, Series
from pellucid.diagnosis.words import few, figure, percent
from pellucid.record import Finding

CERTAIN = 0.95
"""A mean verdict beyond this, on both sides, leaves the generator little to learn from."""
COVERED = 0.5
"""The least share of classes that a generator which did not collapse draws often enough."""


@dataclass(frozen=True)
class Match:
    """What was recorded of a generator and a discriminator.

    Attributes:
        losses: [(step, value)] of each one's loss, one value an epoch, by name.
        d_real, d_fake: the same for the mean verdict on real and on generated images.
        probabilities: whether verdicts are probabilities; a critic's have no fixed scale.
        coverage: share of the classes that are drawn often enough, 0..1, at the end; None if not measured.
    """

    losses: Mapping[str, Series]
    d_real: Series = ()
    d_fake: Series = ()
    probabilities: bool = True
    coverage: float | None = None


def balance(match: Match) -> Finding:
    """Say whether one of the two has won, the generator collapsed, or they keep each other busy.

    Returns:
        A finding. Rules that ask for a change: non-finite, collapsed, discriminator-winning. Rules that
        inform: too-short, undecided, balanced, no-verdicts.
    """
    step = max((series[-1][0] for series in match.losses.values() if series), default=0)
    for question in (_non_finite, _too_short, _winning, _collapsed, _no_verdicts, _undecided):
        finding = question(match, step)
        if finding is not None:
            return finding
    real, fake = _last(match.d_real), _last(match.d_fake)
    return Finding(
        "balanced",
        "note",
        f"{_verdicts(real, fake)}: neither of the two has won.",
        f"How good the images are, neither verdicts nor losses say{_seen(match)}.",
        step=step,
        confidence=0.7,
    )


def _non_finite(match: Match, step: int) -> Finding | None:
    for name, series in match.losses.items():
        bad = next((at for at, value in series if not math.isfinite(value)), None)
        if bad is not None:
            return Finding(
                "non-finite",
                "error",
                f"The loss of the {name} was not a finite number at step {bad}.",
                "The weights have overflowed, or the data holds a value that is not a number.",
                "a smaller learning rate, or clipped gradients",
                {"train.clip_grad_norm": 1.0},
                step=bad,
            )
    return None


def _collapsed(match: Match, step: int) -> Finding | None:
    if match.coverage is None or match.coverage >= COVERED:
        return None
    return Finding(
        "collapsed",
        "warning",
        f"Only {percent(match.coverage)} of the classes turn up often enough among the generated images: "
        "the generator has collapsed onto a few, or its images are too poor to be told apart.",
        "A generator may draw a few kinds of image alone, where each by itself passes for real.",
        "let the discriminator see how much the images of a batch differ, or judge several at once",
        {"model.options.minibatch_std": True},
        step=step,
        confidence=0.9,
    )


def _too_short(match: Match, step: int) -> Finding | None:
    count = max((len(series) for series in match.losses.values()), default=0)
    if count >= ENOUGH:
        return None
    return Finding(
        "too-short",
        "note",
        f"{few(count, ENOUGH)}.",
        "Whether the two keep each other busy cannot be told yet.",
        "train longer",
        {"train.epochs": 2 * ENOUGH},
        step=step,
    )


def _winning(match: Match, step: int) -> Finding | None:
    """In each of the last epochs the discriminator was certain, on both sides."""
    if not match.probabilities or len(match.d_real) < ENOUGH or len(match.d_fake) < ENOUGH:
        return None
    certain = all(value >= CERTAIN for _, value in match.d_real[-ENOUGH:])
    if not certain or any(value > 1 - CERTAIN for _, value in match.d_fake[-ENOUGH:]):
        return None
    return Finding(
        "discriminator-winning",
        "warning",
        f"{_verdicts(_last(match.d_real), _last(match.d_fake))}: it is certain of both.",
        f"From verdicts that are certain a generator learns little{_seen(match)}.",
        "noise on all the discriminator sees, or a smaller learning rate for it",
        {"objective.options.instance_noise": 0.1},
        step=step,
        confidence=0.8,
    )


def _no_verdicts(match: Match, step: int) -> Finding | None:
    if match.probabilities and match.d_real and match.d_fake:
        return None
    losses = ", ".join(f"{name} {figure(_last(series))}" for name, series in match.losses.items() if series)
    return Finding(
        "no-verdicts",
        "note",
        f"Losses over the last epochs: {losses}." if losses else "No losses were recorded.",
        "They have no scale to be judged by, and do not say how good the images are: look at those"
        f"{_seen(match)}.",
        step=step,
    )


def _undecided(match: Match, step: int) -> Finding | None:
    """On average it took generated images for real as readily as real ones."""
    real, fake = _last(match.d_real), _last(match.d_fake)
    if real > fake:
        return None
    return Finding(
        "undecided",
        "note",
        f"{_verdicts(real, fake)}: it does not tell them apart.",
        "The images may be as good as real ones, or the discriminator too weak to judge them: its verdicts "
        f"do not say which{_seen(match)}.",
        step=step,
        confidence=0.7,
    )


def _verdicts(real: float, fake: float) -> str:
    return (
        f"Over the last {ENOUGH} epochs the discriminator gave real images a probability of {figure(real)} "
        f"of being real, and generated ones {figure(fake)}"
    )


def _seen(match: Match) -> str:
    """What was measured of the images themselves, to end a sentence with."""
    if match.coverage is None:
        return ""
    return f"; {percent(match.coverage)} of the classes turn up often enough among its images"


def _last(series: Series) -> float:
    """The mean of the last epochs."""
    values = [value for _, value in series[-ENOUGH:]]
    return sum(values) / len(values) if values else math.nan
