"""What "more than noise" means, held against noise of known size."""

from __future__ import annotations

import numpy as np
import pytest

from pellucid.diagnosis import curves


def test_noise_is_the_standard_deviation_around_any_trend():
    scatter = np.random.default_rng(0).normal(0, 0.02, 400)
    trend = np.linspace(0, 3, 400) ** 2
    assert curves.noise(scatter + trend) == pytest.approx(0.02, rel=0.15)
    assert curves.noise(trend) < 1e-6


def test_series_are_read_at_the_steps_of_validation():
    points = curves.align(
        {"val/loss": [(10, 1.0), (20, 0.5)], "train/loss": [(5, 9.0), (10, 2.0), (15, 8.0), (20, 1.0)]}
    )
    assert points is not None
    assert points.train is not None
    assert points.train.tolist() == [2.0, 1.0]
    assert points.at(-1) == "epoch 2"


def test_flat_noise_seldom_turns_up_and_a_true_rise_does():
    rng = np.random.default_rng(1)
    flat = [curves.turned_up(1 + rng.normal(0, 0.05, 15)) for _ in range(500)]
    rising = [
        curves.turned_up(1 + np.abs(np.arange(15) - 5) * 0.05 + rng.normal(0, 0.03, 15)) for _ in range(500)
    ]
    assert np.mean(flat) < 0.04
    assert np.mean(rising) > 0.9


def test_a_turn_needs_several_epochs_after_it():
    turn = [1.0, 0.7, 0.5, 0.4, 0.45, 0.55, 0.7, 0.8]
    assert not curves.turned_up(np.array(turn[:6]))
    assert curves.turned_up(np.array(turn))
