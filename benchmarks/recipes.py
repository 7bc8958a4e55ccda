"""Train every recipe with several seeds and write the results to RESULTS.md.

    make recipes                                       all, three seeds each
    .venv/bin/python benchmarks/recipes.py --only fashion --seeds 1

Each run is `pellucid run NAME --seed N --json` in its own process, one after the other. The table is between
two marks in RESULTS.md; rows of recipes that are not run this time do not change.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

from pellucid.config import Config
from pellucid.recipes import find, names
from pellucid.record import measures
from pellucid.study import Study

PAGE = Path(__file__).parent.parent / "RESULTS.md"
BEGIN, END = "<!-- recipes: written by benchmarks/recipes.py -->", "<!-- end of recipes -->"
HEAD = [
    "| recipe | metric | ours, mean | seeds | without a network | published | target | | seconds | machine |",
    "|---|---|---|---|---|---|---|---|---|---|",
]


def train(name: str, seed: int, runs: Path) -> dict[str, Any]:
    command = [
        sys.executable,
        "-m",
        "pellucid",
        "run",
        name,
        "--seed",
        str(seed),
        "--json",
        "--runs",
        str(runs),
    ]
    print(" ".join(command[2:]), flush=True)
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout)


def compared(config: Config | Study, metrics: dict[str, float]) -> str:
    """Return the main metric of a recipe: of its target, its published score, or the first held-out one."""
    if isinstance(config, Study):
        return config.metric
    named = [score.metric for score in (config.target, config.published) if score is not None]
    held_out = [name for prefix in ("test/", "val/") for name in metrics if name.startswith(prefix)]
    return (named + held_out)[0]


def row(name: str, config: Config | Study, results: list[dict[str, Any]]) -> str:
    """Return a line of the table."""
    target = config.target
    metric = compared(config, results[0]["metrics"])
    values = [result["metrics"][metric] for result in results]
    mean = statistics.mean(values)
    published = f"{config.published.value:.4g}" if config.published else ""
    sign = -1 if measures.lower_is_better(metric) else 1
    met = target is not None and sign * mean >= sign * target.value
    verdict = "" if target is None else ("met" if met else "missed")
    seconds = ", ".join(f"{result['seconds']['training']:.0f}" for result in results)
    cells = [
        f"`{name}`",
        metric,
        figure(mean),
        ", ".join(map(figure, values)),
        best_baseline(results[0]["baselines"], metric, sign),
        published,
        f"{target.value:g}" if target else "",
        verdict,
        seconds,
        f"{os.cpu_count()} cores, {platform.machine()}",
    ]
    return "| " + " | ".join(cells) + " |"


def figure(value: float) -> str:
    """Format a number with four decimals, and a count without decimals."""
    return f"{value:,.0f}" if value == round(value) else f"{value:.4f}"


def best_baseline(baselines: dict[str, dict[str, float]], metric: str, sign: int) -> str:
    """Return the best baseline measured with this metric, and its name."""
    known = [(sign * values[metric], name) for name, values in baselines.items() if metric in values]
    return f"{sign * max(known)[0]:.4f} ({max(known)[1]})" if known else ""


def written(rows: dict[str, str]) -> str:
    """Return the page with these rows in its table."""
    before, _, rest = PAGE.read_text(encoding="utf-8").partition(BEGIN)
    table, _, after = rest.partition(END)
    kept = {line.split("`")[1]: line for line in table.splitlines() if line.startswith("| `")}
    lines = [BEGIN, "", *HEAD, *(line for _, line in sorted({**kept, **rows}.items())), "", END]
    return before + "\n".join(lines) + after


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--only", choices=names(), nargs="*")
    parser.add_argument("--runs", type=Path, default=Path("runs"))
    given = parser.parse_args()
    for name in given.only or names():
        results = [train(name, seed, given.runs) for seed in range(given.seeds)]
        PAGE.write_text(written({name: row(name, find(name), results)}), encoding="utf-8")
    print(PAGE)


if __name__ == "__main__":
    main()
