"""Remedies in loops as other people write them."""

import pytest
import torch
from torch import nn

from pellucid.lens.remedy import REMEDIES, Case, Parts
from pellucid.lens.remedy.parts import Loop
from pellucid.nn.modes import evaluating
from pellucid.record import Finding

NONE = Finding("none", "warning", "", "")


def _rows(count=160, seed=0):
    """Two classes that a plane divides."""
    dice = torch.Generator().manual_seed(seed)
    x = torch.randn(count, 6, generator=dice)
    return x, (x[:, 0] + x[:, 1] - x[:, 2] > 0).long()


HELD = _rows(300, 1)


def _model(*last):
    return nn.Sequential(nn.Linear(6, 16), nn.Sigmoid(), nn.Linear(16, 2), *last)


def _parts(model, batches=None, loss=None):
    x, y = _rows()
    batches = batches or list(zip(x.split(16), y.split(16), strict=True))
    return Parts(model, torch.optim.SGD(model.parameters(), 0.05), loss or nn.CrossEntropyLoss(), batches)


def _apply(parts, *names, train=None):
    loop = Loop(train or (lambda *parts: 0.0), lambda: parts)
    for name in names:
        parts = REMEDIES[name].apply(parts, Case(NONE, loop))
    return parts


def test_a_remedy_stays_when_the_next_one_changes_the_parameters():
    parts = _apply(_parts(_model()), "zero-grad-each-step", "batch-norm")
    held = {id(one) for group in parts.optimizer.param_groups for one in group["params"]}
    assert held == {id(one) for one in parts.model.parameters()}
    (x, y), *_ = parts.batches
    parts.loss(parts.model(x), y).backward()
    parts.optimizer.step()
    assert all(one.grad is None for one in parts.model.parameters())


@pytest.mark.parametrize("name", ["batch-norm", "widened-to-32"])
def test_new_layers_have_the_precision_of_the_old(name):
    x, y = _rows()
    parts = _apply(_parts(_model().double(), [(x.double(), y)]), name)
    assert parts.model(x.double()).dtype == torch.float64


@pytest.mark.parametrize("name", ["activation-undone", "backward-before-step", "graph-kept"])
def test_a_changed_loss_is_called_and_moved_as_the_loops_own(name):
    parts = _apply(_parts(_model(nn.Softmax(-1))), name)
    (x, y), *_ = parts.batches
    outputs = parts.model(x)
    loss = parts.loss.to("cpu")
    assert loss(input=outputs, target=y) == loss(outputs, y)
    assert torch.isfinite(loss(outputs, target=y))


def test_layers_in_evaluation_mode_stay_in_it():
    model = nn.Sequential(nn.Linear(6, 6), nn.BatchNorm1d(6).eval())
    with evaluating(model):
        assert not model[0].training
    assert model.training
    assert not model[1].training
