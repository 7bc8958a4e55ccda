"""Remedies in loops as other people write them."""

import random

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import BatchSampler, DataLoader, RandomSampler, TensorDataset, WeightedRandomSampler

import pellucid
from pellucid.errors import UsageError
from pellucid.lens.remedy import REMEDIES, Case, Parts, Unfit
from pellucid.lens.remedy.parts import Loop
from pellucid.lens.remedy.rows import Repeated, first_rows, loader_of
from pellucid.lens.remedy.watching import watched
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


class OwnLoader:
    """Starts again at each `iter`, as people write it."""

    def __iter__(self):
        self.rows = iter(zip(*(one.split(16) for one in _rows()), strict=True))
        return self

    def __next__(self):
        return next(self.rows)


def _pairs():
    return list(zip(*(one.split(16) for one in _rows()), strict=True))


def _step(model, optimizer, value):
    value.backward()
    optimizer.step()
    optimizer.zero_grad()
    return value


def _by_name(model, optimizer, loss, batches):
    loss = loss.to("cpu")
    for x, y in batches:
        _step(model, optimizer, loss(input=model(x), target=y))
    return 0.5


def _list_twice(model, optimizer, loss, batches):
    for x, y in batches * 2:
        _step(model, optimizer, loss(model(x), y))
    return 0.5


def _by_next(model, optimizer, loss, batches):
    for _ in range(10):
        x, y = next(batches)
        _step(model, optimizer, loss(model(x), y))
    return np.array(0.5)


def _any_names(*parts, **named):
    assert not named
    return _by_name(*parts)


@pytest.mark.parametrize(
    ("train", "batches", "steps"),
    [
        (_by_name, _pairs, 10),
        (_by_name, OwnLoader, 10),
        (_list_twice, _pairs, 20),
        (_by_next, lambda: iter(_pairs()), 10),
        (_any_names, lambda: DataLoader(TensorDataset(*_rows()), 16), 10),
    ],
)
def test_loops_are_watched_as_they_are_written(train, batches, steps):
    loop = Loop(train, lambda: _parts(_model(), batches()))
    seen = watched(loop, loop.make(0), 0, False)
    assert (seen.error, seen.score, seen.blind, loop.steps) == (None, 0.5, False, steps)


def test_what_was_found_before_a_loop_breaks_off_is_kept():
    def train(model, optimizer, loss, batches):
        for x, y in batches * 3:
            loss(model(x), y).backward()
            optimizer.step()
        raise ValueError("no file of results")

    loop = Loop(train, lambda: _parts(_model()))
    seen = watched(loop, loop.make(0), 0, False)
    assert str(seen.error) == "no file of results"
    assert seen.findings[0].id == "missing-zero-grad"


def test_epochs_with_a_default_value_are_the_loops_own():
    def train(model, optimizer, loss, batches, epochs=3, batch_size=None):
        return float(epochs)

    loop = Loop(train, lambda: _parts(_model()))
    assert loop.run(loop.make(0), 0) == 3
    assert loop.run(_apply(loop.make(0), "epochs-times-10"), 0) == 30


def test_epochs_that_a_loop_does_not_take_are_not_changed():
    loop = Loop(lambda *parts: 0.0, lambda: Parts(*_make_four(), epochs=3))
    parts = REMEDIES["epochs-times-3"].apply(loop.make(0), Case(NONE, loop))
    assert parts.epochs is None
    assert len(list(parts.batches)) == 30


def _make_four():
    parts = _parts(_model())
    return parts.model, parts.optimizer, parts.loss, parts.batches


@pytest.mark.parametrize(
    ("train", "expected"),
    [
        (lambda model, optimizer, loss, batches, held: 0.0, "'held'"),
        (lambda model, optimizer, loss: 0.0, "too many positional"),
        (lambda model, optimizer, loss, batches, epochs: 0.0, "takes epochs, but make"),
    ],
)
def test_a_loop_that_cannot_be_called_is_refused(train, expected):
    with pytest.raises(UsageError, match=expected):
        pellucid.verify(train, _make_four)


def test_what_cannot_be_used_twice_is_refused():
    model, optimizer, loss, pairs = _make_four()
    rows = iter(pairs)
    with pytest.raises(UsageError, match="same iterator"):
        pellucid.verify(_by_next, lambda: (model, optimizer, loss, rows))
    with pytest.raises(UsageError, match="received 'missing-zero-grad'"):
        pellucid.verify(_by_name, _make_four, findings=["missing-zero-grad"])


def test_the_same_objects_are_copied_and_random_numbers_go_on():
    held = Parts({"model": _model()}, None, nn.CrossEntropyLoss(), _pairs())

    def train(model, optimizer, loss, batches):
        with torch.no_grad():
            model["model"][0].weight.add_(1)
        return model["model"][0].weight.sum().item()

    before = held.model["model"][0].weight.clone()
    state = (random.getstate(), torch.get_rng_state().tolist(), np.random.get_state()[1].tolist())
    result = pellucid.verify(train, lambda: held, limit=1)
    assert torch.equal(held.model["model"][0].weight, before)
    assert state == (random.getstate(), torch.get_rng_state().tolist(), np.random.get_state()[1].tolist())
    assert held.said == []
    assert "The watch saw no step of the loop" in str(result)


def test_rows_of_a_generator_are_looked_at_and_not_used_up():
    parts = _parts(_model(), batches=(one for one in _pairs()))
    assert torch.equal(first_rows(parts)[0], _pairs()[0][0])
    assert len(list(parts.batches)) == 10
    with pytest.raises(Unfit, match="read only once"):
        _apply(_parts(_model(), batches=(one for one in _pairs())), "epochs-times-3")


def test_batches_in_place_of_a_loader_have_its_attributes():
    loader = DataLoader(TensorDataset(*_rows()), 16)
    assert len(Repeated(loader, 3).dataset) == 160
    shuffled = _apply(_parts(_model(), loader), "rows-shuffled").batches
    assert isinstance(shuffled.sampler, RandomSampler)
    with pytest.raises(Unfit, match="random order already"):
        _apply(_parts(_model(), shuffled), "rows-shuffled")


def test_an_order_of_its_own_is_kept_or_the_remedy_does_not_fit():
    rows = TensorDataset(*_rows())
    weighted = DataLoader(rows, 16, sampler=WeightedRandomSampler(torch.ones(160), 160))
    assert loader_of(weighted, rows, size=8).sampler is weighted.sampler
    own = DataLoader(rows, batch_sampler=BatchSampler(RandomSampler(rows), 16, False))
    for loader, other in ((weighted, TensorDataset(*_rows(80))), (own, rows)):
        with pytest.raises(Unfit, match="sampler of its own"):
            loader_of(loader, other, size=8)


def test_a_data_set_that_does_not_fit_into_memory_is_not_read():
    class Large(TensorDataset):
        def __len__(self):
            return 190_000

    x = torch.zeros(16, 3000)
    parts = _parts(_model(), DataLoader(Large(x, torch.zeros(16)), 16))
    with pytest.raises(Unfit, match="too large"):
        _apply(parts, "inputs-standard")
