"""Speed, as ratios within one process that exceed the noise."""

from __future__ import annotations

import time
from collections.abc import Callable

import torch
from torch.utils.data import DataLoader, TensorDataset

from pellucid.data.batches import Batches, MemoryRows
from pellucid.models import generation, gpt


def seconds(work: Callable[[], object], times: int = 3) -> float:
    """The shortest of a few."""
    found = []
    for _ in range(times):
        began = time.perf_counter()
        work()
        found.append(time.perf_counter() - began)
    return min(found)


def test_batches_are_gathered_without_a_loop_over_rows() -> None:
    images, labels = torch.rand(6000, 1, 28, 28), torch.zeros(6000, dtype=torch.long)
    ours = Batches(MemoryRows(images, labels), 128, shuffle=True)
    loader = DataLoader(TensorDataset(images, labels), 128, shuffle=True)
    assert seconds(lambda: [None for _ in loader]) > 3 * seconds(lambda: [None for _ in ours])


def test_generation_computes_only_new_tokens() -> None:
    torch.manual_seed(0)
    model = gpt((256,), 65, size="tiny", dropout=0.0).eval()
    prompt = torch.ones(1, 1, dtype=torch.long)

    def whole() -> None:
        tokens = prompt
        with torch.inference_mode():
            for _ in range(200):
                tokens = torch.cat([tokens, model(tokens)[:, -1:].argmax(-1)], dim=1)

    def cached() -> None:
        generation.sample(model, prompt, 200, temperature=0.0)

    assert seconds(whole) > 1.2 * seconds(cached)
