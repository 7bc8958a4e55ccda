"""Averaged weights follow their formulas and do not change training."""

import pytest
import torch
from torch import nn

from pellucid.train.averaging import WeightAverage
from tests.train.conftest import network, trainer


def set_to(model, value):
    with torch.no_grad():
        model.weight.fill_(value)


def test_swa_is_the_arithmetic_mean():
    model = nn.Linear(1, 1, bias=False)
    average = WeightAverage(model, None)
    for value in (1.0, 2.0, 6.0):
        set_to(model, value)
        average.update(model)
    assert average.tensors["weight"].item() == pytest.approx(3.0)


def test_ema_decay_follows_its_ramp():
    model = nn.Linear(1, 1, bias=False)
    set_to(model, 0.0)
    average = WeightAverage(model, 0.9)
    expected = 0.0
    for update in range(1, 200):
        set_to(model, 1.0)
        average.update(model)
        decay = min(0.9, update / (10 + update))
        expected = decay * expected + (1 - decay)
    assert average.tensors["weight"].item() == pytest.approx(expected, abs=1e-6)


def test_averaging_does_not_change_training(batches, held_out):
    plain, averaged = trainer(network()), trainer(network(), ema=0.9)
    plain.model.load_state_dict(averaged.model.state_dict())
    for each in (plain, averaged):
        torch.manual_seed(1)
        each.fit(batches, {"val": held_out})
    for mine, theirs in zip(
        plain.model.state_dict().values(), averaged.model.state_dict().values(), strict=True
    ):
        assert torch.equal(mine, theirs)
    assert plain.measures["val/loss"] != averaged.measures["val/loss"]


def test_swa_starts_at_the_configured_epoch(batches):
    mine = trainer(epochs=4, swa_start=0.5)
    mine.fit(batches)
    assert mine.average.updates == 2 * len(batches)
