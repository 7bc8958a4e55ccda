"""What is said of a slow training names its cause and what to change."""

from __future__ import annotations

from dataclasses import replace

import pytest

from pellucid.diagnosis import Speed, advice

WELL = Speed(
    parts={
        "data": 0.02,
        "forward": 0.4,
        "backward": 0.5,
        "optimizer": 0.05,
        "saving": 0.01,
        "callbacks": 0.02,
    },
    by_callback={"Recorder": 0.02},
    measuring=0.05,
    share_of_peak=0.3,
    rows=64,
    double=1.05,
    in_memory=True,
    augmented=False,
    path="bf16",
    faster=("bf16", 1.0),
    checkpoint_seconds=30,
)


def parts(**shares: float) -> dict[str, float]:
    return {**WELL.parts, **shares}


def test_a_profile_dominated_by_the_network_has_no_advice() -> None:
    (only,) = advice(WELL)
    assert only.rule == "fast"
    assert "90.0 %" in only.seen
    assert "30.0 %" in only.seen


@pytest.mark.parametrize(
    ("speed", "rule", "words"),
    [
        (replace(WELL, path="eager", faster=("bf16_math", 2.0)), "slow-execution", "bf16_math takes 50.0 %"),
        (replace(WELL, parts=parts(data=0.4), in_memory=False), "waiting-for-data", "data.memory"),
        (replace(WELL, parts=parts(data=0.4), augmented=True), "waiting-for-data", "data.augment"),
        (replace(WELL, parts=parts(data=0.4)), "waiting-for-data", "batch_size"),
        (replace(WELL, parts=parts(saving=0.2)), "frequent-checkpoints", "checkpoint_seconds=120"),
        (replace(WELL, by_callback={"Recorder": 0.02, "Mine": 0.3}), "slow-callback", "Mine takes 30.0 %"),
        (replace(WELL, measuring=0.5), "slow-validation", "data.validation"),
        (replace(WELL, double=1.8), "small-batches", "batch_size=128"),
        (replace(WELL, parts=parts(optimizer=0.5)), "slow-optimizer", "50.0 %"),
    ],
)
def test_a_cause_is_named_with_its_remedy(speed: Speed, rule: str, words: str) -> None:
    (only,) = advice(speed)
    assert only.rule == rule
    assert words in f"{only.seen} {only.means} {only.remedy}"


def test_the_greatest_gain_comes_first() -> None:
    speed = replace(WELL, measuring=0.3, path="eager", faster=("bf16", 4.0), parts=parts(data=0.2))
    assert [finding.rule for finding in advice(speed)] == [
        "slow-execution",
        "waiting-for-data",
        "slow-validation",
    ]


def test_an_unknown_peak_is_not_mentioned() -> None:
    (only,) = advice(replace(WELL, share_of_peak=0.0))
    assert "matrix" not in only.seen
