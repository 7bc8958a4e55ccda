"""Rules on a profile: what makes training slow, and what would help.

`gain` of a finding is the share of the time that its remedy could save.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from pellucid.diagnosis.facts import Facts, Speed
from pellucid.diagnosis.rule import Check, Rule
from pellucid.diagnosis.wording import percent
from pellucid.record import Finding


def _on_speed(check: Callable[[Speed], Finding | None]) -> Check:
    """Return a check of facts that passes the figures of a profile."""

    def on_facts(facts: Facts) -> Finding | None:
        return None if facts.speed is None else check(facts.speed)

    return on_facts


# ---- the checks --------------------------------------------------------------------------------------


def _slow_execution(speed: Speed) -> Finding | None:
    name, times = speed.faster
    if times < 1.1:
        return None
    return Finding(
        "slow-execution",
        "warning",
        f"Steps are computed in the mode {speed.path}; {name} takes {percent(1 / times)} of its time.",
        "This machine computes the same step faster in another precision or layout.",
        f"--set train.execution={name}, or auto",
        {"train.execution": "auto"},
        gain=1 - 1 / times,
    )


def _waiting_for_data(speed: Speed) -> Finding | None:
    share = speed.parts["data"]
    if share < 0.15:
        return None
    if not speed.in_memory:
        means = "The network waits while rows are read from disk and decoded."
        remedy = "a larger data.memory, so that the rows are kept in memory"
    elif speed.augmented:
        means, remedy = "The network waits while images are augmented.", "fewer changes in data.augment"
    else:
        means = "Collecting the rows of a batch takes long compared with such a small step."
        remedy = "a larger train.batch_size"
    return _finding("waiting-for-data", f"Batches take {percent(share)} of the time.", means, remedy, share)


def _frequent_checkpoints(speed: Speed) -> Finding | None:
    share = speed.parts["saving"]
    if share < 0.1:
        return None
    seconds = max(60.0, 4 * speed.checkpoint_seconds)
    found = _finding(
        "frequent-checkpoints",
        f"Checkpoints take {percent(share)} of the time.",
        f"All weights and optimizer moments are written every {speed.checkpoint_seconds:g} s.",
        f"--set train.checkpoint_seconds={seconds:g}; a crash then loses up to as much",
        share,
    )
    return replace(found, patch={"train.checkpoint_seconds": seconds})


def _slow_callback(speed: Speed) -> Finding | None:
    if not speed.by_callback:
        return None
    name, share = max(speed.by_callback.items(), key=lambda item: item[1])
    if share < 0.1:
        return None
    seen = f"The callback {name} takes {percent(share)} of the time."
    means = "Its work in every step takes long compared with the step itself."
    return _finding("slow-callback", seen, means, "run it every n-th step, or after an epoch", share)


def _slow_validation(speed: Speed) -> Finding | None:
    if speed.measuring < 0.25:
        return None
    return _finding(
        "slow-validation",
        f"Validation takes {percent(speed.measuring)} of an epoch's time.",
        "There are many validation rows compared with training rows, or epochs are short.",
        "a smaller data.validation",
        speed.measuring * 0.5,
    )


def _small_batches(speed: Speed) -> Finding | None:
    if speed.double is None or speed.double < 1.25:
        return None
    return Finding(
        "small-batches",
        "note",
        f"Batches of {2 * speed.rows} rows would train {speed.double:.2f} times as many rows a second.",
        "A batch is so small that much of the time of a step does not depend on its number of rows.",
        f"--set train.batch_size={2 * speed.rows}, with a learning rate up to twice as large; "
        "there are fewer updates then, so check that it learns as well",
        {"train.batch_size": 2 * speed.rows},
        gain=(1 - 1 / speed.double) * 0.8,
    )


def _slow_optimizer(speed: Speed) -> Finding | None:
    share = speed.parts["optimizer"]
    if share < 0.3:
        return None
    return _finding(
        "slow-optimizer",
        f"The optimizer takes {percent(share)} of the time.",
        "It updates every weight in every step, even those a batch does not use, such as those of rare "
        "words.",
        "a larger train.batch_size, or a smaller vocabulary if the model has one",
        share * 0.8,
    )


def _fast(speed: Speed) -> Finding:
    computing = sum(speed.parts.get(part, 0.0) for part in ("forward", "backward", "update"))
    seen = f"The network itself takes {percent(computing)} of the time"
    if speed.share_of_peak:
        seen += f", at {percent(speed.share_of_peak)} of the speed of matrix products on this machine"
    return Finding(
        "fast",
        "note",
        f"{seen}.",
        "Nothing around the network is worth changing.",
        "a smaller model, fewer epochs, or a faster machine",
    )


def _finding(rule: str, seen: str, means: str, remedy: str, gain: float) -> Finding:
    return Finding(rule, "warning", seen, means, remedy, gain=gain)


SLOW = (
    Rule("slow-execution", ("speed",), _on_speed(_slow_execution)),
    Rule("waiting-for-data", ("speed",), _on_speed(_waiting_for_data)),
    Rule("frequent-checkpoints", ("speed",), _on_speed(_frequent_checkpoints)),
    Rule("slow-callback", ("speed",), _on_speed(_slow_callback)),
    Rule("slow-validation", ("speed",), _on_speed(_slow_validation)),
    Rule("small-batches", ("speed",), _on_speed(_small_batches)),
    Rule("slow-optimizer", ("speed",), _on_speed(_slow_optimizer)),
)
RULES = (*SLOW, Rule("fast", ("speed",), _on_speed(_fast), unless=tuple(rule.id for rule in SLOW)))
