"""What makes a training slow, and what would help: a profile in words.

Each rule is a function of the figures alone, and gives a finding and the share of the time it could save.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from pellucid.diagnosis.words import percent
from pellucid.record import Finding

Advice = tuple[float, Finding]
"""The share of the time that could be saved, 0..1, and the finding."""


@dataclass(frozen=True)
class Speed:
    """What the rules know of a training.

    Attributes:
        parts: share of an update's time, 0..1, by part: data, forward, backward, optimizer, saving ...
        by_callback: of "callbacks", share of an update's time by name.
        measuring: share of an epoch's time that goes into measuring.
        share_of_peak: of what matrix products reach on this machine, 0..1; 0: not known.
        rows: in a batch.
        double: rows a second with batches twice as large, by rows a second now; None: not known.
        in_memory: whether the data are.
        augmented: whether training inputs are changed at random.
        path: how steps are computed.
        faster: the fastest path that was measured, and how many times faster it is.
        checkpoint_seconds: between two checkpoints.
    """

    parts: Mapping[str, float]
    by_callback: Mapping[str, float]
    measuring: float
    share_of_peak: float
    rows: int
    double: float | None
    in_memory: bool
    augmented: bool
    path: str
    faster: tuple[str, float]
    checkpoint_seconds: float


def advice(speed: Speed) -> list[Finding]:
    """Say what would make a training faster, the greatest gain first; never empty."""
    found = [made for rule in _RULES if (made := rule(speed)) is not None]
    ordered = sorted(found, key=lambda made: made[0], reverse=True)
    return [finding for _, finding in ordered] or [_nothing(speed)]


def _path(speed: Speed) -> Advice | None:
    if speed.faster[1] < 1.1:
        return None
    name, times = speed.faster
    return 1 - 1 / times, Finding(
        rule="slow_path",
        level="warning",
        seen=f"Steps are computed on the path {speed.path}; {name} takes {percent(1 / times)} of its time.",
        means="This machine computes the same step faster in another precision or layout.",
        remedy=f"--set train.path={name}, or auto",
        patch={"train.path": "auto"},
    )


def _data(speed: Speed) -> Advice | None:
    share = speed.parts["data"]
    if share < 0.15:
        return None
    if not speed.in_memory:
        means, remedy = (
            "Rows are read from disk and decoded while the network waits.",
            "a larger data.memory, so that they are kept in memory",
        )
    elif speed.augmented:
        means, remedy = (
            "Images are changed at random while the network waits.",
            "fewer changes in data.augment",
        )
    else:
        means, remedy = "Gathering rows takes long beside so small a step.", "a larger train.batch_size"
    return _finding("waiting_for_data", f"Batches take {percent(share)} of the time.", means, remedy, share)


def _saving(speed: Speed) -> Advice | None:
    share = speed.parts["saving"]
    if share < 0.1:
        return None
    seconds = max(60.0, 4 * speed.checkpoint_seconds)
    return share, Finding(
        rule="saving_often",
        level="warning",
        seen=f"Checkpoints take {percent(share)} of the time.",
        means=f"All weights and moments are written every {speed.checkpoint_seconds:g} s.",
        remedy=f"--set train.checkpoint_seconds={seconds:g}; a crash then loses up to as much",
        patch={"train.checkpoint_seconds": seconds},
    )


def _callbacks(speed: Speed) -> Advice | None:
    if not speed.by_callback:
        return None
    name, share = max(speed.by_callback.items(), key=lambda item: item[1])
    if share < 0.1:
        return None
    seen = f"The callback {name} takes {percent(share)} of the time."
    means = "What it does in every step takes long beside the step itself."
    return _finding("slow_callback", seen, means, "do it every n-th step, or after an epoch", share)


def _measuring(speed: Speed) -> Advice | None:
    if speed.measuring < 0.25:
        return None
    return _finding(
        "measuring_much",
        f"Measuring after each epoch takes {percent(speed.measuring)} of an epoch's time.",
        "There are many validation rows beside the training rows, or epochs are short.",
        "a smaller data.validation",
        speed.measuring * 0.5,
    )


def _batch(speed: Speed) -> Advice | None:
    if speed.double is None or speed.double < 1.25:
        return None
    return (1 - 1 / speed.double) * 0.8, Finding(
        rule="small_batches",
        level="note",
        seen=f"Batches of {2 * speed.rows} rows would train {speed.double:.2f} times as many rows a second.",
        means="A batch is so small that much of a step does not depend on how many rows it has.",
        remedy=f"--set train.batch_size={2 * speed.rows}, with a learning rate up to twice as large; "
        "it takes fewer updates, so look whether it learns as well",
        patch={"train.batch_size": 2 * speed.rows},
    )


def _optimizer(speed: Speed) -> Advice | None:
    share = speed.parts["optimizer"]
    if share < 0.3:
        return None
    return _finding(
        "slow_optimizer",
        f"The optimizer takes {percent(share)} of the time.",
        "It moves every weight in every step, also those a batch does not use, such as those of rare words.",
        "a larger train.batch_size, or a smaller vocabulary where the model has one",
        share * 0.8,
    )


def _nothing(speed: Speed) -> Finding:
    computing = sum(speed.parts.get(part, 0.0) for part in ("forward", "backward", "update"))
    seen = f"{percent(computing)} of the time goes into the network itself"
    if speed.share_of_peak:
        seen += f", at {percent(speed.share_of_peak)} of what matrix products reach on this machine"
    return Finding(
        rule="fast",
        level="note",
        seen=f"{seen}.",
        means="Nothing around the network is worth changing.",
        remedy="a smaller model, fewer epochs, or a faster machine",
    )


def _finding(rule: str, seen: str, means: str, remedy: str, gain: float) -> Advice:
    return gain, Finding(rule=rule, level="warning", seen=seen, means=means, remedy=remedy)


_RULES: tuple[Callable[[Speed], Advice | None], ...] = (
    _path,
    _data,
    _saving,
    _callbacks,
    _measuring,
    _batch,
    _optimizer,
)
