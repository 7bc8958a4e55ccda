"""Seconds until a network is as good as it should be: ours, and the examples that peers themselves publish.

    make targets                                  all of it; rewrites the table in benchmarks/RESULTS.md
    .venv/bin/python benchmarks/targets mnist     one data set

Each contestant is a process of its own, and none runs beside another. It says how many seconds of work it
has done whenever it has measured the test split, which does not count; nor does compiling, or loading images.
Making tokens of texts counts.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import tempfile
from pathlib import Path

from sets import write

HERE = Path(__file__).parent
ROOT = HERE.parent.parent

CONTESTANTS = {
    "mnist": {
        "ours, 2 epochs": ("ours.py", ".venv", {}),
        "ours, 7 epochs": ("ours.py", ".venv", {}),
        "PyTorch's example": ("torch_mnist.py", ".venv", {}),
        "Keras' example on JAX": ("keras_mnist.py", ".venv-peers", {"KERAS_BACKEND": "jax"}),
    },
    "imdb": {
        "ours": ("ours.py", ".venv", {}),
        "Keras' example on JAX": ("keras_imdb.py", ".venv-peers", {"KERAS_BACKEND": "jax"}),
    },
}
GOALS = {"mnist": {0.99: 12.0, 0.995: 90.0}, "imdb": {0.85: 40.0, 0.88: 150.0}}
"""Share of the test split that is right -> seconds it may take."""


def run(contestant: str, data: str, rows: Path) -> list[dict[str, float]]:
    """(seconds, accuracy) whenever a contestant has measured."""
    script, environment, variables = CONTESTANTS[data][contestant]
    process = subprocess.run(
        [str(ROOT / environment / "bin/python"), str(HERE / script), data, contestant, str(rows)],
        stdout=subprocess.PIPE,
        env=os.environ | variables | {"JAX_PLATFORMS": "cpu"},
        check=True,
        text=True,
    )
    return [json.loads(line) for line in process.stdout.splitlines() if line.startswith("{")]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", nargs="*", choices=[[], *CONTESTANTS], default=[])
    parser.add_argument("--contestant")
    given = parser.parse_args()
    found = []
    with tempfile.TemporaryDirectory() as folder:
        for data in given.data or CONTESTANTS:
            rows = write(data, Path(folder))
            for contestant in CONTESTANTS[data]:
                if given.contestant not in (None, contestant):
                    continue
                measured = run(contestant, data, rows)
                for goal, limit in GOALS[data].items():
                    reached = [one["seconds"] for one in measured if one["accuracy"] >= goal]
                    first = min(reached, default=None)
                    best = max(one["accuracy"] for one in measured)
                    found.append(
                        {"data": data, "by": contestant, "goal": goal, "seconds": first, "best": best}
                    )
                    words = f"{first:.1f} s" if first is not None else f"not reached ({best:.2%})"
                    print(f"{data:<6} {contestant:<24} {goal:.1%} ({limit:g} s): {words}", flush=True)
    print(json.dumps(found))


if __name__ == "__main__":
    main()
