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


# ---- splits that the source has --------------------------------------------------------------------


def parts(folder, **files):
    """Write files with a patient, a day and a label in each row."""
    for name, (patients, first) in files.items():
        days = [f"2024-{first:02d}-{1 + row % 28:02d}" for row in range(56)]
        rows = [
            f"{patients[row % len(patients)]},{day},{RNG.normal():.6f},{'xy'[row % 2]}"
            for row, day in enumerate(days)
        ]
        (folder / f"{name}.csv").write_text("\n".join(["patient,day,a,label", *rows]))
    return str(folder)


def test_a_group_in_two_splits_of_the_source_is_warned_of(tmp_path):
    source = parts(tmp_path, train=("abcdef", 1), test=("fgh", 3))
    notes = opened(source, group="patient").notes
    assert any("warning: 1 values of 'patient' are in" in note and "and in test" in note for note in notes)
    apart = tmp_path / "apart"
    apart.mkdir()
    notes = opened(parts(apart, train=("abcdefghijkl", 1), test=("xyz", 3)), group="patient").notes
    assert not any("warning" in note for note in notes)


def test_a_test_split_that_is_older_than_training_is_warned_of(tmp_path):
    source = parts(tmp_path, train=("ab", 3), test=("ab", 1))
    assert any("test begins at 2024-01-01" in note for note in opened(source, time="day").notes)


@pytest.mark.parametrize("rule", [{"time": "day"}, {"group": "patient"}])
def test_a_rule_for_data_that_has_all_its_splits_is_refused(tmp_path, rule):
    source = parts(tmp_path, train=("ab", 1), val=("cd", 2), test=("ef", 3))
    with pytest.raises(BadDataError, match="comes with the splits train, validation, test"):
        opened(source, **rule)


def test_a_large_group_in_a_small_split_is_warned_of(tmp_path):
    rows = [
        f"{'big' if row < 100 else f'p{row // 2}'},{RNG.normal():.6f},{'xy'[row % 2]}" for row in range(120)
    ]
    (tmp_path / "a.csv").write_text("\n".join(["patient,a,label", *rows]))
    warned = 0
    for seed in range(20):
        settings = {"source": str(tmp_path / "a.csv"), "split": {"group": "patient"}, "split_seed": seed}
        made = open_data(DataConfig.model_validate(settings))
        large = max(len(made.splits[name]) for name in ("validation", "test")) >= 100
        assert large == any("% of the rows, not 10%" in note for note in made.notes)
        warned += large
    assert 0 < warned < 20


def test_too_few_groups_for_the_folds_are_counted(tmp_path):
    source = parts(tmp_path, train=("abcd", 1))
    with pytest.raises(BadDataError, match="5 folds need at least 5 values of 'patient', received 4"):
        opened(source, group="patient", folds=5)


def test_cells_that_name_no_split_are_located(tmp_path):
    rows = [
        f"{RNG.normal():.6f},{part},{'xy'[row % 2]}" for row, part in enumerate(["train", "", "fold1"] * 9)
    ]
    (tmp_path / "a.csv").write_text("\n".join(["a,part,label", *rows]))
    with pytest.raises(BadDataError, match="received nothing in row 2, 'fold1' in row 3"):
        opened(str(tmp_path / "a.csv"), column="part")
