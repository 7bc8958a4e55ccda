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


def command(recipe: str, runs: Path, *more: str) -> list[str]:
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
    parser.add_argument("--recipe", default="digits-mlp")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
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
