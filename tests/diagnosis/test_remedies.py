"""What is tried for a finding follows from it and from the settings of the run."""

from __future__ import annotations

import pytest

from pellucid.config import Config
from pellucid.diagnosis.remedies import LR, remedies
from pellucid.diagnosis.verified import Confirmed, Tried, Verified
from pellucid.record import Finding


def finding(rule: str, **patch: object) -> Finding:
    return Finding(
        rule, "warning", "seen", "means", patch={key.replace("__", "."): v for key, v in patch.items()}
    )


def names(*findings: Finding, **settings: float) -> list[str]:
    config = Config().patch({key.replace("__", "."): value for key, value in settings.items()})
    return [one.name for one in remedies(findings, config.model_dump())]


def test_several_learning_rates_are_tried_for_a_diverging_run():
    found = remedies([finding("diverging", optimizer__lr=0.01)], Config().patch({LR: 0.1}).model_dump())
    assert [one.patch for one in found] == [{LR: 0.0333}, {LR: 0.01}, {LR: 0.001}]
    assert found[1].words == "optimizer.lr is 0.01 instead of 0.1"
    assert found[0].size < found[1].size < found[2].size


def test_a_patch_of_several_settings_is_also_tried_in_parts():
    found = names(finding("mine", optimizer__lr=0.01, train__clip_grad_norm=1.0))
    assert found == [
        "optimizer.lr=0.01",
        "train.clip_grad_norm=1",
        "optimizer.lr=0.01, train.clip_grad_norm=1",
    ]


def test_settings_that_are_so_already_are_not_tried():
    assert "optimizer.weight_decay=0.05" in names(finding("overfitting"))
    assert "optimizer.weight_decay=0.05" not in names(finding("overfitting"), optimizer__weight_decay=0.05)


def test_one_change_for_two_findings_is_tried_once_and_names_both():
    both = [finding("overfitting"), finding("memorizing")]
    found = remedies(both, Config().model_dump())
    assert len({one.name for one in found}) == len(found) <= 6
    assert found[0].findings == ("overfitting", "memorizing")


def test_a_finding_without_settings_has_no_remedy():
    assert names(finding("healthy")) == []


def tried(state: str, gain: float) -> Tried:
    return Tried(
        "lr=1", "lr is 1 instead of 2", {"lr": 1}, ("diverging",), state, None, {"1": 0.9}, 0.9, gain, 0.01
    )


@pytest.mark.parametrize(
    ("winner", "answer"),
    [
        ("lr=1", "Fixed: lr is 1 instead of 2. Validation accuracy 90.0 % instead of 50.0 %"),
        ("", "No fix: the one change that was tried is not better than the unchanged"),
    ],
)
def test_the_answer_is_a_fix_only_with_a_winner(winner, answer):
    one = Verified(
        "val/accuracy", False, (1, 2, 3), "3 epochs", {"1": 0.5}, (tried("within noise", 0.4),), winner
    )
    assert one.answer.startswith(answer)
    assert "90.0 %" in str(one)


def test_a_winner_that_fails_on_test_rows_is_not_called_a_fix():
    test = Confirmed("test/accuracy", 0.5, 0.51, 0.01, 0.02, False)
    one = Verified(
        "val/accuracy", False, (1, 2, 3), "3 epochs", {"1": 0.5}, (tried("better", 0.4),), "", None, test
    )
    assert one.answer == "No fix: the best change was not better on the test rows, beyond noise."
    assert "within noise, so it is not called a fix" in one.on_test
