"""`minutes` for a whole call or command, as a user asks for it."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

import pellucid
from pellucid import recipes, runner
from pellucid.cli.main import app
from pellucid.config import Config
from pellucid.data.sources import toy
from pellucid.errors import ConfigError, UsageError
from pellucid.record import Run
from pellucid.runner import budget as budgeted
from pellucid.runner.run_study import _share_time, _used
from pellucid.study import Study


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> tuple[Run, float]:
    """A table of 150 rows, trained for 0.1 minutes with early stopping and few epochs; and its seconds."""
    draw = np.random.default_rng(0)
    X = draw.normal(size=(150, 4))
    fit, began = pellucid.fit, time.perf_counter()
    run = fit(
        "mlp",
        (X, (X[:, 0] > 0).astype(int)),
        minutes=0.1,
        epochs=2,
        schedule="cosine",
        execution="eager",
        runs=tmp_path_factory.mktemp("minutes"),
        progress=False,
        settings={"train.early_stopping": {"patience": 1}},
    )
    return run, time.perf_counter() - began


def test_a_small_table_trains_for_the_time_that_was_asked_for(small: tuple[Run, float]) -> None:
    run, seconds = small
    assert 0.6 <= seconds / 6 <= 1.4  # 0.7 to 1.1 on a machine that does nothing else
    assert run.facts["budget"]["minutes"] == 0.1
    assert run.facts["budget"]["used_seconds"] == pytest.approx(seconds, abs=1.0)


def test_it_trains_for_more_than_its_epochs_and_the_rate_ends_near_zero(small: tuple[Run, float]) -> None:
    run, _ = small
    epochs, rates = run.store.series("epoch"), [rate for _, rate in run.store.series("step/lr")]
    assert epochs[-1][1] > 5
    assert epochs[-1][0] == run.facts["budget"]["updates"]
    assert rates[-1] < 0.05 * max(rates)


def test_what_the_minutes_replace_and_the_plan_are_recorded(small: tuple[Run, float]) -> None:
    run, _ = small
    assert any("not train.epochs = 2; early stopping is off" in note for note in run.facts["notes"])
    choice = next(choice for choice in run.facts["choices"] if choice["what"] == "updates")
    assert choice["value"] == run.facts["budget"]["updates"]
    assert "an update" in choice["reason"]
    assert run.facts["best"]["epoch"] <= run.store.series("epoch")[-1][1]


@pytest.mark.parametrize("minutes", [0, -1, float("nan"), float("inf"), True, "soon"])
def test_minutes_that_make_no_sense_are_refused_before_work(minutes: Any, runs: Path) -> None:
    with pytest.raises(ConfigError, match=r"train\.minutes"):
        pellucid.fit("mlp", toy.moons(n=60), minutes=minutes, runs=runs)
    assert not runs.exists() or not list(runs.iterdir())


def test_the_flag_is_refused_in_its_own_name(runs: Path) -> None:
    result = CliRunner().invoke(app, ["run", "digits-mlp", "--minutes", "-2", "--runs", str(runs)])
    assert isinstance(result.exception, ConfigError)
    assert "minutes" in str(result.exception)


def test_a_recipe_that_another_has_to_be_trained_for_is_refused(runs: Path) -> None:
    config = recipes.find("image-generation").patch({"train.minutes": 1})
    with pytest.raises(UsageError, match=r"digits is the evaluator of image-generation") as refused:
        runner.train(config, runs=runs)
    assert "pellucid run digits" in (refused.value.remedy or "")


def test_the_parts_of_a_study_share_the_minutes() -> None:
    parts = {"one": {"train.seed": 1}, "two": {"train.seed": 2}, "three": {"train.seed": 3}}
    values = {"name": "s", "base": Config(), "parts": parts, "metric": "test/accuracy"}
    study = Study.model_validate(values).patch({"train.minutes": 6})
    configs, whole = _share_time(study, used=60.0)
    assert [config.train.minutes for config in configs.values()] == [2, 2, 2]
    assert _used(whole, configs["one"], configs, 1) == pytest.approx(20, abs=1)  # 100 of 120 seconds are left
    assert _used(whole, configs["three"], configs, 3) == pytest.approx(-180, abs=1)


def test_fewer_rows_of_a_split_keep_their_numbers(runs: Path) -> None:
    from pellucid.runner.data import prepare
    from pellucid.tasks import get_task

    config = Config.parse({"model": {"name": "mlp"}, "train": {"minutes": 1.0}})
    prepared, task = prepare(config, toy.moons(n=300, seed=0)), get_task("classification")
    part = budgeted.fewer_rows(task, prepared, "test", 10)
    assert len(part.rows["test"]) == len(part.dataset.splits["test"]) == part.measured_rows == 10
    assert len(part.rows["train"]) == len(prepared.rows["train"])
    table = prepared.dataset.splits["test"]
    numbers = budgeted._spread(len(table), 10)
    assert part.dataset.splits["test"].equals(table.take(numbers))
