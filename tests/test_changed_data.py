"""A run and its data: found from other folders, refused when it has changed, and what stands out is said."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import yaml
from typer.testing import CliRunner

import pellucid
from pellucid.cli.main import app
from pellucid.errors import BadDataError, RunError


@pytest.fixture
def frame():
    chance = np.random.default_rng(0)
    frame = pd.DataFrame({"a": chance.random(120).round(3), "b": chance.integers(0, 9, 120)})
    return frame.assign(label=["p", "q"] * 60)


def fit(path, **more):
    runs = path.parent / "runs"
    return pellucid.fit("mlp", str(path), epochs=2, runs=runs, progress=False, **more)


def command(*words):
    done = CliRunner().invoke(app, list(map(str, words)))
    return done.exit_code, done.output if done.exception is None else f"{done.output}{done.exception}"


def test_changed_data_is_refused(frame, tmp_path):
    path = tmp_path / "t.csv"
    frame.to_csv(path, index=False)
    run = fit(path)
    before = run.evaluate().metrics
    pd.concat([frame, frame.head(1).assign(a=9)]).to_csv(path, index=False)
    with pytest.raises(RunError, match=r"has changed since training: .*train had [0-9]+ rows.*fingerprint"):
        run.evaluate()
    assert run.evaluate(allow_changed_data=True).metrics != before
    assert run.evaluate(path).summary["rows"] == 121  # as new data
    frame.to_csv(path, index=False)
    assert run.evaluate().metrics == before


def test_a_new_file_is_read_as_the_training_rows(frame, tmp_path):
    path, new = tmp_path / "t.csv", tmp_path / "new.csv"
    frame.assign(day="03/12/2020", b=frame.b + 5).to_csv(path, index=False)
    run = fit(path)
    frame.head(7).assign(day="03/13/2020").to_csv(new, index=False)
    assert run.evaluate(str(new)).summary["rows"] == 7
    frame.head(7).assign(label="other").to_csv(new, index=False)
    with pytest.raises(BadDataError, match=r"expected one of 2 classes \(p, q\), received 'other'"):
        run.evaluate(new)
    frame.head(3).to_csv(new, index=False)
    code, printed = command("evaluate", run.path, "--data", new)
    assert (code, "new/accuracy" in printed) == (0, True)


def test_paths_in_a_config_start_in_its_folder(frame, tmp_path, monkeypatch):
    (tmp_path / "project" / "data").mkdir(parents=True)
    frame.to_csv(tmp_path / "project" / "data" / "t.csv", index=False)
    monkeypatch.chdir(tmp_path / "project")
    code, _ = command("inspect", "data/t.csv", "--out", "data/t.yaml")
    assert code == 0
    written = yaml.safe_load((tmp_path / "project" / "data" / "t.yaml").read_text())
    assert written["data"]["source"] == "t.csv"
    for folder, config in ((tmp_path / "project" / "data", "t.yaml"), (tmp_path, "project/data/t.yaml")):
        monkeypatch.chdir(folder)
        assert pellucid.Config.read(config).data.source == str(
            (folder / config).relative_to(folder).parent / "t.csv"
        )
        code, printed = command("train", config, "--epochs", "1", "--runs", tmp_path / "runs")
        assert code == 0, printed
    monkeypatch.chdir(tmp_path.parent)
    code, printed = command("evaluate", "last", "--runs", tmp_path / "runs")
    assert code == 0, printed


def test_training_says_what_inspect_knows(frame, tmp_path):
    path = tmp_path / "t.csv"
    leak = frame.assign(answer=frame.label.map({"p": "x", "q": "y"}))
    leak.loc[:29, "label"] = None
    leak.to_csv(path, index=False)
    code, printed = command("train", path, "--skip-bad", "--epochs", "1", "--runs", tmp_path / "runs")
    assert code == 0, printed
    assert "'answer' predicts the target by itself" in printed
    assert "left out: t.csv line 2, column 'label': expected a class, received nothing" in printed
    assert "left out: 27 more rows" in printed
    (folder,) = (tmp_path / "runs").iterdir()
    assert any("may contain the target" in note for note in pellucid.Run(folder).facts["notes"])


def test_errors_are_in_the_units_of_the_target(tmp_path):
    X = np.random.default_rng(0).normal(size=(200, 3))
    data = pellucid.arrays(X, 1000 * X[:, 0])
    run = pellucid.fit("mlp", data, epochs=3, runs=tmp_path / "runs", progress=False)
    assert run.metrics["train/mae"] > 100
    curves = [value for _, value in run.store.series("val/mae")] if hasattr(run.store, "series") else []
    assert all(value > 100 for value in curves)


def test_a_run_with_a_relative_path_is_found_from_another_folder(frame, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    frame.to_csv("rows.csv", index=False)
    trained = pellucid.fit("mlp", "rows.csv", epochs=1, runs="runs", progress=False)
    opened = pellucid.Run(f"runs/{trained.id}")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    for run in (trained, opened):
        assert run.evaluate("test").metrics["accuracy"] == pytest.approx(trained.metrics["test/accuracy"])
        assert run.report().is_file()
        assert len(run.predict(frame).labels) == len(frame)
