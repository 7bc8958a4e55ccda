"""Splits by group, by time, by a column, and folds; the last from the command line."""

import json

import numpy as np
import pytest
from typer.testing import CliRunner

import pellucid
from pellucid.cli.main import app
from pellucid.config import DataConfig
from pellucid.data.sources.open_source import open_data
from pellucid.errors import BadDataError, ConfigError, UnknownNameError

RNG = np.random.default_rng(0)
ROWS = 120


@pytest.fixture
def visits(tmp_path):
    """Thirty patients with four visits each, by day, with a split that somebody made."""
    lines = ["patient,day,a,b,part,label"]
    for row in range(ROWS):
        part = "test" if row % 10 == 0 else "val" if row % 10 == 1 else "Train"
        numbers = f"{RNG.normal():.6f},{RNG.normal():.6f}"
        lines.append(f"p{row % 30},2024-01-{1 + row // 5:02d},{numbers},{part},{'xy'[row % 2]}")
    path = tmp_path / "visits.csv"
    path.write_text("\n".join(lines))
    return str(path)


def opened(source, **split):
    settings = {"source": source, "target": "label", "columns": {"a": "number"}, "split": split}
    return open_data(DataConfig.model_validate(settings))


def test_rows_of_a_group_stay_in_one_split(visits):
    dataset = opened(visits, group="patient")
    found = [set(table["patient"].to_pylist()) for table in dataset.splits.values()]
    assert sum(map(len, found)) == len(set.union(*found)) == 30
    assert {name: len(table) for name, table in dataset.splits.items()} == {
        "train": 96,
        "validation": 12,
        "test": 12,
    }
    assert "patient" not in [column.name for column in dataset.inputs]
    assert any("rows of one 'patient' stay in one split, 30 groups" in note for note in dataset.notes)


def test_a_group_that_identifies_no_group_is_refused(visits):
    with pytest.raises(UnknownNameError, match="patient"):
        opened(visits, group="patientt")
    with pytest.raises(BadDataError, match="at least 3 groups"):
        opened(visits, group="label")


def test_the_newest_rows_are_held_out_by_time(visits):
    dataset = opened(visits, time="day")
    times = {name: table["day"].to_pylist() for name, table in dataset.splits.items()}
    assert max(times["train"]) < min(times["validation"]) <= max(times["validation"]) < min(times["test"])
    assert len(times["test"]) >= 12
    assert "day" in [column.name for column in dataset.inputs]
    with pytest.raises(BadDataError, match="expected dates or numbers"):
        opened(visits, time="patient")


def test_a_column_may_name_the_splits(visits):
    dataset = opened(visits, column="part")
    assert {name: len(table) for name, table in dataset.splits.items()} == {
        "train": 96,
        "validation": 12,
        "test": 12,
    }
    assert "part" not in [column.name for column in dataset.inputs]
    with pytest.raises(BadDataError, match=r"expected names of splits.*'p0'"):
        opened(visits, column="patient")


@pytest.mark.parametrize("group", [None, "patient"])
def test_every_row_is_in_the_test_split_of_one_fold(visits, group):
    tests, train = [], []
    for fold in (1, 2, 3, 4):
        dataset = opened(visits, folds=4, fold=fold, group=group)
        tests += dataset.splits["test"]["a"].to_pylist()
        train = dataset.splits["train"]["a"].to_pylist()
        assert not set(train) & set(dataset.splits["test"]["a"].to_pylist())
        labels = dataset.splits["test"]["label"].to_pylist()
        assert group is not None or labels.count("x") == labels.count("y") == 15  # stratified
    assert len(tests) == len(set(tests)) == ROWS


def test_rules_that_exclude_each_other_are_refused(visits):
    for rules in (
        {"time": "day", "group": "patient"},
        {"column": "part", "folds": 3},
        {"folds": 3, "fold": 4},
    ):
        with pytest.raises((ConfigError, ValueError)):
            opened(visits, **rules)


def test_a_run_is_evaluated_on_the_rows_that_its_rule_held_out(visits, tmp_path):
    settings = {"data.target": "label", "data.split.group": "patient"}
    run = pellucid.fit("mlp", visits, epochs=1, settings=settings, progress=False, runs=tmp_path)
    assert run.evaluate("test").metrics["loss"] == pytest.approx(run.metrics["test/loss"], rel=1e-5)
    assert len(run.predict(visits).labels) == ROWS


def test_folds_from_the_command_line(visits, tmp_path):
    result = CliRunner().invoke(
        app,
        [
            *("train", visits, "--target", "label", "--folds", "3", "--epochs", "1", "--json"),
            "--runs",
            str(tmp_path / "runs"),
        ],
    )
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout[result.stdout.index("{") :])
    values = [part["value"] for part in found["parts"].values()]
    assert list(found["parts"]) == ["fold 1", "fold 2", "fold 3"]
    assert found["metrics"]["test/accuracy"] == pytest.approx(np.mean(values))
    assert found["metrics"]["test/accuracy_std"] == pytest.approx(np.std(values, ddof=1))
