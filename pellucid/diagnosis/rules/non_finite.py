"""Losses that are infinite or not a number."""

from __future__ import annotations

import math

from pellucid.diagnosis.facts import Facts
from pellucid.diagnosis.rule import Rule
from pellucid.diagnosis.rules.values import EXPLAINED, loss_in_loop
from pellucid.diagnosis.wording import figure
from pellucid.record import Finding

INPUTS = "inputs"
TARGETS = "targets"
LOSS = "loss"
"""Places of a loss that was caught which are not modules or parameters."""

SMALLER = "a learning rate ten times smaller, or gradient clipping"
DATA = "check the data: fill in or remove values that are missing, infinite or not a number"


def check(facts: Facts) -> Finding | None:
    """Report the loss that was caught during training, or the first one on record, of a run or a loop."""
    if facts.caught is not None:
        caught = facts.caught
        seen = f"The loss became {figure(caught.value)} at step {caught.step + 1}: {caught.what}."
        return _finding(facts, seen, caught.step, caught.where)
    for name, series in (facts.losses or {}).items():
        bad = next((step for step, value in series if not math.isfinite(value)), None)
        if bad is not None:
            return _finding(facts, f"The {name} loss was not a finite number at step {bad:,}.", bad)
    return None if facts.watched is None else loss_in_loop(facts.watched)


def _finding(facts: Facts, seen: str, step: int, where: str = "") -> Finding:
    smaller = {"train.clip_grad_norm": 1.0, **facts.setting.lower_lr}
    means, remedy = _cause(where, facts.setting.own_loss)
    return Finding(
        "non-finite-loss",
        "error",
        seen,
        means,
        remedy,
        {} if where in (INPUTS, TARGETS) else smaller,
        where,
        step,
    )


def _cause(where: str, own_loss: str) -> tuple[str, str]:
    """Return what it means and what to try, by the first place that is not finite; "" if not known."""
    if where == INPUTS:
        return "The inputs themselves are not finite, so no setting of the training helps.", DATA
    if where == TARGETS:
        return "The targets themselves are not finite, so no setting of the training helps.", DATA
    if where not in (LOSS, ""):
        return "The inputs are finite: the weights overflowed.", SMALLER
    formula = "check it for a division by zero and for the logarithm or the root of zero"
    if own_loss and where == LOSS:
        means = f"The outputs of the model are finite: your own loss function, {own_loss}, overflowed."
        return means, f"{formula}, and the targets for values that are not finite; then {SMALLER}"
    if own_loss:
        means = f"Your own loss function, {own_loss}, or the weights overflowed, or the data are not finite."
        return means, f"{DATA}; then your loss function: {formula}; then {SMALLER}"
    if where == LOSS:
        means = (
            "The outputs of the model are finite: the loss function overflowed, or a target is not finite."
        )
        return means, f"check the targets; if the loss function is your own, {formula}; then {SMALLER}"
    return (
        "The weights overflowed, or the data contain a value that is not finite.",
        f"{DATA}; then {SMALLER}",
    )


RULES = (Rule("non-finite-loss", needs=(), check=check, unless=EXPLAINED),)
