"""A change is called a fix where it is better than the control beyond noise, and only there."""

import json
import math
import random

import pytest
from scipy.stats import t as students_t

from pellucid.diagnosis.trials import Candidate, close, judge, student_tail

CONTROL = {0: 0.10, 1: 0.12, 2: 0.09}
NAN = math.nan


def _candidate(name, *scores, **options):
    return Candidate(name, f"{name} is changed", dict(enumerate(scores)), **options)


def test_the_tail_of_students_t_is_that_of_scipy():
    for freedom in range(1, 10):
        for value in (-2, 0, 0.5, 2.92, 12):
            assert student_tail(value, freedom) == pytest.approx(students_t.sf(value, freedom), abs=1e-12)


def test_the_smallest_change_that_does_it_wins():
    trial = judge(
        CONTROL,
        [
            _candidate("everything", 0.80, 0.81, 0.79, size=3),
            _candidate("rate", 0.80, 0.80, 0.78, size=1),
            _candidate("dropout", 0.11, 0.10, 0.12, size=0.5),
        ],
        reference=0.82,
    )
    assert trial.winner
    assert trial.winner.candidate.name == "rate"
    assert trial.winner.recovered == pytest.approx((0.7933 - 0.1033) / (0.82 - 0.1033), abs=1e-3)
    dropout = trial.verdict("dropout")
    assert dropout
    assert dropout.state == "within noise"
    assert str(trial).splitlines()[0] == "Fixed: rate is changed."


def test_lower_may_be_better_and_a_change_may_be_worse():
    worse = _candidate("worse", 2.0, 2.1, 2.05)
    better = _candidate("better", 0.5, 0.52, 0.51)
    trial = judge({0: 1.0, 1: 1.05, 2: 1.02}, [worse, better], lower=True, reference=0.5)
    assert [one.state for one in trial.verdicts] == ["worse", "better"]
    assert trial.verdicts[1].gain > 0 > trial.verdicts[0].gain


def test_noise_is_seldom_called_a_fix():
    claimed = 0
    for draw in range(400):
        dice = random.Random(draw)
        control = {seed: dice.gauss(0, 1) for seed in range(3)}
        others = [_candidate(str(k), *(dice.gauss(0, 1) for _ in range(3))) for k in range(4)]
        claimed += judge(control, others).winner is not None
    assert claimed / 400 < 0.05


def test_a_close_verdict_asks_for_more_seeds():
    trial = judge(CONTROL, [_candidate("rate", 0.15, 0.13, 0.14)])
    assert close(trial.verdicts[0])
    assert not close(trial.verdicts[0], most=3)
    assert not close(judge(CONTROL, [_candidate("rate", 0.8, 0.81, 0.79)]).verdicts[0])


def test_a_diverging_control_does_not_hide_a_fix():
    wild = {seed: -(10.0 ** (3 + seed)) for seed in range(5)}
    assert judge(wild, [_candidate("rate", 0.8, 0.7, 0.9, 0.8, 0.8)], reference=0.9).winner
    broken = dict.fromkeys(range(5), NAN)
    trial = judge(broken, [_candidate("rate", 0.8, 0.7, 0.9, 0.8, 0.8), _candidate("none", *[NAN] * 5)])
    assert trial.winner
    assert trial.verdicts[1].state == "failed"
    assert json.loads(json.dumps(trial.plain(), allow_nan=False))["winner"] == "rate"


def test_equal_gains_of_few_seeds_are_not_without_noise():
    trial = judge({0: 0.5, 1: 0.7, 2: 0.9}, [_candidate("rate", 0.51, 0.71, 0.91)])
    assert trial.winner is None
    assert "No fix" in str(trial)


def test_a_control_without_any_score_asks_for_more_seeds():
    few, many = [dict.fromkeys(range(count), NAN) for count in (3, 7)]
    good = Candidate("rate", "a lower rate", dict.fromkeys(range(7), 0.8))
    other = Candidate("other", "another", dict.fromkeys(range(7), 0.7))
    assert close(judge(few, [good, other], looks=2).verdicts[0])
    assert judge(many, [good, other], looks=2).verdicts[0].better
