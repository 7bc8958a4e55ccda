"""Rows of tokens are batched by length or read as a stream; the plan is a pure function of its generator."""

import numpy as np
import pytest
import torch

from pellucid.data.batches import Batches
from pellucid.data.text import ragged
from pellucid.data.text.ragged import Ragged
from pellucid.data.text.token_rows import IGNORED, RaggedRows, StreamRows, stream


def made(lengths, vocab_size=300):
    """Row i holds the token i + 1 `lengths[i]` times."""
    return ragged.join([np.full(length, row + 1) for row, length in enumerate(lengths)], vocab_size)


@pytest.fixture
def texts():
    lengths = np.random.default_rng(0).integers(1, 60, 257)
    return RaggedRows(made(lengths, 300), torch.arange(257))


def flat(lists):
    return [number for part in lists for number in part]


def numbers(batches, **options):
    return [targets.tolist() for _, targets in batches.epoch(**options)]


def test_ids_use_the_smallest_integer_type():
    assert made([1, 2], 256).ids.dtype == np.uint8
    assert made([1, 2], 257).ids.dtype == np.uint16
    assert made([1, 2], 70_000).ids.dtype == np.uint32


def test_rows_are_padded_truncated_filled_and_framed():
    rows = ragged.join([[5, 6, 7], [], [8]], 10)
    assert rows.padded().tolist() == [[5, 6, 7], [0, 0, 0], [8, 0, 0]]
    assert rows.padded(np.array([2, 0])).tolist() == [[8, 0, 0], [5, 6, 7]]
    assert rows.head(2).padded().tolist() == [[5, 6, 7], [0, 0, 0]]
    assert [rows.cut(2).row(i).tolist() for i in range(3)] == [[5, 6], [], [8]]
    assert [rows.cut(2, "middle").row(i).tolist() for i in range(3)] == [[5, 7], [], [8]]
    assert [rows.cut(2, "start").row(i).tolist() for i in range(3)] == [[6, 7], [], [8]]
    assert rows.filled(1).padded().tolist() == [[5, 6, 7], [1, 0, 0], [8, 0, 0]]
    assert rows.framed(2, 3).padded().tolist() == [[2, 5, 6, 7, 3], [2, 3, 0, 0, 0], [2, 8, 3, 0, 0]]


def test_a_batch_is_padded_to_its_longest_row(texts):
    for inputs, targets in Batches(texts, 16, shuffle=True):
        lengths = texts.inputs.lengths[targets.numpy()]
        assert inputs.dtype == torch.int64
        assert inputs.shape == (len(targets), lengths.max())
        assert torch.equal((inputs != 0).sum(1), torch.from_numpy(lengths))
        assert torch.equal(inputs.max(1).values, targets + 1)


@pytest.mark.parametrize("shuffle", [True, False])
def test_every_row_occurs_once_per_epoch(texts, shuffle):
    batches = Batches(texts, 16, shuffle=shuffle)
    assert sorted(flat(numbers(batches, number=3))) == list(range(257))
    assert (
        len(batches) == len(numbers(batches, number=3)) == (16 if shuffle else 17)
    )  # a lone row joins others


def test_epochs_differ_are_repeatable_and_can_start_in_the_middle(texts):
    batches = Batches(texts, 16, shuffle=True, seed=3)
    assert numbers(batches, number=5) == numbers(Batches(texts, 16, shuffle=True, seed=3), number=5)
    assert numbers(batches, number=5) != numbers(batches, number=6)
    assert numbers(batches, number=5, start=7) == numbers(batches, number=5)[7:]


def test_batches_hold_similar_lengths_in_random_order():
    long = RaggedRows(made(np.random.default_rng(1).integers(1, 500, 4000), 9000), torch.arange(4000))
    batches = list(Batches(long, 32, shuffle=True))
    cells = sum(inputs.numel() for inputs, _ in batches)
    assert cells < 1.1 * len(long.inputs.ids)
    longest = np.array([inputs.shape[1] for inputs, _ in batches])
    assert abs(np.corrcoef(longest, np.arange(len(longest)))[0, 1]) < 0.3


def test_evaluation_batches_report_their_row_order(texts):
    batches = Batches(texts, 50)
    order = batches.row_order()
    seen = torch.tensor(flat(numbers(batches, number=0)))
    assert torch.equal(order, seen)
    assert (np.diff(texts.inputs.lengths[order.numpy()]) >= 0).all()
    assert Batches(RaggedRows(made([1, 2, 3]), torch.arange(3)), 2).row_order() is None


def test_a_limit_samples_rows_of_every_length(texts):
    batches = Batches(texts, 16, shuffle=True, limit=100)
    taken = flat(numbers(batches, number=0))
    assert len(set(taken)) == 100
    assert abs(texts.inputs.lengths[taken].mean() - texts.inputs.lengths.mean()) < 5
    assert len(flat(numbers(Batches(texts, 16, limit=100), number=0))) == 100


def test_targets_may_be_tokens():
    pairs = RaggedRows(made([1, 4, 2]), made([3, 1, 2]))
    inputs, targets = next(iter(Batches(pairs, 3)))
    assert (inputs.shape, targets.shape) == ((3, 4), (3, 3))
    assert [row.max().item() for row in targets] == [row.max().item() for row in inputs]


# ---- streams -------------------------------------------------------------------------------------


def targets_of(batches):
    return torch.cat([targets.flatten() for _, targets in batches])


@pytest.mark.parametrize("total", [3, 10, 101, 104, 105])
def test_evaluation_predicts_every_token_once_except_the_first(total):
    rows = StreamRows(np.arange(total, dtype=np.uint8), 8)
    batches = Batches(rows, 4)
    wanted = targets_of(batches)
    assert wanted[wanted != IGNORED].tolist() == list(range(1, total))
    assert len(batches) == len(list(batches))
    assert batches.row_order() is None


def test_targets_are_inputs_shifted_by_one():
    rows = StreamRows(np.arange(100, dtype=np.uint8), 8)
    for shuffle in (True, False):
        for inputs, targets in Batches(rows, 4, shuffle=shuffle):
            known = targets != IGNORED
            assert torch.equal(inputs[known] + 1, targets[known])


def test_each_epoch_cuts_windows_at_another_offset():
    rows = StreamRows(np.arange(1000, dtype=np.uint16), 8)
    batches = Batches(rows, 4, shuffle=True)
    firsts = [sorted(inputs[0, 0].item() % 8 for inputs, _ in batches.epoch(epoch)) for epoch in range(6)]
    assert all(len(set(phases)) == 1 for phases in firsts)  # one phase an epoch
    assert len({phases[0] for phases in firsts}) > 1
    assert {len(list(batches.epoch(epoch))) for epoch in range(6)} == {len(batches)}
    assert all((targets_of(batches.epoch(epoch)) != IGNORED).all() for epoch in range(3))


def test_a_stream_shorter_than_its_window_is_one_row():
    inputs, targets = next(iter(Batches(StreamRows(np.array([7, 8, 9]), 8), 4, shuffle=True)))
    assert inputs.tolist() == [[7, 8, 9, 0, 0, 0, 0, 0]]
    assert targets.tolist() == [[8, 9] + [IGNORED] * 6]


def test_documents_are_joined_by_the_end_token():
    assert stream(ragged.join([[5, 6], [], [7]], 10), 3).tolist() == [5, 6, 3, 7, 3]
    assert stream(ragged.join([[5, 6]], 10), 3).tolist() == [5, 6]
    assert stream(Ragged(np.zeros(0, np.uint8), np.zeros(3, np.int64)), 3).tolist() == []
