"""Measurements within one process, as ratios: batches, generation, and the cost of more rows.

    .venv/bin/python benchmarks/alone.py

Prints a line per measurement, and a JSON object: the median ratio and its range over pairs in alternating
order.
"""

from __future__ import annotations

import json
import statistics
import tempfile
import time
from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn
from torch._inductor import aoti_compile_and_package, aoti_load_package
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset

from pellucid.config import Augment, TrainConfig
from pellucid.data.augment import Augmenter
from pellucid.data.batches import Batches, MemoryRows
from pellucid.models import cnn, generation, gpt, mlp
from pellucid.tasks.classification.objective import classification
from pellucid.train.callbacks import Callback
from pellucid.train.optimizers import optimizer
from pellucid.train.trainer import Trainer

SHIFT, ROTATE = 0.1, 15.0


class Changed(Dataset[tuple[Tensor, Tensor]]):
    """Images that are shifted and rotated one by one, for a `DataLoader`."""

    def __init__(self, images: Tensor, labels: Tensor):
        self.images, self.labels = images, labels

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, number: int) -> tuple[Tensor, Tensor]:
        angle = torch.deg2rad((torch.rand(()) * 2 - 1) * ROTATE)
        shift = (torch.rand(2) * 2 - 1) * 2 * SHIFT
        cos, sin = angle.cos(), angle.sin()
        matrix = torch.stack([torch.stack([cos, -sin, shift[0]]), torch.stack([sin, cos, shift[1]])])
        image = self.images[number][None]
        grid = F.affine_grid(matrix[None], list(image.shape), align_corners=False)
        return F.grid_sample(image, grid, align_corners=False)[0], self.labels[number]


def batches() -> tuple[Callable[[], object], Callable[[], object]]:
    """Compare an epoch of 60,000 augmented images: a `DataLoader` with two workers, and ours."""
    images, labels = torch.rand(60_000, 1, 28, 28), torch.zeros(60_000, dtype=torch.long)
    loader = DataLoader(Changed(images, labels), 128, shuffle=True, num_workers=2)
    change = Augmenter(Augment(shift=SHIFT, rotate=ROTATE))
    ours = Batches(MemoryRows(images, labels), 128, shuffle=True, augment=change)
    return lambda: [None for _ in loader], lambda: [None for _ in ours]


def writing() -> tuple[Callable[[], object], Callable[[], object]]:
    """Compare generating 500 characters with a GPT of context 512: without a cache, and with it."""
    model = gpt((512,), 65, size="small", dropout=0.0).eval()
    prompt = torch.ones(1, 1, dtype=torch.long)

    @torch.inference_mode()
    def anew() -> None:
        tokens = prompt
        for _ in range(500):
            tokens = torch.cat([tokens, model(tokens)[:, -1:].argmax(-1)], dim=1)

    return anew, partial(generation.sample, model, prompt, 500, temperature=0.0, stop=None)


def predicting() -> tuple[Callable[[], object], Callable[[], object]]:
    """Compare predicting 1,000 digits one by one: exported and compiled (.pt2), and the module."""
    model, image = cnn((1, 28, 28), 10).eval(), torch.rand(1, 1, 28, 28)
    with tempfile.TemporaryDirectory() as folder:
        program = torch.export.export(model, (image,))
        path = f"{folder}/digits.pt2"
        aoti_compile_and_package(program, package_path=path, inductor_configs={"freezing": True})
        exported = aoti_load_package(path)

    @torch.inference_mode()
    def ask(asked: Callable[[Tensor], object]) -> None:
        for _ in range(1000):
            asked(image)

    return partial(ask, exported), partial(ask, model)


class Epochs(Callback):
    """Record the seconds of each epoch."""

    def __init__(self) -> None:
        self.began, self.seconds = 0.0, list[float]()

    def on_epoch_start(self, trainer: Trainer) -> None:
        self.began = time.perf_counter()

    def on_epoch_end(self, trainer: Trainer) -> None:
        self.seconds.append(time.perf_counter() - self.began)


def rows(count: int) -> Callable[[], float]:
    """Return the seconds of the second epoch of a training run on n rows."""
    inputs, targets = torch.rand(count, 32), torch.zeros(count, dtype=torch.long)
    learned_from = Batches(MemoryRows(inputs, targets), 256, shuffle=True)

    def epoch() -> float:
        model: nn.Module = mlp((32,), 10, size="tiny")
        config, watch = TrainConfig(epochs=2, device="cpu", execution="eager"), Epochs()
        make = partial(optimizer, "adamw", lr=1e-3)
        Trainer(model, classification(), make, config, callbacks=[watch]).fit(learned_from)
        return watch.seconds[-1]

    return epoch


def compared(first: Callable[[], object], second: Callable[[], object], pairs: int) -> dict[str, float]:
    """Return how many times as long the first takes as the second; the first pair is a warm-up."""
    ratios = []
    for pair in range(pairs + 1):
        seconds = {}
        for name, work in ((0, first), (1, second)) if pair % 2 else ((1, second), (0, first)):
            began = time.perf_counter()
            said = work()
            seconds[name] = said if isinstance(said, float) else time.perf_counter() - began
        ratios.append(seconds[0] / seconds[1])
    found = ratios[1:]
    return {"ratio": statistics.median(found), "lowest": min(found), "highest": max(found)}


def main() -> None:
    torch.manual_seed(0)
    found = {
        "batches, DataLoader / ours": compared(*batches(), pairs=3),
        "500 characters, without a cache / with": compared(*writing(), pairs=5),
        "a digit, exported / as it is": compared(*predicting(), pairs=5),
        "an epoch of 1,000,000 rows / 100,000": compared(rows(1_000_000), rows(100_000), pairs=5),
        "an epoch of 100,000 rows / 10,000": compared(rows(100_000), rows(10_000), pairs=5),
    }
    for name, one in found.items():
        print(f"{name:<40} {one['ratio']:6.2f}  ({one['lowest']:.2f} to {one['highest']:.2f})")
    print(json.dumps(found))


if __name__ == "__main__":
    main()
