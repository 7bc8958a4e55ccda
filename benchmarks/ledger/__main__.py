"""Run the ledger: healthy programs and injected faults under `pellucid.watch`, and score what is said.

    python -m benchmarks.ledger --split dev|test|smoke [--seeds 5] [--jobs 2] [--table FILE] [--part fixes]

Findings first, then fixes: for every fault, remedies are tried and proven beside random search.

Results are kept in a file of JSON lines, so an interrupted run goes on where it was.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path
from typing import Any

from benchmarks.ledger.bases import BASES
from benchmarks.ledger.faults import FAULTS
from benchmarks.ledger.fixes import fix, fix_jobs
from benchmarks.ledger.fixes_score import fixes_table
from benchmarks.ledger.score import table
from benchmarks.ledger.variants import VARIANTS

Job = tuple[str, str, str, int]
"""(split, fault or "" for a healthy program, program, seed)."""
SMOKE = ("mlp-images", "mlp-table", "autoencoder")
"""Programs of the quick split: their data come with scikit-learn."""
SMOKE_FAULTS = (
    *("missing-zero-grad", "softmax-before-cross-entropy", "lr-x100", "unscaled-inputs", "sorted-batches"),
    *("plain-list", "flipped-sign", "detached", "no-activation", "permuted-labels"),
)


HEADER = """# The fault ledger: `make ledger`

Plain PyTorch loops under `pellucid.watch`: healthy programs and programs with one injected fault, on other
data, other sizes and other strengths than the ones that rules were tuned on (`SPLIT=dev`). 5 seeds each, one
thread. The faults were written by the same people as the rules, so this is what the rules can do at best; for
mistakes of others see [RESULTS.md](../RESULTS.md).

"""


def jobs(split: str, seeds: int) -> list[Job]:
    """Return what is to be run."""
    if split == "smoke":
        healthy = [("dev", "", name, 0) for name in SMOKE]
        return healthy + [("dev", name, FAULTS[name].bases[0], 0) for name in SMOKE_FAULTS]
    programs = [*BASES, *VARIANTS]
    healthy = [(split, "", name, seed) for name in programs for seed in range(seeds)]
    faulty = [
        (split, one.name, base, seed)
        for one in FAULTS.values()
        for base in one.bases
        for seed in range(seeds)
    ]
    return healthy + faulty


def one(job: Job) -> dict[str, Any]:
    """Run one program and return its score and findings as plain values."""
    import warnings

    import torch

    from benchmarks.ledger.program import run

    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    split, fault, name, seed = job
    torch.manual_seed(seed)
    program = {**BASES, **VARIANTS}[name](seed, split)
    torch.manual_seed(seed)
    if fault:
        program = FAULTS[fault].inject(program, 1 if split == "dev" else 2)
    start = time.perf_counter()
    score, findings, evidence = run(program, seed)
    return {
        "split": split, "fault": fault, "program": name, "seed": seed, "score": score,
        "seconds": time.perf_counter() - start, "steps": evidence.steps,
        "findings": [(one.id, one.severity, one.where, one.confidence) for one in findings],
    }  # fmt: skip


def _todo(all_jobs: Iterable[Any], done: Iterable[dict[str, Any]], *keys: str) -> list[Any]:
    known = {tuple(one[key] for key in keys) for one in done}
    return [job for job in all_jobs if job not in known]


def _run(file: Path, all_jobs: Iterable[Any], work: Any, processes: int, *keys: str) -> list[dict[str, Any]]:
    """Run what a file of results lacks, add it there, and return all results."""
    file.parent.mkdir(parents=True, exist_ok=True)
    done = [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []
    todo = _todo(all_jobs, done, *keys)
    with ProcessPoolExecutor(processes) as pool, file.open("a") as out:
        for count, future in enumerate(as_completed([pool.submit(work, job) for job in todo]), 1):
            done.append(future.result())
            out.write(json.dumps(done[-1]) + "\n")
            out.flush()
            print(f"\r{count}/{len(todo)}", end="", file=sys.stderr)
    return done


def main() -> None:
    """Run what is missing and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--split", default="test", choices=("dev", "test", "smoke"))
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--part", default="all", choices=("all", "findings", "fixes"))
    parser.add_argument("--fixes", type=int, metavar="N", help="verify the fixes of a random sample of N")
    parser.add_argument("--results", type=Path)
    parser.add_argument("--table", type=Path, help="write the tables to this file too")
    options = parser.parse_args()
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    file = options.results or Path("runs") / f"ledger-{options.split}.jsonl"
    texts = []
    if options.part != "fixes":
        found = jobs(options.split, options.seeds)
        keys = ("split", "fault", "program", "seed")
        texts.append(table(_run(file, found, one, options.jobs, *keys)))
    if options.part != "findings" and options.split != "smoke":
        fixes = file.with_name(f"{file.stem}-fixes.jsonl")
        keys = ("split", "fault", "program")
        every = fix_jobs(options.split)
        made = _run(fixes, every[: options.fixes], fix, options.jobs, *keys)
        texts.append(fixes_table(made, of=len(every)))
    print("\n\n".join(texts))
    if options.table:
        options.table.write_text(HEADER + "\n\n".join(texts) + "\n")


if __name__ == "__main__":
    main()
