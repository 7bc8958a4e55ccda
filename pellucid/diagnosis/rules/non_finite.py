"""Losses that are infinite or not a number."""

from __future__ import annotations

import math

from pellucid.diagnosis.facts import Facts
from pellucid.diagnosis.rule import Rule
from pellucid.record import Finding

MEANS = "The weights overflowed, or the data contain a value that is not a number."
REMEDY = "a learning rate ten times smaller, or gradient clipping"


def check(facts: Facts) -> Finding | None:
    """Report the loss that was caught during training, or the first one on record."""
    if facts.caught is not None:
        caught = facts.caught
        seen = f"The loss became {caught.value} at step {caught.step + 1}: {caught.what}."
        return _finding(facts, seen, caught.step, caught.where)
    for name, series in (facts.losses or {}).items():
        bad = next((step for step, value in series if not math.isfinite(value)), None)
        if bad is not None:
            return _finding(facts, f"The {name} loss was not a finite number at step {bad:,}.", bad)
    return None


def _finding(facts: Facts, seen: str, step: int, where: str = "") -> Finding:
    patch = {"train.clip_grad_norm": 1.0, **facts.setting.lower_lr}
    return Finding("non-finite", "error", seen, MEANS, REMEDY, patch, where, step)


RULES = (Rule("non-finite", needs=(), check=check),)
