"""Read runs in a tight loop from several processes while one trains, and count what goes wrong.

    .venv/bin/python benchmarks/readers.py --polls 10000

One process trains a small MLP on scikit-learn's digits, one run after the other. The others look at the
newest run: its status, its metrics, its findings and its report, in turn. No write may be refused, no reader
may fail, and no run that is being trained may look killed. Prints one JSON object; the exit code is 0 if
nothing went wrong.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
import traceback
from pathlib import Path

from pellucid.errors import PellucidError
from pellucid.record.run import find_run


def read(runs: Path, polls: int, scratch: Path) -> dict[str, object]:
    """Poll the newest run, and return the counts and the first errors."""
    from pellucid import report

    looks = (
        lambda run: run.status,
        lambda run: {key: run.store.series(key) for key in run.store.keys()},  # noqa: SIM118 (not a dict)
        lambda run: run.store.findings(),
        lambda run: report.write(run.path, scratch / "report.html"),
    )
    seen: dict[str, int] = {}
    errors = []
    for poll in range(polls):
        try:
            found = looks[poll % len(looks)](find_run(runs, "last"))
            if isinstance(found, str):
                seen[found] = seen.get(found, 0) + 1
        except Exception:
            errors.append(traceback.format_exc())
    return {"polls": polls, "statuses": seen, "errors": errors[:3], "failed": len(errors)}


def write(runs: Path, readers: list[subprocess.Popen[str]]) -> dict[str, object]:
    """Train one run after the other until all readers have ended."""
    import torch
    from sklearn.datasets import load_digits

    import pellucid
    from pellucid import runner
    from pellucid.config import Config

    torch.set_num_threads(1)
    digits = load_digits()
    data = pellucid.arrays(digits.images.astype("float32"), digits.target)
    settings = {"epochs": 3, "checkpoint_seconds": 0.01, "early_stopping": None}
    config = Config.parse({"name": "readers", "model": {"name": "mlp"}, "train": settings})
    config = config.patch(
        {"train.execution" if hasattr(config.train, "execution") else "train.path": "eager"}
    )
    runs_done, refused = 0, []
    while True:
        try:
            runner.train(config, runs=runs, dataset=data)
            runs_done += 1
        except PellucidError as error:
            refused.append(str(error))
        if all(reader.poll() is not None for reader in readers):
            return {"runs": runs_done, "refused": refused}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--polls", type=int, default=10_000, help="of all readers together")
    parser.add_argument("--readers", type=int, default=4)
    parser.add_argument("--read", type=Path, metavar="RUNS", help="be one of the readers")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        if given.read:
            while not list(given.read.glob("*/run.json")):
                time.sleep(0.01)
            print(json.dumps(read(given.read, given.polls, Path(scratch))))
            return
        command = [sys.executable, __file__, "--read", scratch, "--polls", str(given.polls // given.readers)]
        readers = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(given.readers)]
        began = time.perf_counter()
        wrote = write(Path(scratch), readers)
        outcomes = [json.loads(reader.communicate()[0]) for reader in readers]
        seconds = time.perf_counter() - began
        left = [path.name for path in Path(scratch).glob("*/*-wal")]
    statuses = {
        key: sum(o["statuses"].get(key, 0) for o in outcomes) for key in ("running", "finished", "killed")
    }
    result = {
        **wrote,
        "polls": sum(outcome["polls"] for outcome in outcomes),
        "statuses": statuses,
        "reader_errors": sum(outcome["failed"] for outcome in outcomes),
        "first_errors": [error for outcome in outcomes for error in outcome["errors"]][:3],
        "logs_left": len(left),
        "seconds": round(seconds, 1),
    }
    print(json.dumps(result, indent=2))
    if wrote["refused"] or result["reader_errors"] or statuses["killed"]:
        sys.exit(1)


if __name__ == "__main__":
    main()
