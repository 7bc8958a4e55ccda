"""The quick split of the fault ledger: healthy programs have no warning, faults are named first."""

from __future__ import annotations

import pytest

from benchmarks.ledger.__main__ import Job, jobs, one
from benchmarks.ledger.faults import FAULTS
from benchmarks.ledger.score import admitted, table, warnings_of


@pytest.mark.parametrize("job", jobs("smoke", 1), ids=lambda job: f"{job[1] or 'healthy'}-{job[2]}")
def test_what_is_said_of_a_program(job: Job) -> None:
    said = warnings_of(one(job))
    if job[1]:
        assert said[0] in FAULTS[job[1]].causes
    else:
        assert said == []


def test_the_ledger_has_faults_of_every_kind() -> None:
    assert len(FAULTS) >= 50
    assert {one.category for one in FAULTS.values()} == {
        "loop",
        "loss",
        "optimizer",
        "model",
        "data",
        "sequence",
        "gan",
    }


def test_a_fault_without_effect_is_not_counted() -> None:
    healthy = [0.90, 0.91, 0.92, 0.90, 0.91]
    assert not admitted("lr-x100", [0.91, 0.90, 0.92, 0.91, 0.90], healthy)
    assert admitted("lr-x100", [0.30, 0.31, 0.28, 0.35, 0.33], healthy)
    assert admitted("missing-zero-grad", healthy, healthy)  # it breaks a contract


def test_the_table_counts_false_alarms_and_confusions() -> None:
    def record(fault: str, score: float, *said: str) -> dict[str, object]:
        found = [(id, "warn", "model", 1.0) for id in said]
        return {"fault": fault, "program": "cnn", "seed": 0, "score": score, "findings": found}

    text = table([record("", 0.9), record("", 0.9, "dead-units"), record("no-backward", 0.1, "no-step")])
    assert "| healthy runs with a warning | 1/2 (50.0%) | 2 % |" in text
    assert "no-backward as no-step (1)" in text
