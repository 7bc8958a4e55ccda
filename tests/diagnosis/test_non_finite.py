"""What a loss that is not finite means, and what to try, by where it arose."""

from __future__ import annotations

import math

import pytest

from pellucid.diagnosis import Facts, NonFinite, Setting, examine
from pellucid.record import Finding


def finding(where: str, own_loss: str = "") -> Finding:
    caught = NonFinite(math.nan, 7, where, "why") if where else None
    series = None if where else {"val/loss": [(1, 1.0), (2, math.nan)]}
    (found,) = examine(Facts(series, setting=Setting(lr=0.1, own_loss=own_loss), caught=caught)).findings
    return found


def test_non_finite_inputs_call_for_other_data_not_other_settings():
    found = finding("inputs")
    assert found.remedy.startswith("check the data")
    assert not found.patch
    assert "became not a number at step 8" in found.seen


def test_a_loss_of_the_user_that_overflows_is_named():
    found = finding("loss", "package.mine")
    assert "your own loss function, package.mine, overflowed" in found.means
    assert found.remedy.startswith("check it for a division by zero")


@pytest.mark.parametrize(("where", "own"), [("loss", ""), ("", "package.mine"), ("", "")])
def test_the_data_or_the_targets_are_checked_before_the_learning_rate(where, own):
    remedy = finding(where, own).remedy
    assert 0 <= remedy.index("check the") < remedy.index("a learning rate ten times smaller")


def test_weights_that_overflow_call_for_smaller_steps():
    found = finding("layers.0")
    assert found.remedy.startswith("a learning rate ten times smaller")
    assert found.patch["optimizer.lr"] == pytest.approx(0.01)
