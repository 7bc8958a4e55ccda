"""Measure the seconds to a target accuracy: Pellucid, and the examples that peers publish.

    .venv/bin/python benchmarks/targets           all of it, about 25 minutes
    .venv/bin/python benchmarks/targets mnist     one data set; --ours: without the examples of peers

Each contestant has its own process, and they run one after the other. A contestant reports its seconds of
work after every evaluation on the test split. Evaluation, compiling and loading images do not count;
tokenizing texts does.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from sets import write

HERE = Path(__file__).parent
ROOT = HERE.parent.parent

CONTESTANTS = {
    "mnist": {
        "ours, LeNet-5": ("ours.py", ".venv", {}),
        "ours, digits": ("ours.py", ".venv", {}),
        "PyTorch's example": ("torch_mnist.py", ".venv", {}),
        "Keras' example on JAX": ("keras_mnist.py", ".venv-peers", {"KERAS_BACKEND": "jax"}),
    },
    "imdb": {
        "ours": ("ours.py", ".venv", {}),
        "Keras' example on JAX": ("keras_imdb.py", ".venv-peers", {"KERAS_BACKEND": "jax"}),
    },
}
GOALS = {"mnist": {0.99: 12.0, 0.995: 90.0}, "imdb": {0.85: 40.0, 0.88: 150.0}}
"""Target accuracy on the test split -> maximum seconds."""
SEEDS = 3
"""Number of seeds of Pellucid; the examples of peers take minutes and run once."""


def run(contestant: str, data: str, rows: Path, seed: int) -> list[dict[str, float]]:
    """Return (seconds, accuracy) of every evaluation of a contestant."""
    script, environment, variables = CONTESTANTS[data][contestant]
    process = subprocess.run(
        [
            str(ROOT / environment / "bin/python"),
            str(HERE / script),
            data,
            contestant,
            str(rows),
            str(seed),
        ],
        stdout=subprocess.PIPE,
        env=os.environ | variables | {"JAX_PLATFORMS": "cpu", "PELLUCID_CACHE": str(rows.parent / str(seed))},
        check=True,
        text=True,
    )
    return [json.loads(line) for line in process.stdout.splitlines() if line.startswith("{")]


def goals_reached(
    data: str, contestant: str, seed: int, measured: list[dict[str, float]]
) -> list[dict[str, Any]]:
    """Print and return when each target of a data set was first reached."""
    best, found = max(one["accuracy"] for one in measured), []
    for goal, limit in GOALS[data].items():
        first = min((one["seconds"] for one in measured if one["accuracy"] >= goal), default=None)
        words = "not reached" if first is None else f"{first:.1f} s"
        print(
            f"{data:<6} {contestant:<24} seed {seed}: {goal:.1%} (must {limit:g} s): {words}; "
            f"best {best:.2%}, in all {measured[-1]['seconds']:.0f} s",
            flush=True,
        )
        found.append(
            {"data": data, "by": contestant, "seed": seed, "goal": goal, "seconds": first, "best": best}
        )
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", nargs="*", help=f"{' or '.join(CONTESTANTS)}; both if none is named")
    parser.add_argument("--ours", action="store_true", help="leave out the examples of peers")
    given = parser.parse_args()
    found = []
    with tempfile.TemporaryDirectory() as folder:
        for data in given.data or CONTESTANTS:
            rows = write(data, Path(folder))
            for contestant in CONTESTANTS[data]:
                if given.ours and not contestant.startswith("ours"):
                    continue
                for seed in range(SEEDS if contestant.startswith("ours") else 1):
                    found += goals_reached(data, contestant, seed, run(contestant, data, rows, seed))
    print(json.dumps(found))


if __name__ == "__main__":
    main()
