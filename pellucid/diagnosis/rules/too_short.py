"""Runs with too few epochs for a diagnosis."""

from __future__ import annotations

from pellucid.diagnosis.curves import ENOUGH
from pellucid.diagnosis.facts import Facts
from pellucid.diagnosis.rule import Rule
from pellucid.record import Finding


def check(facts: Facts) -> Finding | None:
    """Report a run with fewer than `ENOUGH` epochs."""
    longest = max((facts.losses or {}).values(), key=len, default=())
    count = len(longest)
    if count >= ENOUGH:
        return None
    has = "1 epoch" if count == 1 else f"{count} epochs"
    return Finding(
        "too-short",
        "note",
        f"The run has {has}; a diagnosis needs at least {ENOUGH}.",
        "It is too early to tell how training goes.",
        "train longer",
        facts.setting.train_for(2 * ENOUGH, 2 * ENOUGH / max(count, 1)),
        step=longest[-1][0] if longest else 0,
    )


RULES = (Rule("too-short", needs=("losses",), check=check, unless=("non-finite-loss",), at_end=True),)
