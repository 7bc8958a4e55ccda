"""Finding wrong labels: the margins of one run beside cleanlab's filters on out-of-fold probabilities.

    python benchmarks/label_noise.py [--model cnn] [--epochs 5] [--rows 10000] [--seeds 0,1] [--peers PYTHON]

Labels of MNIST and Fashion-MNIST are flipped, 10 % or 40 % of them, to any other class or to the most similar
one. Pellucid trains once on all rows and reports the rows that it suspects. cleanlab gets probabilities from
5 further runs of the same model and settings, each of which has not seen the rows it predicts. What was
computed is kept in `--folder`, so that a second call only prints.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

import pellucid
from pellucid.diagnosis.label_noise import TABLE, estimate

SIMILAR = {
    "mnist": {0: 6, 1: 7, 2: 7, 3: 8, 4: 9, 5: 6, 6: 5, 7: 1, 8: 3, 9: 4},
    "fashion": {0: 6, 1: 3, 2: 4, 3: 0, 4: 2, 5: 7, 6: 0, 7: 9, 8: 5, 9: 7},
}
"""The class that each class is confused with most."""
SETTINGS = [
    (data, kind, rate) for data in SIMILAR for kind in ("symmetric", "similar") for rate in (0.1, 0.4)
]
FOLDS, HELD_OUT = 5, 2_000
FILTERS = ("prune_by_noise_rate", "prune_by_class", "both", "confident_learning", "predicted_neq_given")
"""cleanlab's filters; the first is its default."""

CLEANLAB = f"""
import sys, json, numpy as np
from cleanlab.filter import find_label_issues
z = np.load(sys.argv[1])
found = {{f: find_label_issues(z["labels"], z["probs"], filter_by=f, n_jobs=1).tolist() for f in {FILTERS}}}
print(json.dumps(found))
"""


def flipped(data: str, labels: np.ndarray, kind: str, rate: float, seed: int) -> np.ndarray:
    """Return labels of which a share is wrong."""
    random, made = np.random.default_rng(seed), labels.copy()
    rows = random.permutation(len(labels))[: round(rate * len(labels))]
    if kind == "symmetric":
        made[rows] = (made[rows] + random.integers(1, 10, len(rows))) % 10
    else:
        made[rows] = [SIMILAR[data][int(label)] for label in made[rows]]
    return made


def train(train: pa.Table, validation: pa.Table, test: pa.Table, name: str, options: Any, seed: int) -> Any:
    """Train once and return the run."""
    dataset = pellucid.load(name).with_splits({"train": train, "validation": validation, "test": test})
    with tempfile.TemporaryDirectory() as folder:
        run = pellucid.fit(
            options.model, dataset, epochs=options.epochs, seed=seed, runs=folder, progress=False
        )
        probs = run.predict(test.select(["image"])).probs
        return pq.read_table(run.path / TABLE), probs


def compute(name: str, kind: str, rate: float, seed: int, options: Any) -> dict[str, Any]:
    """Return what each method finds in one setting, with what is true."""
    file = Path(options.folder, f"{name}-{kind}-{rate}-{options.model}-{options.epochs}-{seed}.npz")
    if not file.is_file():
        whole = pellucid.load(name)
        random = np.random.default_rng(1_000 + seed)
        chosen = np.sort(random.permutation(len(whole.splits["train"]))[: options.rows + HELD_OUT])
        table = whole.splits["train"].take(pa.array(chosen))
        true = table["label"].to_numpy()
        noisy = flipped(name, true, kind, rate, seed)
        table = table.set_column(table.column_names.index("label"), "label", pa.array(noisy))
        rows, held_out = table.slice(0, options.rows), table.slice(options.rows)
        margins, _ = train(rows, held_out, held_out, name, options, seed)
        probs = np.zeros((options.rows, 10))
        folds = random.permutation(options.rows) % FOLDS
        for fold in range(FOLDS):
            inside = pa.array(folds == fold)
            kept = rows.filter(pa.array(folds != fold))
            probs[folds == fold] = train(kept, held_out, rows.filter(inside), name, options, seed)[1]
        np.savez_compressed(
            file,
            labels=noisy[: options.rows],
            true=true[: options.rows],
            probs=probs,
            **{key: margins[key].to_numpy() for key in margins.column_names},
        )
    return dict(np.load(file)) | {"file": file}


def scores(found: np.ndarray, wrong: np.ndarray) -> tuple[float, float, float]:
    """Return precision, recall and F1."""
    hits = int((found & wrong).sum())
    return (
        hits / max(found.sum(), 1),
        hits / max(wrong.sum(), 1),
        2 * hits / max(found.sum() + wrong.sum(), 1),
    )


def compare(made: dict[str, Any], peers: str) -> dict[str, tuple[float, float, float]]:
    """Return the scores of all methods: ours at our threshold and at the noise rate, and cleanlab's."""
    wrong = made["labels"] != made["true"]
    answer = subprocess.run(
        [peers, "-c", CLEANLAB, str(made["file"])], check=True, capture_output=True, text=True
    )
    filters = json.loads(answer.stdout.splitlines()[-1])
    order = np.argsort(made["margin"], kind="stable")
    at_rate = np.zeros(len(wrong), bool)
    at_rate[order[: wrong.sum()]] = True
    ours = estimate(made["label"], made["margin"], made["epochs"], made["other"]).suspect
    found = {"ours": ours, "ours at the noise rate": at_rate}
    found |= {name: np.array(mask) for name, mask in filters.items()}
    return {name: scores(mask, wrong) for name, mask in found.items()}


def main() -> None:
    """Print a row for each setting: means over seeds."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="cnn")
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--rows", type=int, default=10_000)
    parser.add_argument("--seeds", default="0,1")
    parser.add_argument("--folder", default=".label-noise")
    parser.add_argument("--peers", default=".venv-peers/bin/python", help="a Python that has cleanlab")
    options = parser.parse_args()
    os.makedirs(options.folder, exist_ok=True)
    seeds = [int(seed) for seed in options.seeds.split(",")]
    names = ["ours", "ours at the noise rate", *FILTERS]
    print(f"{options.model}, {options.epochs} epochs, {options.rows:,} rows, seeds {options.seeds}")
    print(
        "| data | flipped | " + " | ".join(["precision", "recall", *(f"F1 {name}" for name in names)]) + " |"
    )
    print("| --- " * (4 + len(names)) + "|")
    for data, kind, rate in SETTINGS:
        every = [compare(compute(data, kind, rate, seed, options), options.peers) for seed in seeds]
        mean = {name: [statistics.fmean(one[name][i] for one in every) for i in range(3)] for name in names}
        cells = [f"{mean['ours'][0]:.3f}", f"{mean['ours'][1]:.3f}", *(f"{mean[n][2]:.3f}" for n in names)]
        print(f"| {data} | {rate:.0%} {kind} | " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()
