"""Tables: the suggested network beside gradient boosting, both with their defaults.

    apt-get download r-cran-mlbench && dpkg-deb -x r-cran-mlbench*.deb mlb && pip install rdata
    .venv/bin/python benchmarks/tables.py --mlbench mlb/usr/lib/R/site-library/mlbench/data \
        --survival MIRROR/sebp/survival --out tables.jsonl

On each table and split (a quarter of the rows is the test split, stratified) the systems take turns:

- `network`: what `pellucid train table.csv` suggests. It gets all other rows and holds out validation rows
  itself.
- `boosting`: scikit-learn's HistGradientBoosting, with the default settings, on all other rows; categories
  are of pandas' categorical type, which it reads as such.
- `mlp`: what earlier versions suggested (`--systems` includes it on request).

Measured are accuracy and log loss, or the RMSE, on the test split, and seconds of training: processor time
on one thread (`OMP_NUM_THREADS=1`), so that other programs do not count. Finished results in `--out` are not
computed again. They are printed as Markdown: mean and standard deviation over splits, and the mean rank over
all pairs of table and split, where equal results share their ranks.
Without `--mlbench` or `--survival`, the tables that need it are left out.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sklearn import datasets as sk
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.metrics import log_loss
from sklearn.model_selection import train_test_split

import pellucid
from pellucid import runner
from pellucid.config import Config
from pellucid.data.dataset import Dataset
from pellucid.data.inspect import suggest_config
from pellucid.data.split import split

TEST_SHARE = 0.25
SCORES = ("accuracy", "log_loss", "rmse")


@dataclass(frozen=True)
class Table:
    """A table, with the column to predict apart.

    Attributes:
        inputs: N rows; categories are of pandas' categorical type.
        target: (N,) texts, or numbers.
    """

    inputs: pd.DataFrame
    target: np.ndarray

    @property
    def is_classes(self) -> bool:
        return self.target.dtype.kind == "U"


# ---- the tables --------------------------------------------------------------------------------

MLBENCH = {
    "sonar": ("Sonar", "Class"),
    "ionosphere": ("Ionosphere", "Class"),
    "glass": ("Glass", "Type"),
    "pima": ("PimaIndiansDiabetes2", "diabetes"),
    "vehicle": ("Vehicle", "Class"),
    "vowel": ("Vowel", "Class"),
    "satellite": ("Satellite", "classes"),
    "soybean": ("Soybean", "Class"),
    "votes": ("HouseVotes84", "Class"),
    "housing": ("BostonHousing", "medv"),
    "ozone": ("Ozone", "V4"),
    "servo": ("Servo", "Class"),
}
"""The file of R's mlbench 2.1 and the target, by the name of a table; see its manual for the sources."""

BUNDLED: dict[str, Callable[..., Any]] = {
    "iris": sk.load_iris,
    "wine": sk.load_wine,
    "breast_cancer": sk.load_breast_cancer,
    "digits": sk.load_digits,
    "diabetes": sk.load_diabetes,
}
"""The tables of scikit-learn."""

GENERATED: dict[str, Callable[[], Any]] = {
    "hastie_10_2": lambda: sk.make_hastie_10_2(n_samples=2000, random_state=0),
    "moons": lambda: sk.make_moons(n_samples=1000, noise=0.3, random_state=0),
    "friedman1": lambda: sk.make_friedman1(n_samples=1000, noise=1.0, random_state=0),
    "friedman2": lambda: sk.make_friedman2(n_samples=1000, noise=100.0, random_state=0),
    "friedman3": lambda: sk.make_friedman3(n_samples=1000, noise=0.1, random_state=0),
}
"""Tables that scikit-learn generates."""

REGRESSION = ("diabetes", "friedman1", "friedman2", "friedman3", "housing", "ozone", "servo")


def load(name: str, mlbench: Path | None, survival: Path | None) -> Table | None:
    """Return a table; None if it needs a folder that was not given."""
    if name in BUNDLED:
        bunch = BUNDLED[name](as_frame=True)
        return _table(bunch.data, bunch.target, name)
    if name in GENERATED:
        x, y = GENERATED[name]()
        return _table(pd.DataFrame(x, columns=[f"x{i}" for i in range(x.shape[1])]), pd.Series(y), name)
    if name == "flchain":
        return _flchain(survival) if survival else None
    return _mlbench(name, mlbench) if mlbench else None


def _mlbench(name: str, folder: Path) -> Table:
    import rdata

    file, target = MLBENCH[name]
    frame = rdata.read_rda(folder / f"{file}.rda")[file].dropna(subset=[target])
    return _table(frame.drop(columns=target), frame[target], name)


def _flchain(folder: Path) -> Table:
    """Whether a patient dies in the years of the study; the time and the cause of death are left out."""
    frame = pd.read_parquet(next((folder / "flchain").glob("*.parquet")))
    return _table(frame.drop(columns=["time", "chapter", "event"]), frame["event"], "flchain")


def _table(inputs: pd.DataFrame, target: pd.Series, name: str) -> Table:
    inputs = inputs.reset_index(drop=True)
    for column in inputs:
        if inputs[column].dtype.kind not in "fiu":
            texts = inputs[column].astype(str).where(inputs[column].notna(), None)
            inputs[column] = texts.astype("category")
    if name in REGRESSION:
        return Table(inputs, target.to_numpy(float))
    return Table(inputs, np.array([f"class {value}" for value in target]))


TABLES = ("iris", "wine", "breast_cancer", "digits", *list(MLBENCH)[:9], "flchain", "hastie_10_2", "moons")
TABLES += REGRESSION


# ---- the systems -------------------------------------------------------------------------------


def network(train: Table, test: Table, seed: int, suggest: Callable[[Dataset], Config]) -> dict[str, float]:
    """Train a config, and score it on the test rows."""
    with tempfile.TemporaryDirectory() as runs:
        began = time.process_time()
        dataset = split(pellucid.arrays(train.inputs, train.target), test=0, seed=seed)
        config = suggest(dataset).patch({"train.seed": seed})
        run = pellucid.Run(runner.train(config, runs=runs, dataset=dataset).path, dataset=dataset)
        seconds = time.process_time() - began
        answer: Any = run.predict(test.inputs)
        return {**score(answer.outputs, test, answer.classes), "seconds": seconds}


def boosting(train: Table, test: Table, seed: int) -> dict[str, float]:
    """Train scikit-learn's gradient boosting, and score it on the test rows."""
    kind = HistGradientBoostingClassifier if train.is_classes else HistGradientBoostingRegressor
    began = time.process_time()
    model = kind(random_state=seed).fit(train.inputs, train.target)
    seconds = time.process_time() - began
    outputs = model.predict_proba(test.inputs) if train.is_classes else model.predict(test.inputs)
    return {**score(outputs, test, getattr(model, "classes_", ())), "seconds": seconds}


def score(outputs: np.ndarray, test: Table, classes: Any) -> dict[str, float]:
    """Return accuracy and log loss of probabilities (N, K), or the RMSE of numbers (N,)."""
    if not test.is_classes:
        return {"rmse": math.sqrt(np.mean((outputs.reshape(-1) - test.target) ** 2))}
    order = np.argsort(classes)
    probs = np.asarray(outputs, float)[:, order]
    probs /= probs.sum(1, keepdims=True)
    named = np.asarray(classes)[order]
    return {
        "accuracy": float((named[probs.argmax(1)] == test.target).mean()),
        "log_loss": float(log_loss(test.target, probs, labels=list(named))),
    }


def earlier(dataset: Dataset) -> Config:
    """Return the config that was suggested for tables of less than 20,000 rows before version 0.3."""
    rows = len(dataset.splits["train"])
    batch = 16
    while batch < 256 and batch * 100 <= rows:
        batch *= 2
    epochs = 60 if rows < 2000 else 30
    small = rows < 5000
    changes: dict[str, Any] = {
        "model": {
            "name": "mlp",
            "options": {"hidden": [32, 32] if rows < 1000 else [128, 64], "dropout": 0.2},
        },
        "objective": {"name": dataset.task},
        "optimizer": {"name": "adamw", "lr": 3e-3, "weight_decay": 0.01},
        "schedule": {"name": "cosine" if small else "one_cycle"},
        "train": {
            "epochs": epochs,
            "batch_size": batch,
            "early_stopping": {"patience": max(5, epochs // 5)} if small else None,
        },
    }
    return Config.parse({"data": suggest_config(dataset).data.model_dump(), **changes})


SYSTEMS: dict[str, Callable[[Table, Table, int], dict[str, float]]] = {
    "network": lambda train, test, seed: network(train, test, seed, suggest_config),
    "boosting": boosting,
    "mlp": lambda train, test, seed: network(train, test, seed, earlier),
}


def compare(options: argparse.Namespace) -> None:
    """Compute what is not in the file of results yet, and add it."""
    done = {(row["table"], row["seed"], row["system"]) for row in results(options.out)}
    for seed in options.seeds:
        for name in options.tables:
            table = load(name, options.mlbench, options.survival)
            if table is None:
                continue
            places = np.arange(len(table.target))
            strata = table.target if table.is_classes else None
            kept, held = train_test_split(places, test_size=TEST_SHARE, random_state=seed, stratify=strata)
            parts = [Table(table.inputs.iloc[part], table.target[part]) for part in (kept, held)]
            for system in options.systems:
                if (name, seed, system) not in done:
                    found = SYSTEMS[system](*parts, seed)
                    row = {"table": name, "rows": len(places), "seed": seed, "system": system, **found}
                    with options.out.open("a") as file:
                        file.write(json.dumps(row) + "\n")


# ---- the result --------------------------------------------------------------------------------


def results(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()] if path.is_file() else []


def markdown(rows: list[dict[str, Any]], systems: list[str]) -> str:
    """Return the comparison as a Markdown table, with mean ranks and wins below."""
    found = {(row["table"], row["seed"], row["system"]): row for row in rows}
    whole = [
        (t, s) for t, s, of in found if of == systems[0] and all((t, s, other) in found for other in systems)
    ]
    names = [name for name in TABLES if any(name == t for t, _ in whole)]
    lines = [f"| table | rows | measure | {' | '.join(f'`{s}` | s' for s in systems)} |"]
    lines.append("|---|---|---|" + "---|---|" * len(systems))
    for name in names:
        seeds = [seed for t, seed in whole if t == name]
        first = found[name, seeds[0], systems[0]]
        for measure in [m for m in SCORES if m in first]:
            cells = []
            for system in systems:
                values = [found[name, seed, system][measure] for seed in seeds]
                timed = [found[name, seed, system].get("seconds", math.nan) for seed in seeds]
                seconds = np.nanmean(timed)
                spread = statistics.stdev(values) if len(values) > 1 else 0.0
                cells.append(f"{statistics.mean(values):.3f} ± {spread:.3f} | {seconds:.1f}")
            lines.append(f"| {name} | {first['rows']:,} | {measure} | {' | '.join(cells)} |")
    lines += ["", *summary(found, whole, names, systems)]
    return "\n".join(lines)


def summary(found: dict[Any, Any], whole: list[Any], names: list[str], systems: list[str]) -> list[str]:
    """Return a line for each system: its mean rank by both measures, and the tables it is best on."""
    lines = [f"{len(names)} tables, {len(whole)} pairs of table and split."]
    for system in systems:
        said = []
        for measures in (("accuracy", "rmse"), ("log_loss", "rmse")):
            values = [{of: _loss(found[t, s, of], measures) for of in systems} for t, s in whole]
            means = [
                {
                    of: statistics.mean(_loss(found[t, s, of], measures) for t, s in whole if t == n)
                    for of in systems
                }
                for n in names
            ]
            ranks = statistics.mean(_rank(value, system) for value in values)
            best = sum(value[system] <= min(value.values()) for value in means)
            said.append(f"by {' and '.join(measures)}: mean rank {ranks:.3f}, best on {best} of {len(names)}")
        lines.append(f"- `{system}`: {'; '.join(said)}")
    return lines


def _loss(row: dict[str, Any], measures: tuple[str, ...]) -> float:
    """Return the value of the measure that a row has; smaller is better."""
    measure = next(m for m in measures if m in row)
    return -row[measure] if measure == "accuracy" else row[measure]


def _rank(values: dict[str, float], system: str) -> float:
    """Return the rank of a system from 1; equal values share their ranks."""
    own = values[system]
    return 0.5 + sum(v < own for v in values.values()) + sum(v == own for v in values.values()) / 2


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tables", nargs="+", default=list(TABLES), choices=TABLES)
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2, 3, 4])
    parser.add_argument("--systems", nargs="+", default=["network", "boosting"], choices=list(SYSTEMS))
    parser.add_argument("--mlbench", type=Path, help="the folder data of R's package mlbench")
    parser.add_argument("--survival", type=Path, help="the folder sebp/survival of the mirror")
    parser.add_argument("--out", type=Path, default=Path("tables.jsonl"), help="the file of results")
    parser.add_argument("--table", action="store_true", help="print all results in --out and compute nothing")
    options = parser.parse_args()
    if not options.table:
        compare(options)
    print(markdown(results(options.out), options.systems))


if __name__ == "__main__":
    main()
