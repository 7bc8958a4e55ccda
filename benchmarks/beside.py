"""Training beside other work: seconds of a short run while 0, 1 or 2 busy processes compete for the cores.

    .venv/bin/python benchmarks/beside.py --pairs 3

Waiting OpenMP threads spin, and so take the processor from the thread they wait for when the cores are
shared. The settings of OpenMP are compared in turn, each with empty caches; `ours` sets nothing and so
measures what Pellucid chooses. Prints a line per run, and a JSON object: the median
seconds by number of busy processes and setting, and the ratio of `ours` to the best.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator

COMMAND = [sys.executable, "-m", "pellucid", "run", "digits", "--data-fraction", "0.1", "--epochs", "2"]
BUSY = [sys.executable, "-c", "while True: pass"]
SETTINGS: dict[str, dict[str, str]] = {
    "ours": {},
    "passive": {"OMP_WAIT_POLICY": "PASSIVE"},
    "spin 1000": {"GOMP_SPINCOUNT": "1000"},
    "spin 10000": {"GOMP_SPINCOUNT": "10000"},
    "torch's": {"GOMP_SPINCOUNT": "300000"},
}


@contextlib.contextmanager
def busy(count: int) -> Iterator[None]:
    """Keep a number of processes busy."""
    processes = [subprocess.Popen(BUSY) for _ in range(count)]
    try:
        yield
    finally:
        for process in processes:
            process.kill()
            process.wait()


def seconds(setting: dict[str, str]) -> float:
    """Return the seconds of one run with empty caches."""
    with tempfile.TemporaryDirectory() as folder:
        caches = {"PELLUCID_CACHE": f"{folder}/cache", "TORCHINDUCTOR_CACHE_DIR": f"{folder}/inductor"}
        began = time.perf_counter()
        command = [*COMMAND, "--runs", f"{folder}/runs"]
        subprocess.run(command, env={**os.environ, **caches, **setting}, check=True, capture_output=True)
        return time.perf_counter() - began


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pairs", type=int, default=3, help="runs of each setting")
    parser.add_argument("--busy", type=int, nargs="+", default=[0, 1, 2], help="numbers of busy processes")
    parser.add_argument("--settings", nargs="+", default=list(SETTINGS), choices=list(SETTINGS))
    options = parser.parse_args()
    found: dict[int, dict[str, list[float]]] = {
        count: {name: [] for name in options.settings} for count in options.busy
    }
    for pair in range(options.pairs):
        for count, times in found.items():
            for name in options.settings if pair % 2 == 0 else reversed(options.settings):
                with busy(count):
                    times[name].append(seconds(SETTINGS[name]))
                print(f"{count} busy, {name}: {times[name][-1]:.1f} s", flush=True)
    medians = {
        count: {name: statistics.median(values) for name, values in times.items()}
        for count, times in found.items()
    }
    ratios = {
        count: round(times["ours"] / min(times.values()), 3)
        for count, times in medians.items()
        if "ours" in times
    }
    print(json.dumps({"seconds": medians, "ours / best": ratios}, indent=2))


if __name__ == "__main__":
    main()
