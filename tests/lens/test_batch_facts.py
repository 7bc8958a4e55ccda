"""What is read of batches as they come."""

import torch

from pellucid.lens.watch.batch_facts import BatchFacts


def test_batches_with_empty_columns_are_distinguished():
    facts = BatchFacts()
    for _ in range(5):
        inputs = torch.rand(32, 64)
        inputs[:, ::32] = 0  # as the corners of 8 x 8 digits are
        facts.read(inputs, torch.arange(32) % 10, [inputs])
    assert facts.facts("").distinct == 5
