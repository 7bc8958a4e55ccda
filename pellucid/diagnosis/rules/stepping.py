"""How often, how far and with what an optimizer steps: faults of accumulation, scaling and schedules."""

from __future__ import annotations

import math

from pellucid.diagnosis.asking import by_health, median_ratio, symptom, watched_rules
from pellucid.diagnosis.health import Health
from pellucid.diagnosis.watched import Look, Watched
from pellucid.diagnosis.wording import figure
from pellucid.record import Finding

SEVERAL = 1.8
"""Backward passes for each step from which gradients are called accumulated."""
RARE = 16
"""Backward passes for each step from which steps are called rare."""
HIGH = 0.02
"""An update relative to the weights that is larger than usual."""
HUGE = 0.4
"""One that is too large even where the loss falls."""


def _never_steps(watched: Watched) -> Finding | None:
    """One of several optimizers never steps."""
    idle = [i for i, one in enumerate(watched.optimizers) if one.parameters and not one.steps]
    if len(watched.optimizers) < 2 or watched.loop.attended < 10 or not watched.loop.steps or not idle:
        return None
    one = watched.optimizers[idle[0]]
    return Finding(
        "optimizer-never-steps",
        "warning",
        f"Optimizer {idle[0] + 1} of {len(watched.optimizers)} ({one.kind}, {one.parameters} parameters) "
        f"did not step in {watched.loop.attended} steps; others did.",
        "Its parameters stay as they were at the start.",
        "call step() of each optimizer after backward",
        where="optimizer",
        confidence=0.85,
    )


def _large_steps(watched: Watched, state: Health) -> bool:
    """Whether steps are too large and as long as the gradients, which those of Adam are not."""
    if any(one.adaptive for one in watched.optimizers):
        return False
    stepped = [look for look in watched.looks if look.updates][:4]
    largest = max((median_ratio(look) or 0.0 for look in stepped), default=0.0)
    return largest > (HIGH if state.ill or state.spiked else HUGE) and not state.end < 0.1 * state.start


def _accumulated(watched: Watched, state: Health) -> Finding | None:
    """Gradients of several backward passes, each of a whole mean loss, are summed; steps are too large."""
    loop = watched.loop
    usual = watched.expected is not None and watched.first is not None
    if len(watched.optimizers) != 1 or loop.steps < 3 or loop.backwards < SEVERAL * loop.steps:
        return None
    if not usual or not _near(watched, 1.0) or not _large_steps(watched, state):
        return None
    count = round(loop.backwards / loop.steps)
    return Finding(
        "accumulation-not-divided",
        "warning",
        f"{symptom(state)}. Each step follows {count} backward passes, and the loss of each is a whole "
        "mean over its rows.",
        f"Gradients add up, so each step is {count} times as long as one on the mean of all rows.",
        f"(loss / {count}).backward()",
        where="loop",
        confidence=0.87,
    )


def _summed(watched: Watched, state: Health) -> Finding | None:
    """The loss is a sum over rows, and the steps are too large."""
    rows = watched.batches.rows
    if rows < 8 or not _near(watched, rows) or not _large_steps(watched, state):
        return None
    return Finding(
        "loss-summed",
        "warning",
        f"{symptom(state)}. The loss is a sum over the {rows} rows of a batch, not their mean.",
        f"Gradients are {rows} times those of a mean, and grow with the batch: a usual learning rate is too "
        "large.",
        "reduction='mean', or loss / rows",
        where="loss",
        confidence=0.88,
    )


def _near(watched: Watched, times: float) -> bool:
    """Whether the first loss is about the usual one multiplied by this number."""
    first, expected = watched.first, watched.expected
    return first is not None and bool(expected) and 0.8 < first.loss / (times * (expected or 1.0)) < 1.25


def _scaled_clip(watched: Watched) -> Finding | None:
    """Gradients were clipped while they were multiplied by the factor of a GradScaler."""
    found = [one for look in watched.looks if (one := _clip_and_scale(look)) is not None]
    if len(found) < 3 or len(found) < 0.7 * len(watched.looks) or len({clip for _, clip in found}) > 1:
        return None
    scale, clip = found[-1]
    return Finding(
        "clipped-while-scaled",
        "error",
        f"At the step the gradients have a norm of {figure(clip / scale)}: {clip:g} divided by {scale:,.0f}.",
        "They were clipped while a GradScaler had multiplied them, and divided afterwards: what is left "
        "is far too small.",
        "scaler.unscale_(optimizer) before clip_grad_norm_",
        where="loop",
        confidence=0.9,
    )


def _clip_and_scale(look: Look) -> tuple[float, float] | None:
    """The factor of a scaler and the limit of the norm that explain the gradients; None if none do."""
    squares = [(one.grad_rms, math.prod(one.shape)) for one in look.parameters if one.grad_rms is not None]
    norm = math.sqrt(sum(rms * rms * count for rms, count in squares))
    if not 1e-12 < norm < 5e-3:
        return None
    for clip in (1.0, 5.0, 0.1):
        power = math.log2(clip / norm)
        if 10 <= round(power) <= 24 and abs(power - round(power)) < 0.02:
            return 2.0 ** round(power), clip
    return None


def _rare(watched: Watched, state: Health) -> Finding | None:
    loop = watched.loop
    if loop.attended < 20 or loop.backwards < RARE * max(1, loop.steps) or not state.poor:
        return None
    moving = sum(any(one.update_rms for one in look.parameters) for look in watched.looks)
    if len(watched.optimizers) != 1 or watched.optimizers[0].foreign or moving > 0.5 * len(watched.looks):
        return None  # of other parameters, or weights are changed by hand
    return Finding(
        "steps-rare",
        "warning",
        f"{symptom(state)}. In {loop.attended} of {watched.steps:,} turns of the loop, which were looked "
        f"at, there were {loop.backwards} backward passes and {_times(loop.steps)} of the optimizer.",
        "Weights change once for many batches: optimizer.step() stands outside of the loop over batches, or "
        "gradients of too many batches are accumulated.",
        "optimizer.step() and zero_grad() inside of the loop over batches",
        where="loop",
        confidence=0.86,
    )


def _times(steps: int) -> str:
    return f"{steps or 'no'} step{'s' if steps > 1 else ''}"


def _rate_squared(watched: Watched) -> Finding | None:
    """A schedule returns a rate where it should return a factor, so that the rate is squared."""
    one = watched.optimizers[0] if watched.optimizers else None
    initial = one.initial_lr if one else None
    highest = max((rate for _, rate in watched.rates), default=0.0)
    if not initial or initial > 0.1 or watched.steps < 20 or not 0.2 < highest / initial**2 < 1.5:
        return None
    middle, last = watched.rates[len(watched.rates) // 2][1], watched.rates[-1][1]
    if last > 1.2 * middle:
        return None  # it is still being warmed up
    return Finding(
        "schedule-returns-rate",
        "error",
        f"The learning rate was at most {highest:.2g}, and the optimizer was made with {initial:g}.",
        "The function of LambdaLR returns a factor by which that rate is multiplied; this one returns "
        "the rate itself, so the rate is squared.",
        "return rate / initial_rate, or 1.0 for the rate that the optimizer was made with",
        where="schedule",
        confidence=0.92,
    )


RULES = watched_rules(
    ("optimizer-never-steps", _never_steps, ("optimizer-of-other-parameters",)),
    ("accumulation-not-divided", by_health(_accumulated), ("gradients-removed", "missing-zero-grad")),
    ("loss-summed", by_health(_summed), ()),
    ("clipped-while-scaled", _scaled_clip, ()),
    (
        "steps-rare",
        by_health(_rare),
        ("no-step", "zero-grad-before-step", "graph-broken", "accumulation-not-divided"),
    ),
    ("schedule-returns-rate", _rate_squared, ()),
)
