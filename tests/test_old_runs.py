"""Run folders and configs of version 0.1 keep working: opened, reported, predicted from and resumed."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

import pellucid
from pellucid import runner
from pellucid.config import Config
from pellucid.recipes import find, names
from pellucid.study import read

OLD = Path(__file__).parent / "fixtures" / "v0_1"
FOLDERS = sorted(path.name for path in (OLD / "folders").iterdir())


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    shutil.copytree(OLD / "folders", tmp_path / "runs")
    return tmp_path / "runs"


def digits() -> pellucid.Dataset:
    kept = np.load(OLD / "digits300.npz")
    return pellucid.arrays(kept["X"], kept["y"])


@pytest.mark.parametrize("name", FOLDERS)
def test_an_old_run_is_opened_and_reported(name: str, runs: Path) -> None:
    run = pellucid.Run(runs / name)
    assert run.status == ("interrupted" if "interrupted" in name else "finished")
    assert run.store.series("val/loss")
    page = run.report().read_text(encoding="utf-8")
    assert "could not be drawn" not in page
    if run.status == "finished":
        assert run.headline[0].startswith("test/")


def test_an_old_run_predicts_the_same(runs: Path) -> None:
    run = pellucid.Run(runs / "digits-finished", dataset=digits())
    assert run.evaluate("test").metrics["accuracy"] == pytest.approx(run.metrics["test/accuracy"])
    assert run.evaluate("test").metrics["loss"] == pytest.approx(run.metrics["test/loss"], rel=1e-4)


def test_old_weights_of_a_bidirectional_lstm_are_loaded(runs: Path) -> None:
    answers = pellucid.Run(runs / "weather").predict(["snow ice frost cold wind snow", "sun sand wave heat"])
    assert len(answers.rows()) == 2


def test_an_old_language_model_is_loaded_with_its_options(runs: Path) -> None:
    (row,) = pellucid.Run(runs / "words").predict("snow ice").rows()
    assert row["prediction"]


def test_an_old_interrupted_run_resumes_bit_for_bit(runs: Path) -> None:
    config = Config.read(runs / "digits-interrupted" / "config.yaml")
    again = runner.train(config, runs=runs, resume=runner.Resume("digits-interrupted"), dataset=digits())
    whole = pellucid.Run(runs / "digits-finished")
    assert again.status == "finished"
    for key in ("train/loss_clean", "val/loss", "test/loss"):
        if key in whole.metrics:
            assert again.metrics[key] == pytest.approx(whole.metrics[key], rel=1e-4)
    assert [step for step, _ in again.store.series("val/loss")] == [8, 16, 24]


@pytest.mark.parametrize("path", sorted((OLD / "configs").glob("*.yaml")), ids=lambda path: path.stem)
def test_an_old_config_means_the_same(path: Path) -> None:
    assert path.stem in names(), "a recipe's name must not get lost"
    old, new = read(path), find(path.stem)
    told = ("published", "target", "summary")
    differences = [d for d in old.differences(new) if not d[0].startswith(told)]
    assert type(old) is type(new)
    assert differences == []


def test_the_old_name_of_an_evaluator_is_understood() -> None:
    old = Config.parse({"objective": {"name": "adversarial"}, "judge": "digits"})
    assert old.objective.options == {"evaluator": "digits"}
    assert old.patch({"judge": None}).objective.options == {"evaluator": None}
    assert Config.parse({"judge": None}).objective.options == {}


def test_old_names_of_a_task_and_its_options_are_understood() -> None:
    options = {"reach": 8, "rare": 1e-3, "sampled": 50}
    old = Config.parse({"objective": {"name": "words_ahead", "options": options}})
    assert old.objective.name == "next_words"
    assert old.objective.options == {"window": 8, "subsample": 1e-3, "num_sampled": 50}
    assert old.patch({"objective.options.reach": 9}).objective.options["window"] == 9
