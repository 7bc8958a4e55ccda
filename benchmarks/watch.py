"""What watching costs: plain PyTorch loops with `pellucid.watch` and without, in turn; and runs of Pellucid.

    python benchmarks/watch.py [--pairs 5] [--seconds 8]

Each pair trains the same model on the same batches from the same seed; the weights at the end must be the
same to the bit. The ratio is that of wall times, the median over the pairs. Of runs (`train.watch`) it is the
time of training, after the data are read and the execution mode is chosen. The length is in steps, of runs in
epochs.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import pellucid
from pellucid.train.checkpoint import find_weights

Made = tuple[nn.Module, Tensor, Tensor, Callable[[Any, Tensor], Tensor]]


class Rows(nn.Module):
    """An LSTM over the rows of a picture."""

    def __init__(self) -> None:
        super().__init__()
        self.rnn, self.head = nn.LSTM(28, 128, batch_first=True), nn.Linear(128, 10)

    def forward(self, x: Tensor) -> Tensor:
        """(B, 28, 28) -> (B, 10)."""
        return self.head(self.rnn(x)[0][:, -1])


def mlp() -> Made:
    """A small MLP, the hardest case: its steps are the shortest."""
    model = nn.Sequential(nn.Linear(784, 256), nn.ReLU(), nn.Linear(256, 256), nn.ReLU(), nn.Linear(256, 10))
    return model, torch.randn(128, 784), torch.randint(0, 10, (128,)), F.cross_entropy


def cnn() -> Made:
    """A small CNN."""
    model = nn.Sequential(
        nn.Conv2d(1, 16, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(16, 32, 3), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(800, 10),
    )  # fmt: skip
    return model, torch.randn(128, 1, 28, 28), torch.randint(0, 10, (128,)), F.cross_entropy


def lstm() -> Made:
    """An LSTM."""
    return Rows(), torch.randn(64, 28, 28), torch.randint(0, 10, (64,)), F.cross_entropy


def gpt() -> Made:
    """A small GPT."""
    model = pellucid.models.GPT(vocab_size=65, max_seq_len=64)
    tokens = torch.randint(0, 65, (32, 65))

    def loss(outputs: Any, targets: Tensor) -> Tensor:
        return F.cross_entropy(outputs.flatten(0, 1), targets.flatten())

    return model, tokens[:, :-1], tokens[:, 1:], loss


def train(make: Callable[[], Made], steps: int, watch: bool) -> tuple[float, list[Tensor]]:
    """Return the seconds of a loop and its weights."""
    torch.manual_seed(0)
    model, x, y, loss_fn = make()
    optimizer = torch.optim.AdamW(model.parameters(), 1e-4)
    batches = [x if not x.is_floating_point() else x + 0.01 * i for i in range(8)]
    start = time.perf_counter()
    w = pellucid.watch(model, optimizer) if watch else None
    for step in range(steps):
        optimizer.zero_grad()
        loss = loss_fn(model(batches[step % 8]), y)
        loss.backward()
        optimizer.step()
        if w is not None:
            w.step(loss, inputs=batches[step % 8], targets=y)
    if w is not None:
        w.close()
    return time.perf_counter() - start, [one.detach() for one in model.parameters()]


def run_data(folder: Path) -> dict[str, Any]:
    """Return small data for each model of a run."""
    draw = np.random.default_rng(0)
    pictures, labels = draw.random((2000, 28, 28, 1), dtype=np.float32), np.arange(2000) % 10
    text = folder / "text.txt"
    text.write_text("\n".join(f"to be or not to be, that is the question {i}" for i in range(300)))
    return {
        "mlp": (pictures, labels),
        "cnn": (pictures, labels),
        "lstm": (pictures[..., 0], labels),
        "gpt": str(text),
    }


def train_run(name: str, data: Any, epochs: int, watch: bool, folder: Path) -> tuple[float, bytes]:
    """Return the seconds of training of a run, and its weights as they are stored."""
    settings = {
        "train.execution": "eager",
        "train.epochs": epochs,
        "train.watch": "light" if watch else "off",
    }
    run = pellucid.fit(name, data, runs=folder, progress=False, settings=settings)
    return run.facts["seconds"]["training"], find_weights(run, "last").read_bytes()


def runs(pairs: int, seconds: float) -> None:
    """Print a row for each model that `pellucid.fit` trains."""
    torch.set_num_threads(1)  # else a run chooses its number by measuring, and sums differ with it
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for model, data in run_data(folder).items():
            train_run(model, data, 1, watch=False, folder=folder)
            epochs = max(1, round(seconds / train_run(model, data, 1, watch=False, folder=folder)[0]))
            ratios, plain, same = [], [], True
            for pair in range(pairs):
                order = (False, True) if pair % 2 == 0 else (True, False)
                found = {watch: train_run(model, data, epochs, watch, folder) for watch in order}
                plain.append(found[False][0])
                ratios.append(found[True][0] / found[False][0])
                same &= found[True][1] == found[False][1]
            show(f"{model} run", epochs, plain, ratios, same)


def show(name: str, steps: int, plain: list[float], ratios: list[float], same: bool) -> None:
    """Print one row."""
    listed = " ".join(f"{ratio:.3f}" for ratio in ratios)
    print(
        f"{name:<9}{steps:>8,}{statistics.median(plain):>10.2f}{listed:>42}"
        f"{statistics.median(ratios):>9.3f}  {'yes' if same else 'NO'}",
        flush=True,
    )


def main() -> None:
    """Print a row for each model."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=8.0)
    options = parser.parse_args()
    print(f"{'model':<9}{'length':>8}{'plain s':>10}{'ratios':>42}{'median':>9}  same bits")
    for make in (mlp, cnn, lstm, gpt):
        steps = max(50, round(40 * options.seconds / train(make, 40, watch=False)[0]))
        ratios, plain, same = [], [], True
        for pair in range(options.pairs):
            order = (False, True) if pair % 2 == 0 else (True, False)
            found = {watch: train(make, steps, watch) for watch in order}
            plain.append(found[False][0])
            ratios.append(found[True][0] / found[False][0])
            same &= all(torch.equal(a, b) for a, b in zip(found[True][1], found[False][1], strict=True))
        show(make.__name__, steps, plain, ratios, same)
    runs(options.pairs, options.seconds)


if __name__ == "__main__":
    main()
