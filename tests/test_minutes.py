"""`minutes` for a whole call or command, as a user asks for it."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, TensorDataset
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
from pellucid.train import budget as train_budget
from pellucid.train.checkpoint import Checkpointer
from pellucid.train.trainer import Trainer


def rows() -> tuple[np.ndarray, np.ndarray]:
    X = np.random.default_rng(0).normal(size=(150, 4))
    return X, (X[:, 0] > 0).astype(int)


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> tuple[Run, float]:
    """A table of 150 rows, trained for 0.1 minutes with early stopping and few epochs; and its seconds.

    Time is that of the processor, so that it does not depend on what else the machine does.
    """
    fit = pellucid.fit
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(train_budget, "CLOCK", time.process_time)
        began = time.process_time()
        run = fit(
            "mlp",
            rows(),
            minutes=0.1,
            epochs=2,
            schedule="cosine",
            execution="eager",
            runs=tmp_path_factory.mktemp("minutes"),
            progress=False,
            settings={"train.early_stopping": {"patience": 1}},
        )
        return run, time.process_time() - began


def test_a_small_table_trains_for_the_time_that_was_asked_for(small: tuple[Run, float]) -> None:
    run, seconds = small
    assert 0.7 <= seconds / 6 <= 1.1
    assert run.facts["budget"]["minutes"] == 0.1
    assert run.facts["budget"]["used_seconds"] == pytest.approx(seconds, abs=0.5)


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


class Killed(BaseException):
    """Ends a process at once: nothing catches it."""


def test_a_run_killed_before_its_first_checkpoint_knows_the_time_it_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seconds = iter(range(10**6))
    monkeypatch.setattr(train_budget, "CLOCK", lambda: next(seconds) / 20)  # of counted looks at the clock
    updates = []

    def kill(trainer: Trainer) -> None:
        updates.append(trainer.step)
        if len(updates) == 2:
            raise Killed

    def fit(**more: Any) -> Run:
        return pellucid.fit("mlp", rows(), minutes=0.5, runs=tmp_path, progress=False, **more)

    with monkeypatch.context() as patch:
        patch.setattr(Checkpointer, "on_epoch_end", lambda self, trainer: kill(trainer))
        with pytest.raises(Killed):
            fit()
    killed = Run(next(tmp_path.glob("2*")))
    used = killed.facts["budget"]["used_seconds"]
    assert [part.name for part in (killed.path / "checkpoints").glob("step-*")] == ["step-00000000"]
    assert used > 1
    run = fit(resume=killed.id)
    assert run.status == "finished"
    assert used < run.facts["budget"]["used_seconds"] <= 1.1 * 30


def test_batches_of_ones_own_are_measured_in_part_where_all_would_take_too_long(tmp_path: Path) -> None:
    X, y = (torch.from_numpy(part) for part in rows())
    slow = SlowRows(X.float(), y)
    run = pellucid.fit(
        torch.nn.Linear(4, 2),
        DataLoader(TensorDataset(X.float(), y), 50),
        test=DataLoader(slow, 10),
        minutes=0.05,
        runs=tmp_path,
        progress=False,
    )
    assert any("test split is measured on" in note for note in run.facts["notes"])
    assert slow.read < len(slow) / 10


class SlowRows(TensorDataset):
    """Rows that take the time of a slow disk to read, which is counted."""

    read = 0

    def __len__(self) -> int:
        return 10_000_000

    def __getitem__(self, index: int) -> Any:
        self.read += 1
        return super().__getitem__(index % 150)


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
