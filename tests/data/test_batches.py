"""Batches are a pure function of (seed, epoch), whether in memory or streamed from disk."""

import sys

import numpy as np
import psutil
import pyarrow as pa
import pytest
import torch

from pellucid.config import Augment
from pellucid.data import arrow_rows, tensor_column
from pellucid.data.arrow_rows import ArrowRows, Chunks
from pellucid.data.augment import Augmenter
from pellucid.data.batches import Batches, MemoryRows, rows
from pellucid.data.dataset import Column
from pellucid.data.encoder import FitOptions
from pellucid.data.kinds.tensor import TensorInputs
from pellucid.data.preprocess import Preprocess
from pellucid.data.sources.arrays import arrays
from pellucid.data.sources.toy import moons


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


def test_every_row_occurs_once_per_epoch(data):
    batches = in_memory(data, shuffle=True)
    seen = torch.cat([inputs for inputs, _ in batches])
    assert torch.equal(seen.sort(dim=0).values, batches.rows.inputs.sort(dim=0).values)
    assert len(list(batches)) == len(batches) == 7


def test_epochs_differ_and_are_repeatable(data):
    one, two = in_memory(data, shuffle=True, seed=3), in_memory(data, shuffle=True, seed=3)
    assert same(all_of(one, 5), all_of(two, 5))
    assert not same(all_of(one, 5), all_of(one, 6))
    assert not same(all_of(one, 5), all_of(in_memory(data, shuffle=True, seed=4), 5))


def test_an_epoch_can_start_in_the_middle(data):
    augment = Augmenter(Augment(mixup=0.5), 2)
    batches = in_memory(data, shuffle=True, augment=augment)
    assert same(all_of(batches, 2, 3), all_of(batches, 2)[3:])


@pytest.mark.parametrize("workers", [0, 2])
def test_streamed_batches_equal_those_in_memory(data, workers):
    table, preprocess = data
    streamed = Batches(ArrowRows(table, preprocess, workers), 32, shuffle=True, seed=7)
    assert same(all_of(streamed, 1), all_of(in_memory(data, shuffle=True, seed=7), 1))
    assert same(all_of(streamed, 1, 4), all_of(streamed, 1)[4:])


@pytest.mark.parametrize("workers", [0, 2])
def test_batches_do_not_change_the_global_random_state(data, workers):
    table, preprocess = data
    torch.manual_seed(5)
    before = torch.get_rng_state()
    all_of(
        Batches(
            ArrowRows(table, preprocess, workers), 32, shuffle=True, augment=Augmenter(Augment(mixup=1), 2)
        )
    )
    assert torch.equal(torch.get_rng_state(), before)


def test_data_larger_than_memory_is_streamed_with_a_note(data):
    table, preprocess = data
    held, reason = rows(table, preprocess, 0.5)
    assert isinstance(held, MemoryRows)
    assert "in memory" in reason
    streamed, reason = rows(table, preprocess, 1e-12)
    assert isinstance(streamed, ArrowRows)
    assert "streamed" in reason


def test_a_last_batch_of_one_row_is_merged_with_the_previous_one():
    numbers = MemoryRows(torch.arange(33.0)[:, None], torch.arange(33))
    shuffled = Batches(numbers, 16, shuffle=True)
    assert [len(inputs) for inputs, _ in shuffled] == [16, 17]
    assert len(shuffled) == 2
    assert [len(inputs) for inputs, _ in Batches(numbers, 16)] == [16, 16, 1]  # measuring needs no company
    assert [len(inputs) for inputs, _ in Batches(numbers, 1, shuffle=True)] == [1] * 33


def test_take_equals_numpy_indexing():
    values = np.arange(1000)
    arrays = np.random.default_rng(1).integers(0, 2**16, (1000, 2, 3)).astype(np.uint16)
    fields = pa.table({"x": values, "t": values.astype(str), "a": tensors(arrays)})
    table = pa.concat_tables([fields.slice(0, 7), fields.slice(7, 3), fields.slice(10)])
    for wanted in (np.random.default_rng(0).integers(0, 1000, 64), np.array([8, 7])):
        found = Chunks(table).take(wanted)
        assert found.schema == table.schema
        assert found["x"].to_pylist() == values[wanted].tolist()
        assert found["t"].to_pylist() == values[wanted].astype(str).tolist()
        np.testing.assert_array_equal(tensor_column.tensor_values(found["a"]), arrays[wanted])


def tensors(values):
    return pa.FixedShapeTensorArray.from_numpy_ndarray(values)


def test_arrays_with_permuted_strides_are_read_correctly():
    values = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
    turned = pa.FixedShapeTensorArray.from_numpy_ndarray(np.moveaxis(values, 1, 2).copy().transpose(0, 2, 1))
    assert turned.type.permutation is not None
    np.testing.assert_array_equal(turned.to_numpy_ndarray(), values)
    np.testing.assert_array_equal(tensor_column.torch_values(turned).numpy(), values)
    found = Chunks(pa.table({"a": turned})).take(np.array([1, 0]))
    np.testing.assert_array_equal(tensor_column.tensor_values(found["a"]), values[::-1])


def test_training_on_streamed_data_is_identical(runs):
    from pellucid.config import Config
    from pellucid.runner import train

    X = np.random.default_rng(0).normal(size=(400, 6)).astype(np.float32)
    dataset = arrays(X, (X[:, 0] * X[:, 1] > 0).astype(int))
    base = Config.parse({"train": {"epochs": 2, "execution": "eager"}})
    held = train(base, runs=runs, dataset=dataset)
    streamed = train(base.patch({"data.memory": 1e-12}), runs=runs, dataset=dataset)
    assert held.metrics == streamed.metrics
    assert next(c["value"] for c in streamed.facts["choices"] if c["what"] == "data") == "streamed"


# ---- more than fits into memory ----------------------------------------------------------------


def test_a_large_table_is_shuffled_block_by_block(data, monkeypatch):
    table, preprocess = data
    row = table.nbytes // len(table)
    monkeypatch.setattr(arrow_rows, "BLOCK_BYTES", 4 * row)
    monkeypatch.setattr(arrow_rows, "GROUP_BYTES", 4 * 4 * row)  # 16 rows at a time
    batches = Batches(ArrowRows(table, preprocess, 0), 8, shuffle=True)
    for epoch in (0, 1):
        order = torch.cat(batches._indices(epoch))
        assert torch.equal(order.sort().values, torch.arange(len(table)))
        for group in order.split(16)[:-2]:
            assert len((group // 4).unique()) <= 5  # of four blocks, whole; the last of all is shorter
            assert not torch.equal(group, group.sort().values)
    assert not torch.equal(torch.cat(batches._indices(0)), torch.cat(batches._indices(1)))
    seen = torch.cat([inputs for inputs, _ in batches])
    assert torch.equal(seen.sort(dim=0).values, preprocess.inputs(table).sort(dim=0).values)


def test_rows_are_prefetched_before_they_are_read(monkeypatch):
    values = np.arange(60 * 4, dtype=np.float32).reshape(60, 2, 2)
    dataset = arrays(values, np.arange(60) % 2)
    whole = dataset.splits["train"]
    table = pa.concat_tables([whole.slice(0, 7), whole.slice(7, 30), whole.slice(37)])
    row = whole.nbytes // 60
    monkeypatch.setattr(arrow_rows, "BLOCK_BYTES", 10 * row)  # a block lies in two chunks
    monkeypatch.setattr(arrow_rows, "WINDOW_BYTES", 8 * row)
    monkeypatch.setattr(arrow_rows, "GROUP_BYTES", 20 * row)
    learned, asked = ArrowRows(table, Preprocess.fit(dataset), 0), []
    monkeypatch.setattr(
        arrow_rows, "_advise", lambda start, size, advice: asked.append((start, start + size))
    )
    images = next(
        name for name in table.column_names if table[name].type == tensor_column.tensor(values).type
    )
    rows_there = [row for chunk in table[images].chunks for row in tensor_column.torch_values(chunk)]
    plan = learned.plan(8, torch.Generator())
    assert not torch.equal(torch.cat(plan).sort().values, torch.cat(plan))
    for order, _ in zip(plan, learned.batches(plan), strict=True):
        wanted = [rows_there[number].data_ptr() for number in order.tolist()]
        assert all(any(start <= place < end for start, end in asked) for place in wanted)
    places = [row.data_ptr() for row in rows_there]
    images_asked = [span for span in asked if any(span[0] <= place < span[1] for place in places)]
    assert sum(end - start for start, end in images_asked) == values.nbytes  # each once


@pytest.mark.skipif(sys.platform != "linux", reason="pages are let go on Linux alone")
def test_pages_are_released_after_reading(tmp_path):
    values = np.random.default_rng(0).random((256, 2**15))  # 64 MiB
    fields = pa.schema([("x", tensor_column.tensor(values[:1]).type)])
    with pa.OSFile(str(tmp_path / "x.arrow"), "wb") as file, pa.ipc.new_file(file, fields) as writer:
        for part in np.split(values.astype(np.float32), 4):
            writer.write_batch(pa.record_batch([tensor_column.tensor(part).chunk(0)], schema=fields))
    table = pa.ipc.open_file(pa.memory_map(str(tmp_path / "x.arrow"))).read_all()
    process = psutil.Process()

    def held() -> float:
        return process.memory_info().rss / 2**20

    before = held()
    expected = tensor_column.tensor_values(table["x"]).sum()
    read = held()
    Chunks(table).release()
    assert read - before > 25  # 32 MiB of float32
    assert held() < before + 5
    assert tensor_column.tensor_values(table["x"]).sum() == expected  # still there


def test_arrays_are_scaled_by_all_their_chunks():
    values = np.random.default_rng(0).normal(1000, [1, 2, 3], (5000, 3)).astype(np.float32)
    values[:, 2] = 7
    column, whole = Column("x", "tensor"), pa.table({"x": tensor_column.tensor(values)})
    parts = pa.concat_tables([whole.slice(0, 10), whole.slice(10, 2000), whole.slice(2010)])
    for table in (whole, parts):
        scaled = TensorInputs.fit(column, table, FitOptions())[0].apply(table)
        np.testing.assert_allclose(scaled[:, :2].mean(0), 0, atol=1e-4)
        np.testing.assert_allclose(scaled[:, :2].std(0), 1, atol=1e-4)
        np.testing.assert_allclose(scaled[:, 2], 0, atol=1e-4)
