"""Kill a training run with SIGKILL at random moments, resume it, and compare with an uninterrupted one.

    .venv/bin/python benchmarks/kill.py --points 25

For each point: start the recipe, wait for its first checkpoint, kill it at a random moment, resume it, and
compare every weight, every optimizer moment and every recorded metric, bit for bit. Checkpoints are written
every 50 ms, so that many kills happen while one is written. Prints a line per point, and a JSON object at the
end.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from pathlib import Path

TIMES = ("epoch_seconds", "memory/rss_mb")
OWN_BATCHES = ("dict", "loader")
"""Trainings on other batches: dicts, and a `DataLoader` with a seeded sampler and augmentation."""


def command(recipe: str, runs: Path, *more: str) -> list[str]:
    if recipe in OWN_BATCHES:
        return [sys.executable, __file__, "--train", recipe, "--runs", str(runs), *more]
    settings = ["--set", "train.checkpoint_seconds=0.05", "--data-fraction", "0.2", "--epochs", "6"]
    return [sys.executable, "-m", "pellucid", "run", recipe, "--runs", str(runs), *settings, *more]


def start(recipe: str, runs: Path, *more: str) -> subprocess.Popen[bytes]:
    sink = subprocess.DEVNULL
    return subprocess.Popen(command(recipe, runs, *more), stdout=sink, stderr=sink, start_new_session=True)


def wait_for_training(process: subprocess.Popen[bytes], runs: Path) -> Path:
    """Return the run folder as soon as its first checkpoint exists."""
    while process.poll() is None:
        for pointer in runs.glob("*/checkpoints/last"):
            return pointer.parent.parent
        time.sleep(0.005)
    raise SystemExit(f"training ended before it began: exit code {process.returncode}")


def outcome(run: Path) -> dict[str, str]:
    """Return hashes of the final state of a run."""
    last = run / "checkpoints" / (run / "checkpoints" / "last").read_text().strip()
    best = run / "checkpoints" / (run / "checkpoints" / "best").read_text().strip()
    files = [last / "model.safetensors", last / "optimizer.safetensors", best / "model.safetensors"]
    found = {f"{path.parent.name}/{path.name}": digest(path.read_bytes()) for path in files}
    with contextlib.closing(sqlite3.connect(run / "run.sqlite")) as connection:
        marks = ",".join("?" * len(TIMES))
        query = f"SELECT key, step, value FROM metrics WHERE key NOT IN ({marks}) ORDER BY key, step"
        found["metrics"] = digest(repr(connection.execute(query, TIMES).fetchall()).encode())
    found["result"] = json.dumps(json.loads((run / "run.json").read_text())["metrics"])
    return found


def train_on_own_batches(kind: str, runs: Path, resume: str | None) -> None:
    """Train a small network with dropout on scikit-learn's digits, from a loader."""
    import numpy as np
    import torch
    from sklearn.datasets import load_digits
    from torch import nn
    from torch.utils.data import DataLoader, Dataset, RandomSampler

    import pellucid

    pixels, labels = load_digits(return_X_y=True)
    inputs, targets = torch.tensor(pixels, dtype=torch.float32) / 16, torch.tensor(labels)

    class Shifted(Dataset):
        """Draws from two global generators, as augmentation does."""

        def __len__(self) -> int:
            return 1400

        def __getitem__(self, row: int) -> dict[str, torch.Tensor]:
            noise = 0.1 * torch.randn(64) + float(np.random.normal(scale=0.01))
            return {"input": inputs[row] + noise, "label": targets[row]}

    held_out = [{"input": inputs[1400:], "label": targets[1400:]}]
    if kind == "loader":
        data = Shifted()
        sampler = RandomSampler(data, generator=torch.Generator().manual_seed(1))
        source = DataLoader(data, 32, sampler=sampler)
    else:
        rows = torch.arange(1400).split(32)
        source = [{"input": inputs[chosen], "label": targets[chosen]} for chosen in rows]
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Dropout(0.2), nn.Linear(64, 10))
    pellucid.fit(
        model,
        source,
        validation=held_out,
        epochs=20 if kind == "loader" else 60,
        runs=runs,
        resume=resume,
        progress=False,
        settings={"train.checkpoint_seconds": 0.05},
    )


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:16]


def try_point(
    recipe: str, seconds: float, expected: dict[str, str], chance: random.Random
) -> dict[str, object]:
    with tempfile.TemporaryDirectory() as folder:
        runs = Path(folder)
        process = start(recipe, runs)
        run = wait_for_training(process, runs)
        time.sleep(chance.uniform(0, seconds))
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        during = bool(
            list((run / "checkpoints").glob(".partial-*")) + list((run / "checkpoints").glob(".last.*"))
        )
        step = (run / "checkpoints" / "last").read_text().strip()
        code = start(recipe, runs, "--resume", "last").wait()
        same = code == 0 and outcome(run) == expected
        return {"killed_after": step, "during_checkpoint": during, "exit_code": code, "identical": same}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--points", type=int, default=25)
    parser.add_argument(
        "--recipe", default="digits-mlp", help=f"a recipe, or one of {', '.join(OWN_BATCHES)}"
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--train", choices=OWN_BATCHES, help=argparse.SUPPRESS)
    parser.add_argument("--runs", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--resume", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.train:
        train_on_own_batches(given.train, given.runs, given.resume)
        return
    with tempfile.TemporaryDirectory() as folder:
        runs = Path(folder)
        start(given.recipe, runs).wait()  # measures the path once, and keeps it for this machine
        control = start(given.recipe, runs / "control")
        run = wait_for_training(control, runs / "control")
        if control.wait():
            raise SystemExit(f"the control failed: exit code {control.returncode}")
        expected = outcome(run)
        seconds = json.loads((run / "run.json").read_text())["seconds"]["training"]
    chance, points = random.Random(given.seed), []
    for number in range(given.points):
        points.append(try_point(given.recipe, seconds, expected, chance))
        print(number + 1, points[-1], flush=True)
    identical = sum(bool(point["identical"]) for point in points)
    during = sum(bool(point["during_checkpoint"]) for point in points)
    print(
        json.dumps(
            {"points": len(points), "identical": identical, "during_checkpoint": during, "seconds": seconds}
        )
    )
    sys.exit(identical != len(points))


if __name__ == "__main__":
    main()
