"""One side of a comparison, in its own process.

    python side.py CONTESTANT WORKLOAD ARRAYS.npz

Prints one JSON object per line: first that it is ready, then, for every seed read from standard input, the
training time and the result. It sleeps while it waits, so that two sides can alternate. A contestant is a
module of `contestants` with a class `Side(workload, arrays)`, with the methods `prepare(seed)` for new
weights, `train()`, which is timed, and `evaluate()`.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
import time
from pathlib import Path
from typing import IO, Any, Protocol

import numpy as np
from workloads import WORKLOADS, Workload


class Side(Protocol):
    def __init__(self, workload: Workload, arrays: dict[str, np.ndarray]): ...
    def prepare(self, seed: int) -> None: ...
    def train(self) -> None: ...
    def evaluate(self) -> float: ...


def main(contestant: str, workload: str, arrays: str) -> None:
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # output of libraries goes to standard error
    with np.load(arrays) as file:
        data = dict(file)
    module = importlib.import_module(f"contestants.{contestant}")
    serve(module.Side(WORKLOADS[workload], data), answers)


def serve(side: Side, answers: IO[str]) -> None:
    answer(answers, {"ready": True})
    for line in sys.stdin:
        side.prepare(int(line))
        began = time.perf_counter()
        side.train()
        seconds = time.perf_counter() - began
        answer(answers, {"seconds": seconds, "loss": side.evaluate()})


def answer(answers: IO[str], what: dict[str, Any]) -> None:
    print(json.dumps(what), file=answers, flush=True)


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parent))
    main(*sys.argv[1:])
