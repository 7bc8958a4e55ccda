"""The ledger counts a fix where unseen rows and seeds confirm it."""

import pytest

from benchmarks.ledger.fixes import fix
from benchmarks.ledger.fixes_score import fixes_table, has_gap, not_real, recovered, verified

RECORD = {
    "split": "test", "fault": "lr-x100", "program": "cnn", "claimed": True, "words": "a lower rate",
    "untrained": [0.1, 0.1, 0.1], "healthy": [0.9, 0.92, 0.91], "faulty": [-1e9, 0.1, 0.12],
    "fixed": [0.9, 0.91, 0.9], "random": [0.5, 0.5, 0.5], "trainings": 20, "seconds": 9.0,
}  # fmt: skip


def test_a_fix_counts_by_the_gap_that_it_recovers():
    assert recovered(RECORD) == pytest.approx((0.9033 - 0.1067) / (0.91 - 0.1067), abs=1e-3)
    assert verified(RECORD)
    assert not verified(RECORD, "random")
    assert not verified({**RECORD, "fixed": None, "claimed": False})
    assert not has_gap({**RECORD, "faulty": [0.9, 0.93, 0.9]})
    assert not_real({**RECORD, "fixed": [0.1, 0.1, 0.1]})
    assert not not_real(RECORD)


def test_the_table_says_what_was_fixed_and_what_was_only_claimed():
    text = fixes_table([RECORD, {**RECORD, "fault": "no-step", "fixed": [0.0] * 3}])
    assert "at least 90 % of the gap recovered | 1/2 (50.0%)" in text
    assert "Claimed but not real: no-step on cnn (a lower rate)." in text


def test_a_fault_is_fixed_on_rows_that_no_choice_saw():
    record = fix(("dev", "flipped-sign", "mlp-table"), draws=1)
    assert record["fix"] == "loss-turned"
    assert recovered(record) == pytest.approx(1.0)
