"""Predictions as files, and the directions of targets."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from sklearn.datasets import load_iris

from pellucid import Run, fit
from pellucid.config import Goal
from pellucid.data.sources.arrays import arrays
from pellucid.errors import StorageError, UsageError
from pellucid.record.spec import Measure, TaskSpec
from pellucid.runner.run_facts import reached


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    X, y = load_iris(return_X_y=True)
    return fit("mlp", arrays(X, y), epochs=1, runs=tmp_path_factory.mktemp("runs"), progress=False)


@pytest.mark.parametrize("ending", ["csv", "jsonl", "parquet"])
def test_predictions_are_written_by_the_ending_of_the_file(run: Run, tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"found.{ending}"
    rows = run.predict(np.zeros((3, 4)), out=path).rows()
    if ending == "csv":
        with path.open() as file:
            found: list[Any] = list(csv.DictReader(file))
        assert float(found[0]["probs.0"]) == pytest.approx(rows[0]["probs"]["0"])
    elif ending == "jsonl":
        found = [json.loads(line) for line in path.read_text().splitlines()]
        assert found == rows
    else:
        found = pq.read_table(path).to_pylist()
        assert found[0]["probs.0"] == rows[0]["probs"]["0"]
    assert [int(row["prediction"]) for row in found] == [row["prediction"] for row in rows]


def test_a_file_that_cannot_be_written_is_refused_before_work(run: Run, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"expected one of \.csv, \.jsonl, \.parquet"):
        run.predict("nothing.csv", out=tmp_path / "found.txt")
    with pytest.raises(StorageError, match="There is no folder"):
        run.predict("nothing.csv", output=str(tmp_path / "no" / "found.csv"))


def test_a_target_is_reached_in_the_direction_that_the_spec_states() -> None:
    spec = TaskSpec(name="paths", measures={"accuracy_steps": Measure("steps", lower=True)})
    goal = Goal(metric="test/accuracy_steps", value=10)
    assert reached(goal, {"test/accuracy_steps": 8}, spec)
    assert not reached(goal, {"test/accuracy_steps": 12}, spec)


class Rounds:
    """A metric whose name does not say its direction, which it states."""

    __name__ = "rounds"
    higher_is_better = False

    def __call__(self, outputs: Any, targets: Any) -> float:
        return 3.0


def test_a_metric_that_states_its_direction_decides_the_target(tmp_path: Path) -> None:
    X, y = load_iris(return_X_y=True)
    goal = {"target": {"metric": "test/rounds", "value": 5}}
    run = fit("mlp", arrays(X, y), metrics=Rounds(), epochs=1, runs=tmp_path, progress=False, settings=goal)
    assert run.facts["target_met"] is True
    assert run.spec.measures["rounds"].lower
