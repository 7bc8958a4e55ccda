"""Schedules are pure functions with exact values."""

import json
import math

import pytest

from pellucid.errors import ConfigError, UnknownNameError
from pellucid.train.schedules import SCHEDULES, ReduceOnPlateau, constant, schedule, step_decay, warmup


def test_constant() -> None:
    assert [schedule("constant", 10)(step) for step in (0, 5, 99)] == [1, 1, 1]


def test_step_counts_epochs() -> None:
    factor = schedule("step", 1000, steps_per_epoch=10, every=3, factor=0.5)
    assert [factor(step) for step in (0, 29, 30, 59, 60, 90)] == [1, 1, 0.5, 0.5, 0.25, 0.125]


def test_cosine() -> None:
    factor = schedule("cosine", 100, final=0.2)
    assert factor(0) == 1
    assert factor(25) == pytest.approx(0.2 + 0.8 * (1 + math.sqrt(0.5)) / 2)
    assert factor(50) == pytest.approx(0.6)
    assert factor(100) == pytest.approx(0.2)
    assert factor(150) == pytest.approx(0.2)


def test_one_cycle() -> None:
    factor = schedule("one_cycle", 200, start=0.1, peak_at=0.25, final=0.01)
    assert factor(0) == pytest.approx(0.1)
    assert factor(25) == pytest.approx(0.55)
    assert factor(50) == pytest.approx(1)
    assert factor(125) == pytest.approx(0.505)
    assert factor(200) == pytest.approx(0.01)


@pytest.mark.parametrize("peak_at", [0.0, 1.0])
def test_one_cycle_can_peak_at_the_start_or_the_end(peak_at: float) -> None:
    factor = schedule("one_cycle", 10, start=0.1, peak_at=peak_at)
    assert factor(0) == pytest.approx(1.0 if peak_at == 0 else 0.1)
    assert factor(10) == pytest.approx(0.0 if peak_at == 0 else 1.0)


def test_warmup_is_linear_and_precedes_the_schedule() -> None:
    factor = schedule("cosine", 110, warmup_steps=10)
    assert [factor(step) for step in (0, 4, 9)] == pytest.approx([0.1, 0.5, 1.0])
    assert [factor(step) for step in (10, 60, 110)] == pytest.approx([1.0, 0.5, 0.0])
    assert warmup(step_decay(every=1, factor=0.5), 2)(4) == 0.25
    assert warmup(constant(), 4)(0) == 0.25


@pytest.mark.parametrize("name", SCHEDULES)
@pytest.mark.parametrize("warmup_steps", [0, 7])
def test_factors_stay_between_zero_and_one(name: str, warmup_steps: int) -> None:
    factor = schedule(name, 50, warmup_steps=warmup_steps)
    assert all(0 <= factor(step) <= 1 for step in range(80))


@pytest.mark.parametrize(("mode", "good", "bad"), [("min", [3.0, 2.0], 2.5), ("max", [0.5, 0.7], 0.6)])
def test_plateau_reduces_after_its_patience(mode, good: list[float], bad: float) -> None:
    plateau = ReduceOnPlateau(mode=mode, factor=0.5, patience=2, floor=0.2)
    assert [plateau.update(value) for value in good] == [1, 1]
    assert [plateau.update(bad) for _ in range(3)] == [1, 1, 0.5]
    assert [plateau.update(bad) for _ in range(3)] == [0.5, 0.5, 0.25]
    assert [plateau.update(bad) for _ in range(3)] == [0.25, 0.25, 0.2]


def test_plateau_counts_nan_and_tiny_gains_as_no_improvement() -> None:
    plateau = ReduceOnPlateau(factor=0.1, patience=1, min_delta=0.1)
    assert [plateau.update(value) for value in (1.0, 0.95, math.nan)] == [1, 1, 0.1]


def test_plateau_resumes_from_its_state() -> None:
    values = [1.0, 1.1, 1.2, 0.9, 1.0, 1.0, 1.0, 1.0]
    whole = ReduceOnPlateau(patience=1)
    expected = [whole.update(value) for value in values]
    first, second = ReduceOnPlateau(patience=1), ReduceOnPlateau(patience=1)
    head = [first.update(value) for value in values[:4]]
    second.load_state_dict(json.loads(json.dumps(first.state_dict())))
    assert head + [second.update(value) for value in values[4:]] == expected


def test_invalid_schedules_are_refused() -> None:
    with pytest.raises(UnknownNameError, match="Did you mean 'cosine'"):
        schedule("cosin", 10)
    with pytest.raises(UnknownNameError, match="Did you mean 'final'"):
        schedule("cosine", 10, finale=0.1)
    with pytest.raises(ConfigError, match="'peak_at': expected a number from 0 to 1, received 30"):
        schedule("one_cycle", 10, peak_at=30)
    with pytest.raises(ConfigError, match="'every': expected a number above 0, received 0"):
        schedule("step", 10, every=0)
    with pytest.raises(ConfigError, match="'factor': expected a number from 0 to 1"):
        schedule("plateau", 10, factor=2)


def test_catalogue_lists_the_options_of_each_schedule() -> None:
    assert SCHEDULES["plateau"].options == {
        "mode": "min",
        "factor": 0.1,
        "patience": 5,
        "min_delta": 0.0,
        "floor": 1e-3,
    }
    assert SCHEDULES["one_cycle"].options == {"start": 0.04, "peak_at": 0.3, "final": 0.0}
