"""Remedies of a run are tried: a real run with a learning rate that is too low, on the smallest data."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from torch import Tensor
from typer.testing import CliRunner

import pellucid
from pellucid.cli.main import app
from pellucid.config import Config
from pellucid.diagnosis.verified import read
from pellucid.errors import ConfigError, RunError, TrainingError, UnknownNameError, UsageError
from pellucid.record import Finding, Run
from pellucid.runner import trial, trial_comparison, trial_runs

CLASSES = 3


@pytest.fixture(scope="module", autouse=True)
def _unsynced() -> Iterator[None]:
    """What is written is not waited for until it is on the disk: none of these tests loses power."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(os, "fsync", lambda handle: None)
        yield


@pytest.fixture(scope="module")
def flowers(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A CSV with three classes that are easy to tell apart."""
    generator = np.random.default_rng(0)
    labels = generator.integers(0, CLASSES, size=600)
    values = generator.normal(size=(600, 4)) + 2.0 * np.eye(4)[labels]
    rows = [
        ",".join([*(f"{x:.3f}" for x in row), "abc"[label]])
        for row, label in zip(values, labels, strict=True)
    ]
    path = tmp_path_factory.mktemp("data") / "flowers.csv"
    path.write_text("\n".join(["p,q,r,s,kind", *rows]), encoding="utf-8")
    return path


def train(data: Path, folder: Path, **settings: object) -> Run:
    asked = {
        "model.options": {"hidden": [8]},
        "data.validation": 0.3,
        "data.test": 0.3,
        "train.batch_size": 8,
        **settings,
    }
    return pellucid.fit(
        "mlp",
        str(data),
        epochs=4,
        runs=folder,
        progress=False,
        execution="eager",
        settings=asked,
        target="kind",
    )


@pytest.fixture(scope="module")
def broken(flowers: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run with a learning rate that is far too low, and its trial."""
    run = train(flowers, tmp_path_factory.mktemp("runs"), **{"optimizer.lr": 5e-4})
    run.diagnose(verify=True, progress=False)
    return run


def command(*words: object):
    return CliRunner().invoke(app, [*map(str, words)])


def test_the_fix_is_proven_against_the_unchanged_settings(broken):
    verified = read(broken)
    assert verified is not None
    best = verified.best
    assert best is not None
    assert list(best.patch) == ["optimizer.lr"]
    assert best.patch["optimizer.lr"] == 5e-3
    assert len(verified.seeds) >= 3
    assert set(best.scores) == set(verified.control) == {str(seed) for seed in verified.seeds}
    assert best.gain > 2 * best.noise
    assert verified.test is not None
    assert verified.test.better
    assert verified.answer.startswith("Fixed: optimizer.lr is ")
    assert {one.state for one in verified.tried} & {"dropped", "worse", "within noise"}


def test_the_result_stands_in_the_diagnosis_and_in_the_report(broken):
    assert "Remedies that were tried" in str(pellucid.diagnose(broken))
    done = command("diagnose", broken.path, "--json")
    assert json.loads(done.stdout)["verified"]["winner"] == read(broken).winner
    page = (broken.path / "report.html").read_text(encoding="utf-8")
    assert "Fix, measured" in page
    assert "took no part in choosing" in page


def test_every_run_of_the_trial_is_a_run_folder_that_was_finished(broken):
    study = Run(broken.path / read(broken).folder)
    parts = study.facts["parts"]
    assert study.status == "finished"
    assert len(parts) >= 9
    assert all((study.path.parent / part["run"] / "run.json").is_file() for part in parts.values())
    assert [one.id for one in pellucid.record.run.list_runs(broken.path.parent)] == [broken.id]


def test_trying_again_trains_nothing(broken, monkeypatch):
    monkeypatch.setattr(trial_runs, "train_part", None)
    before = read(broken)
    assert (
        broken.diagnose(verify=True, progress=False).verified.to_dict()["tried"] == before.to_dict()["tried"]
    )


def test_fix_writes_the_config_and_prints_the_difference(broken, tmp_path):
    done = command("fix", broken.path, "--out", tmp_path / "fixed.yaml")
    assert done.exit_code == 0
    best = read(broken).best
    assert f"optimizer.lr: 0.0005 -> {best.patch['optimizer.lr']:g}" in done.output
    fixed, before = Config.read(tmp_path / "fixed.yaml"), Config.read(broken.path / "config.yaml")
    assert fixed == before.patch(best.patch)
    assert pellucid.fix(broken) == fixed


def test_the_result_stays_where_the_runs_of_the_trial_are_deleted(broken, tmp_path):
    kept = Run(shutil.copytree(broken.path, tmp_path / broken.id, ignore=shutil.ignore_patterns("trials")))
    assert read(kept) == read(broken)
    assert "Remedies that were tried" in str(pellucid.diagnose(kept))
    assert pellucid.fix(kept) == pellucid.fix(broken)


def test_without_a_proof_nothing_is_written(flowers, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run = train(flowers, tmp_path / "runs")
    harmless = Finding("mine", "warning", "", "", patch={"train.clip_grad_norm": 1000.0})
    monkeypatch.setattr(trial, "findings", lambda run: [harmless])
    monkeypatch.setattr(trial_comparison, "MOST_SEEDS", 3)
    done = command("fix", run.path)
    assert done.exit_code == 1
    assert "tried first" in done.output
    assert "No fix" in done.output
    assert not list(tmp_path.glob("*.yaml"))


def test_an_interrupted_trial_is_resumed(flowers, tmp_path, monkeypatch):
    run = train(flowers, tmp_path / "runs", **{"optimizer.lr": 5e-4})
    real, trained, every = trial_runs.train_part, [], trial.remedies
    monkeypatch.setattr(trial, "remedies", lambda *args: every(*args)[1:2])
    monkeypatch.setattr(trial_comparison, "MOST_SEEDS", 3)

    def stops(folder: Run, label: str, *args: object, **options: object) -> Run:
        if len(trained) == 2:
            raise KeyboardInterrupt
        trained.append(label)
        return real(folder, label, *args, **options)

    monkeypatch.setattr(trial_runs, "train_part", stops)
    done = command("diagnose", run.path, "--verify", "--seeds", 4, "--minutes", 60)
    assert done.exit_code == 130
    again = f"pellucid diagnose {run.id} --verify --seeds 4 --minutes 60 --runs {run.path.parent}"
    assert again in " ".join(done.output.split())
    studies = [one for one in pellucid.record.run.list_runs(run.path / "trials") if one.kind == "study"]
    assert [one.status for one in studies] == ["interrupted"]
    again: list[str] = []
    monkeypatch.setattr(
        trial_runs,
        "train_part",
        lambda folder, label, *a, **o: again.append(label) or real(folder, label, *a, **o),
    )
    run.diagnose(verify=True, progress=False)
    assert not set(trained) & set(again)


def test_a_change_that_is_refused_does_not_end_the_trial(flowers, tmp_path, monkeypatch):
    run = train(flowers, tmp_path / "runs")
    changes = [{"train.epochs": 1}, {"optimizer.weight_decay": 0.5}]
    monkeypatch.setattr(
        trial, "findings", lambda run: [Finding("mine", "warning", "", "", patch=one) for one in changes]
    )
    monkeypatch.setattr(trial_comparison, "MOST_SEEDS", 3)
    real = trial_runs.train_part

    def refuses(folder: Run, label: str, *args: object, **options: object) -> Run:
        if label.startswith("optimizer"):
            raise ConfigError("it does not fit")
        return real(folder, label, *args, **options)

    monkeypatch.setattr(trial_runs, "train_part", refuses)
    verified = run.diagnose(verify=True, progress=False).verified
    states = {one.name: (one.state, one.problem) for one in verified.tried}
    assert states["optimizer.weight_decay=0.5"] == ("failed", "it does not fit")
    assert "train.epochs=1 for as long as that says" in verified.how


def test_what_cannot_be_trained_again_is_refused(flowers, tmp_path):
    run = train(flowers, tmp_path / "runs")
    if not [one for one in run.diagnose() if one.patch]:
        with pytest.raises(UsageError, match="No finding"):
            run.diagnose(verify=True)
    with pytest.raises(UsageError, match="at least 3"):
        run.diagnose(verify=True, seeds=2)
    with pytest.raises(UsageError, match="number of minutes above 0"):
        run.diagnose(verify=True, minutes=-1)
    with pytest.raises(UnknownNameError, match="no finding named 'underfiting'"):
        run.diagnose(verify=True, mute=["underfiting"])
    with pytest.raises(UsageError, match="No finding"):
        run.diagnose(verify=True, mute=[one.id for one in run.diagnose()])
    run.update(supplied={"loss": "a function"})
    with pytest.raises(RunError, match="loss was passed in Python"):
        run.diagnose(verify=True)


def test_findings_reach_the_callback_once(flowers, tmp_path):
    heard: list[Finding] = []
    run = pellucid.fit(
        "mlp",
        str(flowers),
        epochs=4,
        lr=5e-4,
        runs=tmp_path,
        progress=False,
        target="kind",
        on_finding=heard.append,
    )
    assert [one.id for one in heard] == list(dict.fromkeys(one.id for one in heard))
    assert {one.id for one in heard} >= {one.id for one in run.findings}


def test_a_loss_that_is_not_finite_reaches_the_callback(tmp_path):
    heard: list[Finding] = []
    data = pellucid.arrays(np.arange(128.0).reshape(64, 2), np.arange(64.0))
    with pytest.raises(TrainingError):
        pellucid.fit(
            "mlp", data, epochs=5, runs=tmp_path, progress=False, loss=overflowing, on_finding=heard.append
        )
    assert [one.id for one in heard] == ["non-finite-loss"]


def overflowing(outputs: Tensor, targets: Tensor) -> Tensor:
    """A loss that is infinite."""
    return ((outputs - targets) ** 2).mean() + float("inf")
