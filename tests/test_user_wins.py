"""What the user asks for wins over what was suggested or inferred."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

import pellucid
from pellucid.cli.main import app
from pellucid.config import Config
from pellucid.errors import BadDataError, ResumeError
from pellucid.record.run import list_runs

rng = np.random.default_rng(0)


def stars(folder: Path) -> Path:
    x = rng.random(120)
    table = pd.DataFrame({"x": x, "stars": np.clip(np.rint(1 + 4 * x), 1, 5).astype(int)})
    table.to_csv(folder / "stars.csv", index=False)
    return folder / "stars.csv"


def test_another_choice_leaves_the_options_of_the_one_before():
    config = Config().patch(
        {"model.size": "base", "model.options": {"hidden": [8]}, "optimizer.options": {"betas": [0.9, 0.99]}}
    )
    other = config.patch({"model.name": "linear", "optimizer.name": "sgd", "optimizer.options.momentum": 0.9})
    assert other.model.options == {}
    assert other.model.size is None
    assert other.optimizer.options == {"momentum": 0.9}
    assert config.patch({"model.name": "mlp"}).model.options == {"hidden": [8]}
    assert config.patch({"model.name": "cnn", "model.size": "tiny"}).model.size == "tiny"


def test_a_name_does_not_lose_the_loss_of_python(tmp_path):
    run = pellucid.fit(
        "mlp", str(stars(tmp_path)), loss="huber", epochs=1, runs=tmp_path, progress=False,
        settings={"objective.name": "regression"},
    )  # fmt: skip
    assert run.settings["objective"]["loss"] == "huber"


@pytest.mark.parametrize("task", ["classification", "regression"])
def test_whole_numbers_are_what_the_task_says(tmp_path, task):
    run = pellucid.fit(
        "linear", str(stars(tmp_path)), epochs=1, runs=tmp_path, progress=False,
        settings={"objective.name": task},
    )  # fmt: skip
    assert run.task == task
    assert ("test/rmse" in run.metrics) == (task == "regression")


def test_more_than_a_thousand_classes_where_the_user_says_so(tmp_path):
    names = [f"p{index % 1100}" for index in range(3300)]
    pd.DataFrame({"x": rng.random(3300), "who": names}).to_csv(tmp_path / "who.csv", index=False)
    settings = {"data.target": "who"}
    call = {"epochs": 1, "batch_size": 512, "runs": tmp_path, "progress": False}
    with pytest.raises(BadDataError, match="1,100 different texts"):
        pellucid.csv(tmp_path / "who.csv", target="who")
    settings["data.columns"] = {"who": "category"}
    run = pellucid.fit("linear", str(tmp_path / "who.csv"), **call, settings=settings)
    assert run.facts["model"]["layers"][-1]["parameters"] == 2 * 1100
    assert 0 <= run.metrics["test/accuracy"] <= 1


def test_a_finished_run_goes_on_for_more_epochs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    train = ["train", str(stars(tmp_path)), "--set", "schedule.name=constant"]
    assert CliRunner().invoke(app, [*train, "--epochs", "2"]).exit_code == 0
    before = list_runs("runs")[0]
    assert "too-short" in {finding.rule for finding in before.store.findings()}
    done = CliRunner().invoke(app, [*train, "--epochs", "4", "--resume", "last"])
    assert done.exit_code == 0
    assert "up to 4 epochs, instead of 2" in done.output
    (run,) = list_runs("runs")
    assert run.store.series("epoch")[-1][1] == 4
    assert run.settings["train"]["epochs"] == 4
    assert {finding.rule for finding in run.store.findings()}.isdisjoint({"too-short"})
    fewer = CliRunner().invoke(app, [*train, "--epochs", "3", "--resume", "last"])
    assert isinstance(fewer.exception, ResumeError)


def test_a_run_that_stopped_early_has_new_patience_when_it_is_trained_longer(tmp_path):
    X, y = rng.normal(size=(80, 3)).astype("float32"), rng.integers(0, 2, 80)
    options = {"train.early_stopping": {"monitor": "train/loss", "patience": 1, "min_delta": 10}}
    data = pellucid.arrays(X, y)
    once = pellucid.fit("linear", data, epochs=5, runs=tmp_path, progress=False, settings=options)
    assert once.store.series("epoch")[-1][1] == 2
    again = pellucid.fit(
        "linear", data, epochs=9, runs=tmp_path, progress=False, settings=options, resume=once.id
    )
    assert again.path == once.path
    assert again.store.series("epoch")[-1][1] == 3
