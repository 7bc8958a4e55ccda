"""Rules on a generator and a discriminator that are trained against each other.

Their losses do not fall as one loss does: each is measured against an opponent that changes, so neither a
rise nor a level means anything by itself. What can be read is whether one of the two has won, from the
outputs of the discriminator for real and generated images, and whether the generator covers every class.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from pellucid.diagnosis.curves import ENOUGH, Series
from pellucid.diagnosis.facts import Facts, GANCurves
from pellucid.diagnosis.rule import Check, Rule, first_of
from pellucid.diagnosis.wording import figure, percent
from pellucid.record import Finding

CERTAIN = 0.95
"""If the mean output is beyond this for both kinds of image, the generator has little to learn from."""
COVERED = 0.5
"""The smallest share of classes that a generator without mode collapse generates often enough."""
DIVERSE = 0.25
"""The smallest diversity, relative to real images, of a generator without mode collapse."""


def _on_gan(check: Callable[[GANCurves, int], Finding | None]) -> Check:
    """Return a check of facts that passes the curves of both networks and their last step."""

    def on_facts(facts: Facts) -> Finding | None:
        if facts.gan is None:
            return None
        step = max((series[-1][0] for series in facts.gan.losses.values() if series), default=0)
        return check(facts.gan, step)

    return on_facts


# ---- the checks --------------------------------------------------------------------------------------


def _winning(gan: GANCurves, step: int) -> Finding | None:
    """In each of the last epochs the discriminator was certain of both kinds of image."""
    if not gan.probabilities or len(gan.d_real) < ENOUGH or len(gan.d_fake) < ENOUGH:
        return None
    certain = all(value >= CERTAIN for _, value in gan.d_real[-ENOUGH:])
    if not certain or any(value > 1 - CERTAIN for _, value in gan.d_fake[-ENOUGH:]):
        return None
    return Finding(
        "discriminator-winning",
        "warning",
        f"{_outputs(gan)}: it is certain of both.",
        f"A generator learns little from a discriminator that is certain{_coverage(gan)}.",
        "noise on the discriminator's inputs, or a smaller learning rate for it",
        {"objective.options.instance_noise": 0.1},
        step=step,
        confidence=0.8,
    )


def _collapsed(gan: GANCurves, step: int) -> Finding | None:
    if gan.coverage is not None and gan.coverage < COVERED:
        seen = (
            f"Only {percent(gan.coverage)} of the classes appear often enough among the generated images: "
            "the generator has collapsed to a few of them, or its images are too poor to be classified."
        )
    elif gan.diversity is not None and gan.diversity < DIVERSE:
        seen = (
            f"The generated images are only {percent(gan.diversity)} as diverse as real ones: "
            "the generator has collapsed to a few images."
        )
    elif gan.feature_diversity is not None and gan.feature_diversity < DIVERSE:
        seen = (
            "In the features of a random network, the generated images are only "
            f"{percent(gan.feature_diversity)} as diverse as real ones, though their pixels differ: the "
            "generator has collapsed to a few images, shifted or with other noise."
        )
    else:
        return None
    return Finding(
        "collapsed",
        "warning",
        seen,
        "A generator can fool the discriminator with a few kinds of image if each one looks real by itself.",
        "minibatch discrimination, so that the discriminator sees how much the images of a batch differ",
        {"model.options.minibatch_std": True},
        step=step,
        confidence=0.9,
    )


def _no_outputs(gan: GANCurves, step: int) -> Finding | None:
    if gan.probabilities and gan.d_real and gan.d_fake:
        return None
    losses = ", ".join(f"{name} {figure(_last(series))}" for name, series in gan.losses.items() if series)
    return Finding(
        "no-discriminator-outputs",
        "note",
        f"Mean losses of the last epochs: {losses}." if losses else "No losses were recorded.",
        f"They have no fixed scale and do not measure image quality: look at the images{_coverage(gan)}.",
        step=step,
    )


def _undecided(gan: GANCurves, step: int) -> Finding | None:
    """On average, it rated generated images as real at least as highly as real ones."""
    if _last(gan.d_real) > _last(gan.d_fake):
        return None
    return Finding(
        "undecided",
        "note",
        f"{_outputs(gan)}: it cannot tell them apart.",
        "Either the images look real or the discriminator is too weak to recognize them; its outputs do not "
        f"show which{_coverage(gan)}.",
        step=step,
        confidence=0.7,
    )


def _balanced(gan: GANCurves, step: int) -> Finding:
    return Finding(
        "balanced",
        "note",
        f"{_outputs(gan)}: neither network has won.",
        f"These numbers do not measure the quality of the images{_coverage(gan)}.",
        step=step,
        confidence=0.7,
    )


RULES = first_of(
    Rule("discriminator-winning", ("gan",), _on_gan(_winning), at_end=True),
    Rule("collapsed", ("gan",), _on_gan(_collapsed), at_end=True),
    Rule("no-discriminator-outputs", ("gan",), _on_gan(_no_outputs)),
    Rule("undecided", ("gan",), _on_gan(_undecided)),
    Rule("balanced", ("gan",), _on_gan(_balanced)),
    after=("non-finite-loss", "too-short"),
)


# ---- words -------------------------------------------------------------------------------------------


def _outputs(gan: GANCurves) -> str:
    return (
        f"Over the last {ENOUGH} epochs the discriminator gave real images a mean probability of "
        f"{figure(_last(gan.d_real))} of being real, and generated images {figure(_last(gan.d_fake))}"
    )


def _coverage(gan: GANCurves) -> str:
    """What was measured of the images themselves, to end a sentence with."""
    if gan.coverage is None:
        return ""
    return f"; {percent(gan.coverage)} of the classes appear often enough among them"


def _last(series: Series) -> float:
    """The mean of the last epochs."""
    values = [value for _, value in series[-ENOUGH:]]
    return sum(values) / len(values) if values else math.nan
