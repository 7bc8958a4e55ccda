"""Batches are a pure function of (seed, epoch), in memory and streamed from disk alike."""

import numpy as np
import pyarrow as pa
import pytest
import torch

from pellucid.config import Augment
from pellucid.data.arrays import arrays
from pellucid.data.augment import Augmenter
from pellucid.data.batches import ArrowRows, Batches, MemoryRows, rows, take
from pellucid.data.preprocess import Preprocess
from pellucid.data.toy import moons


@pytest.fixture(scope="module")
def data():
    dataset = moons(n=203, seed=1)
    table = dataset.splits["train"]
    chunks = pa.concat_tables([table.slice(0, 50), table.slice(50, 3), table.slice(53)])  # as files come
    return chunks, Preprocess.fit(dataset)


def all_of(batches, epoch=0, start=0):
    return [(inputs.clone(), targets.clone()) for inputs, targets in batches.epoch(epoch, start)]


def same(a, b):
    assert len(a) == len(b)
    return all(torch.equal(x, u) and torch.equal(y, v) for (x, y), (u, v) in zip(a, b, strict=True))


def in_memory(data, **options):
    table, preprocess = data
    return Batches(MemoryRows(preprocess.inputs(table), preprocess.targets(table)), 32, **options)


def test_every_row_comes_once_an_epoch(data):
    batches = in_memory(data, shuffle=True)
    seen = torch.cat([inputs for inputs, _ in batches])
    assert torch.equal(seen.sort(dim=0).values, batches.rows.inputs.sort(dim=0).values)
    assert len(list(batches)) == len(batches) == 7


def test_epochs_differ_and_repeat(data):
    one, two = in_memory(data, shuffle=True, seed=3), in_memory(data, shuffle=True, seed=3)
    assert same(all_of(one, 5), all_of(two, 5))
    assert not same(all_of(one, 5), all_of(one, 6))
    assert not same(all_of(one, 5), all_of(in_memory(data, shuffle=True, seed=4), 5))


def test_an_epoch_can_begin_in_the_middle(data):
    augment = Augmenter(Augment(mixup=0.5), 2)
    batches = in_memory(data, shuffle=True, augment=augment)
    assert same(all_of(batches, 2, 3), all_of(batches, 2)[3:])


@pytest.mark.parametrize("workers", [0, 2])
def test_streamed_batches_are_those_in_memory(data, workers):
    table, preprocess = data
    streamed = Batches(ArrowRows(table, preprocess, workers), 32, shuffle=True, seed=7)
    assert same(all_of(streamed, 1), all_of(in_memory(data, shuffle=True, seed=7), 1))
    assert same(all_of(streamed, 1, 4), all_of(streamed, 1)[4:])


@pytest.mark.parametrize("workers", [0, 2])
def test_the_random_state_of_training_is_left_alone(data, workers):
    table, preprocess = data
    torch.manual_seed(5)
    before = torch.get_rng_state()
    all_of(
        Batches(
            ArrowRows(table, preprocess, workers), 32, shuffle=True, augment=Augmenter(Augment(mixup=1), 2)
        )
    )
    assert torch.equal(torch.get_rng_state(), before)


def test_what_does_not_fit_is_streamed_and_says_so(data):
    table, preprocess = data
    held, reason = rows(table, preprocess, 0.5)
    assert isinstance(held, MemoryRows)
    assert "in memory" in reason
    streamed, reason = rows(table, preprocess, 1e-12)
    assert isinstance(streamed, ArrowRows)
    assert "streamed" in reason


def test_a_last_batch_of_one_row_joins_the_one_before():
    numbers = MemoryRows(torch.arange(33.0)[:, None], torch.arange(33))
    shuffled = Batches(numbers, 16, shuffle=True)
    assert [len(inputs) for inputs, _ in shuffled] == [16, 17]
    assert len(shuffled) == 2
    assert [len(inputs) for inputs, _ in Batches(numbers, 16)] == [16, 16, 1]  # measuring needs no company
    assert [len(inputs) for inputs, _ in Batches(numbers, 1, shuffle=True)] == [1] * 33


def test_take_gathers_what_numpy_would_gather():
    values = np.arange(1000)
    table = pa.concat_tables(
        [
            pa.table({"x": values[:7], "t": values[:7].astype(str)}),
            pa.table({"x": values[7:], "t": values[7:].astype(str)}),
        ]
    )
    chunks = table.to_batches()
    starts = np.cumsum([0, *(len(chunk) for chunk in chunks)])
    wanted = np.random.default_rng(0).integers(0, 1000, 64)
    found = take(chunks, starts, wanted)
    assert found["x"].to_pylist() == values[wanted].tolist()
    assert found["t"].to_pylist() == values[wanted].astype(str).tolist()


def test_a_streamed_training_is_the_same_training(runs):
    from pellucid.build import train
    from pellucid.config import Config

    X = np.random.default_rng(0).normal(size=(400, 6)).astype(np.float32)
    dataset = arrays(X, (X[:, 0] * X[:, 1] > 0).astype(int))
    base = Config.parse({"train": {"epochs": 2, "path": "eager"}})
    held = train(base, runs=runs, dataset=dataset)
    streamed = train(base.patch({"data.memory": 1e-12}), runs=runs, dataset=dataset)
    assert held.metrics == streamed.metrics
    assert next(c["value"] for c in streamed.facts["choices"] if c["what"] == "data") == "streamed"
