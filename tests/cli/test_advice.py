"""Errors and advice: what they advise works as it is typed."""

import json
import shlex

import numpy as np
import pytest
from typer.testing import CliRunner

from pellucid import runner
from pellucid.cli.common import patched
from pellucid.cli.main import app
from pellucid.cli.train import named_config
from pellucid.config import Config
from pellucid.data.inspect import ColumnFacts, Inspection, describe
from pellucid.data.sources import tables
from pellucid.diagnosis import Facts, examine, setting_of
from pellucid.diagnosis.baselines import against_guessing
from pellucid.diagnosis.curves import Curves
from pellucid.errors import ConfigError, DataNotFoundError, StorageError, UnknownNameError, UsageError
from pellucid.models.mlp import mlp
from pellucid.record import Run
from pellucid.report import words
from pellucid.report.scales import Axis


@pytest.fixture
def run(tmp_path):
    made = Run.create(tmp_path / "runs", "flowers", "name: flowers\n")
    (made.path / ".writer").unlink()
    return made


def invoke(*words):
    return CliRunner().invoke(app, [*map(str, words)])


def test_a_run_that_cannot_be_locked_is_not_removed(run):
    (run.path / ".lock").mkdir()  # cannot be opened, like a file in a folder without permission
    done = invoke("runs", "rm", run.id, "--runs", run.path.parent)
    assert isinstance(done.exception, StorageError)
    assert run.path.is_dir()


def test_a_report_that_cannot_be_written_advises_its_own_option(run, tmp_path):
    (tmp_path / "taken").write_text("a file, not a folder")
    done = invoke("report", run.path, "--out", tmp_path / "taken" / "page.html")
    assert isinstance(done.exception, StorageError)
    assert "--out" in done.exception.remedy
    assert "--runs" not in done.exception.remedy


def test_a_removed_run_is_restored_by_the_command_that_rm_prints(run):
    done = invoke("runs", "rm", run.path)
    command = shlex.split(done.output.partition("pellucid ")[2])
    assert invoke(*command).exit_code == 0
    assert (run.path / "run.json").is_file()


def test_a_limit_is_worded_with_the_flag_and_the_value():
    done = invoke("train", "toy", "--epochs", "0")
    assert isinstance(done.exception, UsageError)
    with pytest.raises(ConfigError, match=r"epochs.*: expected 1 or more, received 0\.") as error:
        patched(Config(), {"train.epochs": 0}, None)
    assert error.value.message.startswith("--epochs: expected 1 or more, received 0.")
    assert "--help" not in str(error.value)


def test_a_larger_mlp_has_twice_the_widths_that_are_set(run):
    (run.path / "config.yaml").write_text("model: {name: mlp, options: {hidden: [32, 16]}}\n")
    assert setting_of(run).larger == {"model.options.hidden": [64, 32]}
    (run.path / "config.yaml").write_text("model: {name: cnn, size: tiny}\n")
    assert setting_of(run).larger == {"model.size": "small"}
    (run.path / "config.yaml").write_text("model: {name: linear}\n")
    assert setting_of(run).larger == {}


def test_an_mlp_with_size_and_widths_says_how_to_use_the_size():
    with pytest.raises(ValueError, match="hidden=null"):
        mlp((4,), 2, size="base", hidden=[32])
    assert mlp((4,), 2, size="base", hidden=None).in_features == 4


def test_advice_is_quoted_for_a_shell():
    assert words.setting("model.options.hidden", [64, 64]) == "--set 'model.options.hidden=[64, 64]'"
    assert words.setting("train.epochs", 6) == "--set train.epochs=6"
    assert words.code("use `a<b`") == "use <code>a&lt;b</code>"


@pytest.mark.parametrize(("accuracy", "said"), [(0.2, "worse than guessing"), (0.501, "no better than")])
def test_worse_than_guessing_is_not_barely_better(accuracy, said):
    n = np.arange(1, 5)
    curves = Curves(n, n, val=np.full(4, 0.7), val_accuracy=np.full(4, accuracy))
    seen, _ = against_guessing(curves, {"prior": {"val/accuracy": 0.5}})
    assert said in seen


def test_a_very_short_run_is_not_called_underfitting():
    series = {"epoch": [(1, 1.0)], "val/loss": [(1, 0.9)], "val/accuracy": [(1, 0.2)]}
    found = examine(Facts(series, {"prior": {"val/accuracy": 0.5, "val/loss": 0.7}})).findings
    assert [finding.rule for finding in found] == ["too-short"]


def test_the_axis_of_one_epoch_ticks_whole_epochs_only():
    assert [value for value, _ in Axis(0.7, 1.0, 0, 500, whole=True).ticks()] == [1]


def test_a_run_stopped_before_the_first_epoch_is_printed(tmp_path, monkeypatch):
    def stopped(config, runs, begun, **_):
        run = Run.create(runs, "digits", config.to_yaml())
        run.update(status="interrupted", stop_reason="interrupted")
        begun(run)
        raise KeyboardInterrupt

    monkeypatch.setattr(runner, "train", stopped)
    done = invoke("run", "digits", "--json", "--runs", tmp_path / "my runs")
    assert done.exit_code == 130
    assert json.loads(done.stdout)["status"] == "interrupted"
    assert f"--runs '{tmp_path / 'my runs'}'" in done.stderr


def test_runs_are_not_data(tmp_path):
    (tmp_path / "data.csv").write_text("a,b\n1,x\n2,y\n")
    Run.create(tmp_path / "runs", "flowers", "name: flowers\n")
    (next((tmp_path / "runs").glob("*/run.json")).parent / "rows.csv").write_text("c\n1\n")
    assert len(tables.raw_tables(tmp_path).splits["train"]) == 2


@pytest.mark.parametrize("reference", ["last", "the start of its id", "its folder"])
def test_a_run_is_named_in_the_same_way_everywhere(run, reference):
    typed = {"last": "last", "its folder": str(run.path)}.get(reference, run.id[:12])
    assert named_config(typed, run.path.parent, None).name == "flowers"


def test_similar_names_are_suggested(run, tmp_path):
    (tmp_path / "config.yaml").write_text("name: x\n")
    (tmp_path / "rows.csv").write_text("a,b\n1,2\n")
    done = invoke("train", tmp_path / "confg.yaml")
    assert "Did you mean" in str(done.exception)
    assert "config.yaml" in str(done.exception)
    done = invoke("train", tmp_path / "rws.csv")
    assert f"Did you mean '{tmp_path / 'rows.csv'}'" in str(done.exception)
    done = invoke("evaluate", "lst", "--runs", run.path.parent)
    assert "Did you mean 'last'" in str(done.exception)


def test_predicting_a_missing_file_names_what_the_run_takes(run, tmp_path):
    run.update(dataset={"inputs": [{"name": "width, in cm", "kind": "number"}]})
    done = invoke("predict", run.path, tmp_path / "rows.csv")
    assert isinstance(done.exception, DataNotFoundError)
    assert "'width, in cm'" in done.exception.remedy


def test_names_with_commas_are_quoted_in_lists():
    assert "one of: 'a, b', c" in str(UnknownNameError("column", "x", ["a, b", "c"]))


def test_a_category_is_counted_once():
    column = ColumnFacts("species", "category", "3 different values", 0, distinct=3)
    lines = describe(Inspection("iris", "csv: iris.csv", "", {"train": 9}, (column,), None, None))
    assert lines[-1] == "  species: category (3 different values)"
