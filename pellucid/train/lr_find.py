"""Find a learning rate: increase it exponentially, record the loss, and take the middle of its descent.

The range test of Smith (2017), made robust: several ramps from the same initial weights, each on other
batches; the median over the ramps, so that a spike in one of them does not count; smoothing in both
directions, which does not shift the curve. The loss of a model that learns is flat while the rate is too
small, then falls, and rises again: the basin. If there is none, no rate is suggested, and an error says why.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.optim import Optimizer

from pellucid.batch import map_tensors
from pellucid.errors import TrainingError
from pellucid.train.optimizers import optimizer as named_optimizer

Batch = Any
Curve = NDArray[np.float64]

LOWEST_LR = 1e-6
HIGHEST_LR = 3.0
DIVERGED = 3.0  # a ramp ends when its smoothed loss is this many times its best
SMOOTHING = 0.8  # share of the past in the smoothed loss
SETTLE = 0.1  # share of a ramp, at its start, that says what the untrained loss is
LEAST_DROP = 0.02  # share of the untrained loss that has to be gained
NOISE_DROP = 1.0  # and how many standard deviations of one batch; the smoothed curve has a quarter of it
MARGIN = 3.0  # how many times below the bottom of the basin a suggestion stays


@dataclass(frozen=True)
class LrSuggestion:
    """A learning rate, and the curve it was read from.

    Attributes:
        lr: the suggestion.
        lrs: the rates that were tried, increasing.
        losses: the median loss over the ramps at each rate; NaN after most ramps had ended.
        smoothed: the smoothed losses.
        restarts: the loss of each ramp at each rate; NaN after it ended.
        reason: how the suggestion follows from the curve, in words.
    """

    lr: float
    lrs: list[float]
    losses: list[float]
    smoothed: list[float]
    restarts: list[list[float]]
    reason: str


def _adamw(model: nn.Module, lr: float) -> Optimizer:
    return named_optimizer("adamw", model, lr=lr)


def lr_find(
    model: nn.Module,
    batches: Iterable[Batch],
    loss: Callable[[nn.Module, Batch], Tensor],
    *,
    optimizer: Callable[..., Optimizer] = _adamw,
    lowest: float = LOWEST_LR,
    highest: float = HIGHEST_LR,
    steps: int = 80,
    restarts: int = 3,
) -> LrSuggestion:
    """Suggest a learning rate; the model and torch's random state do not change.

    Args:
        model: any module, trained or not.
        batches: batches for `loss`; repeated when they end.
        loss: (model, batch) -> scalar, as in a `Phase`.
        optimizer: called as optimizer(model, lr=lr); AdamW by default.
        lowest: learning rate at the start of every ramp.
        highest: learning rate at the end of a ramp, unless it diverges first.
        steps: updates per ramp.
        restarts: number of ramps.

    Raises:
        TrainingError: there is no batch, the loss is not finite at the start, or there is no basin: the loss
            never falls by more than its noise.
    """
    lrs = np.geomspace(lowest, highest, steps)
    stream = _endless(batches)
    with torch.random.fork_rng(), torch.enable_grad():
        # A copy is trained, so there is nothing to restore.
        ramps = [_ramp(copy.deepcopy(model), stream, loss, optimizer, lrs) for _ in range(restarts)]
    return _read(lrs, np.array(ramps))


# ---- measuring ---------------------------------------------------------------------------------


def _ramp(
    model: nn.Module,
    stream: Iterator[Batch],
    loss: Callable[[nn.Module, Batch], Tensor],
    make_optimizer: Callable[..., Optimizer],
    lrs: Curve,
) -> Curve:
    """Train with increasing rates; return the loss before each update, NaN after it has diverged."""
    model.train()
    made = make_optimizer(model, lr=float(lrs[0]))
    shares = [group["lr"] / float(lrs[0]) for group in made.param_groups]
    device = next(model.parameters()).device
    losses = np.full(len(lrs), np.nan)
    average, best = 0.0, math.inf
    for index, (lr, batch) in enumerate(zip(lrs, stream, strict=False)):
        for group, share in zip(made.param_groups, shares, strict=True):
            group["lr"] = float(lr) * share
        value = loss(model, map_tensors(lambda tensor: tensor.to(device), batch))
        made.zero_grad()
        value.backward()
        made.step()
        current = value.item()
        if not math.isfinite(current):
            break
        losses[index] = current
        average = SMOOTHING * average + (1 - SMOOTHING) * current
        corrected = average / (1 - SMOOTHING ** (index + 1))
        best = min(best, corrected)
        if corrected > DIVERGED * best and index > SETTLE * len(lrs):
            break
    return losses


def _endless(batches: Iterable[Batch]) -> Iterator[Batch]:
    """Repeat the batches endlessly."""
    while True:
        empty = True
        for batch in batches:
            empty = False
            yield batch
        if empty:
            raise TrainingError("lr_find expects at least one batch, received none.")


# ---- reading the curve -------------------------------------------------------------------------


def _read(lrs: Curve, ramps: Curve) -> LrSuggestion:
    """Find the basin in ramps (restarts, steps) of losses."""
    length = _usable_steps(lrs, ramps)
    losses = np.nanmedian(ramps[:, :length], axis=0)
    settle = max(3, round(SETTLE * len(lrs)))
    untrained, noise = float(np.median(losses[:settle])), float(np.nanstd(ramps[:, :settle]))
    ceiling = untrained + (untrained - losses.min())  # how far up a rise is followed
    smoothed = _smooth(np.minimum(losses, ceiling))
    best = float(smoothed.min())
    drop, needed = untrained - best, max(LEAST_DROP * abs(untrained), NOISE_DROP * noise)
    if drop <= needed:
        raise TrainingError(
            f"No learning rate from {lrs[0]:.0e} to {lrs[length - 1]:.0e} makes the loss fall: "
            f"expected it to lose more than {needed:.2g} of {untrained:.4g}, received {drop:.2g}.",
            remedy="check that targets belong to their inputs, that inputs are normalized and that the "
            "model's parameters are trained; or set optimizer.lr by hand",
        )
    middle = float(lrs[np.argmax(smoothed <= untrained - 0.5 * drop)])
    bottom = float(lrs[np.argmax(smoothed <= untrained - 0.95 * drop)])
    lr = float(f"{min(middle, bottom / MARGIN):.1e}")  # two digits: more would claim more than was measured
    return LrSuggestion(
        lr=lr,
        lrs=lrs.tolist(),
        losses=_padded(losses, len(lrs)),
        smoothed=_padded(smoothed, len(lrs)),
        restarts=ramps.tolist(),
        reason=f"In {len(ramps)} trials the loss fell from {untrained:.3g} to {best:.3g}: "
        f"by half of that at {middle:.1e}, and by 95 % of it at {bottom:.1e}. At {lr:.1e} it falls fast, "
        f"and this is at least {MARGIN:g} times smaller than {bottom:.1e}.",
    )


def _usable_steps(lrs: Curve, ramps: Curve) -> int:
    """Return the number of steps that at least half of the ramps have finished.

    Raises:
        TrainingError: there are too few.
    """
    alive = np.isfinite(ramps).mean(axis=0) >= 0.5
    length = len(alive) if alive.all() else int(np.argmin(alive))
    if length < max(3, 2 * SETTLE * len(lrs)):
        raise TrainingError(
            f"The loss is not a number, or grows without bound, after {length} updates, at a rate of "
            f"{lrs[length]:.0e} already.",
            remedy="check the inputs and targets for NaN and for very large values: `pellucid inspect DATA`",
        )
    return length


def _smooth(values: Curve) -> Curve:
    """Smooth exponentially with bias correction, forward and backward, so that the curve is not shifted."""
    return (_smooth_forward(values) + _smooth_forward(values[::-1])[::-1]) / 2


def _smooth_forward(values: Curve) -> Curve:
    average, smoothed = 0.0, np.empty_like(values)
    for index, value in enumerate(values):
        average = SMOOTHING * average + (1 - SMOOTHING) * value
        smoothed[index] = average / (1 - SMOOTHING ** (index + 1))
    return smoothed


def _padded(values: Curve, length: int) -> list[float]:
    return [*values.tolist(), *[math.nan] * (length - len(values))]
