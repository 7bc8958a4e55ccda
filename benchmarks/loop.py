"""Compare the trainer with a hand-written loop that does the same work: same process, alternating, as a
ratio.

    .venv/bin/python benchmarks/loop.py --pairs 11

Both gather shuffled batches by index, run forward, backward and the same fused AdamW with the same cosine
schedule, sum the loss, and check it for NaN. The trainer has the callbacks of every run (guard, memory,
monitor, recorder, signals) and writes to a run folder; neither writes checkpoints. The order within a pair
alternates. Prints a table and a JSON object: the ratio trainer / loop, median and range over the pairs.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import tempfile
import time
from collections.abc import Callable
from functools import partial

import torch
from torch import nn
from torch.nn import functional as F

from pellucid.config import TrainConfig
from pellucid.data.batches import Batches, MemoryRows
from pellucid.models import CNN, MLP
from pellucid.record import Run
from pellucid.tasks.classification.objective import classification
from pellucid.train.callbacks import Memory, Monitor, NonFiniteGuard, Recorder, SignalHandler
from pellucid.train.optimizers import optimizer
from pellucid.train.schedules import cosine
from pellucid.train.trainer import Trainer

LR = 1e-3
WORKLOADS: dict[str, tuple[Callable[[], nn.Module], int, int]] = {
    "mlp, batch 32": (lambda: MLP([784, 128, 64, 10]), 32, 1500),
    "mlp, batch 512": (lambda: MLP([784, 128, 64, 10]), 512, 150),
    "cnn, batch 128": (lambda: CNN(num_classes=10), 128, 12),
}


def by_hand(make: Callable[[], nn.Module], inputs: torch.Tensor, targets: torch.Tensor, size: int) -> float:
    """Train with the loop of every tutorial, with the data in memory."""
    model = make().train()
    made = optimizer("adamw", list(model.parameters()), lr=LR)
    steps = math.ceil(len(inputs) / size)
    factor, total = cosine(steps), 0.0
    start = time.perf_counter()
    for step, rows in enumerate(torch.randperm(len(inputs)).split(size)):
        for group in made.param_groups:
            group["lr"] = LR * factor(step)
        x, y = inputs.index_select(0, rows), targets.index_select(0, rows)
        made.zero_grad()
        loss = F.cross_entropy(model(x), y)
        loss.backward()
        value = loss.item()
        if not math.isfinite(value):
            raise ArithmeticError("the loss is not a number")
        made.step()
        total += value
    return time.perf_counter() - start


def by_trainer(
    make: Callable[[], nn.Module], inputs: torch.Tensor, targets: torch.Tensor, size: int, folder: str
) -> float:
    batches = Batches(MemoryRows(inputs, targets), size, shuffle=True)
    run = Run.create(folder, "loop", "")
    trainer = Trainer(
        make(),
        classification(),
        partial(optimizer, "adamw", lr=LR),
        TrainConfig(epochs=1, device="cpu", execution="eager"),
        schedule=cosine(len(batches)),
        callbacks=[NonFiniteGuard(run), Memory(), Monitor("train/loss"), Recorder(run), SignalHandler()],
    )
    start = time.perf_counter()
    trainer.fit(batches)
    return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pairs", type=int, default=11)
    parser.add_argument("--only", choices=list(WORKLOADS))
    given = parser.parse_args()
    found = {}
    for name, (make, size, steps) in WORKLOADS.items():
        if given.only not in (None, name):
            continue
        torch.manual_seed(0)
        shape = (1, 28, 28) if "cnn" in name else (784,)
        inputs, targets = torch.randn(size * steps, *shape), torch.randint(0, 10, (size * steps,))
        ratios, rates = [], []
        with tempfile.TemporaryDirectory() as folder:
            tries = [
                partial(by_hand, make, inputs, targets, size),
                partial(by_trainer, make, inputs, targets, size, folder),
            ]
            for pair in range(given.pairs + 1):
                order = (0, 1) if pair % 2 else (1, 0)
                seconds = {which: tries[which]() for which in order}
                if pair:  # the first is a warm-up
                    ratios.append(seconds[1] / seconds[0])
                    rates.append(steps / seconds[1])
        found[name] = {
            "ratio": statistics.median(ratios),
            "lowest": min(ratios),
            "highest": max(ratios),
            "trainer_steps_per_second": statistics.median(rates),
        }
        print(
            f"{name:<16} trainer / loop {found[name]['ratio']:.3f}  ({min(ratios):.3f} to {max(ratios):.3f})",
            flush=True,
        )
    print(json.dumps(found))


if __name__ == "__main__":
    main()
