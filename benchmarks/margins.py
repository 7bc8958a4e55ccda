"""What recording the margins of training rows costs: trainers with `LabelMargins` and without, in turn.

    OMP_NUM_THREADS=1 python benchmarks/margins.py [--pairs 15]

Each pair trains the same model on the same batches from the same seed; the weights at the end must be
equal to the bit. The ratio is that of the medians of processor time, which other programs disturb least.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn

from pellucid.config import TrainConfig
from pellucid.data.batches import Batches, MemoryRows
from pellucid.models import CNN
from pellucid.models.mlp import mlp
from pellucid.tasks.classification.objective import classification
from pellucid.train.margins import LabelMargins
from pellucid.train.optimizers import optimizer
from pellucid.train.trainer import Trainer

CASES: dict[str, tuple[Callable[[], nn.Module], int, str]] = {
    "mlp": (lambda: mlp((1, 28, 28), 10), 8_000, "eager"),
    "mlp, compiled": (lambda: mlp((1, 28, 28), 10), 8_000, "compiled"),
    "cnn": (lambda: CNN(num_classes=10), 2_000, "eager"),
}


def train(make: Callable[[], nn.Module], count: int, mode: str, record: bool) -> tuple[float, list[Tensor]]:
    """Return the seconds of three epochs, and the weights."""
    torch.manual_seed(0)
    rows = MemoryRows(torch.randn(count, 1, 28, 28), torch.randint(0, 10, (count,)))
    batches = Batches(rows, 128, seed=0, shuffle=True)
    margins = [LabelMargins(rows.targets, batches.row_numbers_of)] if record else []
    config = TrainConfig(epochs=3, device="cpu", execution=mode)
    trainer = Trainer(
        make(), classification(), partial(optimizer, "adamw", lr=1e-3), config, callbacks=margins
    )
    start = time.process_time()
    trainer.fit(batches)
    return time.process_time() - start, [one.detach() for one in trainer.model.parameters()]


def main() -> None:
    """Print a row for each case."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pairs", type=int, default=15)
    pairs = parser.parse_args().pairs
    print("| model | without, s | with, s | ratio | same bits |\n| --- | --- | --- | --- | --- |")
    for name, (make, count, mode) in CASES.items():
        seconds: dict[bool, list[float]] = {False: [], True: []}
        same = True
        train(make, count, mode, record=True)
        for pair in range(pairs):
            found = {
                record: train(make, count, mode, record)
                for record in ((False, True), (True, False))[pair % 2]
            }
            for record, (took, _) in found.items():
                seconds[record].append(took)
            same &= all(torch.equal(a, b) for a, b in zip(found[True][1], found[False][1], strict=True))
        plain, recorded = (statistics.median(seconds[record]) for record in (False, True))
        print(
            f"| {name} | {plain:.3f} | {recorded:.3f} | {recorded / plain:.3f} | {'yes' if same else 'NO'} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
