"""Studies: several training runs on iris as one result, interrupted, resumed, refused and reported."""

from __future__ import annotations

import json
import shlex
import statistics
from pathlib import Path
from typing import Any

import pytest
from sklearn.datasets import load_iris
from typer.testing import CliRunner

from pellucid import inference, recipes, report, runner
from pellucid.cli.main import app
from pellucid.config import Config
from pellucid.errors import (
    BadDataError,
    ConfigError,
    PellucidError,
    ResumeError,
    RunError,
    TrainingError,
    UnknownNameError,
)
from pellucid.record import Run
from pellucid.record.run import list_runs
from pellucid.runner import components
from pellucid.runner import run_study as studying
from pellucid.study import Study, read
from pellucid.train.callbacks import SignalHandler
from pellucid.train.trainer import Trainer
from tests.report.conftest import Page

METRIC = "test/accuracy"
LEARNING = {"optimizer.lr": 0.01, "train.execution": "eager"}


@pytest.fixture(scope="session")
def iris(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("flowers") / "iris.csv"
    load_iris(as_frame=True).frame.to_csv(path, index=False)
    return path


def study_of(iris: Path, settings: dict[str, dict[str, Any]], **more: Any) -> Study:
    base = Config.parse({"data": {"source": str(iris), "test": 0.4}, "train": {"epochs": 3}}).patch(LEARNING)
    return Study.parse({"name": "flowers", "base": base, "parts": settings, "metric": METRIC, **more})


@pytest.fixture(scope="session")
def seeds(iris: Path) -> Study:
    target = {"metric": METRIC, "value": 0.2}
    parts = {f"seed {seed}": {"train.seed": seed} for seed in range(3)}
    return study_of(iris, parts, target=target, summary="three seeds")


@pytest.fixture(scope="session")
def finished(seeds: Study, tmp_path_factory: pytest.TempPathFactory) -> Run:
    return runner.train_study(seeds, runs=tmp_path_factory.mktemp("seeds"))


@pytest.fixture(scope="session")
def drawn(iris: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Two networks on 6 and on 72 flowers, the larger one stopped after its first step."""
    settings = {
        f"{name}, {rows}": {"data.training_rows": rows, "model.options": {"hidden": hidden}, **more}
        for name, hidden, more in (("wide", [64], {}), ("narrow", [2], {"train.max_steps": 1}))
        for rows in (6, 72)
    }
    study = study_of(iris, settings, along="data.training_rows", lines="model.options")
    return runner.train_study(study, runs=tmp_path_factory.mktemp("drawn"))


def values(run: Run) -> dict[str, float]:
    return {label: part["value"] for label, part in run.facts["parts"].items()}


# ---- the result --------------------------------------------------------------------------------------


def test_the_result_is_the_mean_of_its_parts(finished: Run) -> None:
    trained = [Run(finished.path.parent / part["run"]) for part in finished.facts["parts"].values()]
    assert [run.name for run in trained] == ["flowers: seed 0", "flowers: seed 1", "flowers: seed 2"]
    assert [run.facts["seed"] for run in trained] == [0, 1, 2]
    assert all(run.status == "finished" and (run.path / "report.html").is_file() for run in trained)
    found = [run.metrics[METRIC] for run in trained]
    assert len(set(found)) > 1
    assert finished.metrics == pytest.approx(
        {
            METRIC: statistics.mean(found),
            f"{METRIC}_std": statistics.stdev(found),
            f"{METRIC}_min": min(found),
            f"{METRIC}_max": max(found),
        }
    )
    assert finished.headline[0] == METRIC
    assert finished.verdict == "met"
    assert finished.facts["baselines"]["prior"][METRIC] == pytest.approx(1 / 3, abs=0.02)
    assert finished.facts["seconds"]["total"] >= sum(run.facts["seconds"]["training"] for run in trained)
    assert len(list_runs(finished.path.parent)) == 4


def test_its_report_holds_a_table_that_leads_to_each_run(finished: Run) -> None:
    page = Page((finished.path / "report.html").read_text(encoding="utf-8"))
    links = [href for href in page.values("href") if href.endswith("report.html")]
    assert len(links) == 3
    assert all((finished.path / link).is_file() for link in links)
    assert "on average over 3 runs; guessing gets" in page.text
    assert "mean of 3 runs" in page.text
    assert "standard deviation" in page.text
    assert "seed 2" in page.text
    assert "train_study(Study.read(" in page.text
    for absent in ("How it learned", "Mistakes", "The data", "The model", "No split", "No epoch"):
        assert absent not in page.text


def test_runs_that_vary_a_setting_are_drawn_along_it(drawn: Run) -> None:
    page = Page((drawn.path / "report.html").read_text(encoding="utf-8"))
    assert "training rows, log scale" in page.text
    assert "accuracy at 72 is" in page.text
    assert "for {'hidden': [64]}" in page.text
    assert [part["x"] for part in drawn.facts["parts"].values()] == [6, 72, 6, 72]
    splits = [
        Run(drawn.path.parent / part["run"]).facts["dataset"]["splits"]
        for part in drawn.facts["parts"].values()
    ]
    assert [split["train"]["rows"] for split in splits] == [6, 72, 6, 72]
    assert len({split["test"]["fingerprint"] for split in splits}) == 1


@pytest.mark.parametrize(
    ("lines", "says"),
    [
        (
            {"a": [0.9, 0.8], "b": [0.1, 0.2]},
            "a is best everywhere; accuracy at 100 is 80.0 % for a and 20.0 %",
        ),
        (
            {"a": [0.1, 0.8], "b": [0.2, 0.2]},
            "b is best at 10, a at 100 rows; accuracy at 100 is 80.0 % for a",
        ),
        ({"": [0.1, 0.8]}, "accuracy increases with rows; accuracy at 100 is 80.0 %."),
        ({"": [0.8, 0.1]}, "accuracy decreases with rows"),
    ],
)
def test_the_sentence_says_which_line_is_best_where(
    tmp_path: Path, lines: dict[str, list[float]], says: str
) -> None:
    run = Run.create(tmp_path, "race", "")
    parts = {
        f"{line} {x}": {"line": line, "x": x, "value": value}
        for line, found in lines.items()
        for x, value in zip((10, 100), found, strict=True)
    }
    facts = {"metric": METRIC, "along": "data.rows", "lines": "model.name"}
    run.update(status="finished", task="classification", study=facts, parts=parts, metrics={METRIC: 0.5})
    assert f"race: {says}" in Page(report.render(run)).text


def test_a_link_out_of_the_folder_of_runs_is_not_drawn(finished: Run, tmp_path: Path) -> None:
    run = Run.create(
        tmp_path, "odd", "", **{key: finished.facts[key] for key in ("study", "task", "metrics")}
    )
    run.update(status="finished", parts={"<b>x</b>": {"line": "", "x": None, "run": "javascript:alert(1)"}})
    page = report.render(run)
    assert 'href="../javascript%3Aalert%281%29/report.html"' in page
    assert "<b>x</b>" not in page


# ---- interruptions -----------------------------------------------------------------------------------


class StopsSecondPart(SignalHandler):
    """Asks to stop in the middle of the second part, as Ctrl-C does."""

    def on_step_end(self, trainer: Trainer) -> None:
        if trainer.config.seed == 1 and trainer.step == 4:
            trainer.interrupt("received SIGINT")


def test_a_study_stopped_within_a_part_resumes_there(
    seeds: Study, finished: Run, runs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(components, "SignalHandler", StopsSecondPart)
    stopped = runner.train_study(seeds, runs=runs)
    monkeypatch.undo()
    assert (stopped.status, stopped.facts["stop_reason"]) == ("interrupted", "received SIGINT")
    assert not stopped.metrics
    assert "flowers was interrupted after 1 of 3 runs" in Page(report.render(stopped)).text
    begun = [part.get("run") for part in stopped.facts["parts"].values()]
    assert begun[2] is None

    resumed = runner.train_study(seeds, runs=runs, resume=runner.Resume("last"))
    assert resumed.id == stopped.id
    assert resumed.status == "finished"
    assert [part["run"] for part in resumed.facts["parts"].values()][:2] == begun[:2]
    assert values(resumed) == values(finished)
    assert len(list_runs(runs)) == 4


def test_a_study_killed_between_parts_keeps_finished_parts(
    seeds: Study, finished: Run, runs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trained = []

    def killed_at_second(config: Config, **options: Any) -> Run:
        trained.append(config.train.seed)
        if len(trained) == 2:
            raise KeyboardInterrupt
        return runner.train(config, **options)

    monkeypatch.setattr(studying, "train", killed_at_second)
    with pytest.raises(KeyboardInterrupt):
        runner.train_study(seeds, runs=runs)
    (run,) = (run for run in list_runs(runs) if run.name == "flowers")
    assert run.status == "interrupted"
    run.update(status="running")  # as kill -9 leaves it
    resumed = runner.train_study(seeds, runs=runs, resume=runner.Resume(run.id))
    assert trained == [0, 1, 1, 2]
    assert values(resumed) == values(finished)


def test_a_finished_study_is_not_changed(seeds: Study, finished: Run) -> None:
    before = (finished.path / "run.json").read_bytes()
    again = runner.train_study(seeds, runs=finished.path.parent, resume=runner.Resume(finished.id))
    assert again.id == finished.id
    assert (finished.path / "run.json").read_bytes() == before


def test_changed_settings_are_refused_on_resume_unless_allowed(
    seeds: Study, runs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(components, "SignalHandler", StopsSecondPart)
    stopped = runner.train_study(seeds, runs=runs)
    monkeypatch.undo()
    other = seeds.patch({"train.epochs": 2})
    with pytest.raises(ResumeError, match=r"train\.epochs was 3, is 2"):
        runner.train_study(other, runs=runs, resume=runner.Resume(stopped.id))
    resumed = runner.train_study(other, runs=runs, resume=runner.Resume(stopped.id, allow_changes=True))
    assert resumed.status == "finished"
    assert any("that do not apply to finished parts" in note for note in resumed.facts["notes"])
    with pytest.raises(ResumeError, match="is not a study"):
        runner.train_study(seeds, runs=runs, resume=runner.Resume(resumed.facts["parts"]["seed 0"]["run"]))


# ---- refusals ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "more", "kind", "says"),
    [
        ({"train.epoch": 3}, {}, ConfigError, r"part 'odd'.* Did you mean 'train\.epochs'"),
        ({"train.epochs": 0}, {}, ConfigError, r"part 'odd'.*train\.epochs"),
        ({"model.name": "mpl"}, {}, UnknownNameError, "part 'odd'.*Did you mean 'mlp'"),
        ({"model.options": {"hiden": [3]}}, {}, UnknownNameError, "part 'odd'.*'hiden'"),
        ({"model.weights": "nothing"}, {}, PellucidError, "part 'odd'.*nothing"),
        ({"data.training_rows": 100}, {}, BadDataError, "part 'odd'.*asks for 100"),
        (
            {},
            {"along": "model.name"},
            ConfigError,
            "expected a number in every part, received 'mlp' in 'good'",
        ),
        ({}, {"lines": "model.nam"}, ConfigError, "no setting 'model.nam'"),
        ({}, {"target": {"metric": "test/f1", "value": 1}}, ConfigError, r"target\.metric is test/f1"),
    ],
)
def test_a_bad_part_is_refused_before_anything_is_written(
    iris: Path, runs: Path, settings: dict, more: dict, kind: type[PellucidError], says: str
) -> None:
    with pytest.raises(kind, match=says):
        runner.train_study(study_of(iris, {"good": {}, "odd": settings}, **more), runs=runs)
    assert not runs.exists()


def test_a_part_that_fails_stops_the_study_and_is_named(iris: Path, runs: Path) -> None:
    settings = {"good": {}, "wild": {"optimizer.lr": 1e30, "optimizer.name": "sgd"}, "never": {}}
    with pytest.raises(TrainingError, match="flowers, part 'wild': "):
        runner.train_study(study_of(iris, settings), runs=runs)
    run = next(run for run in list_runs(runs) if run.name == "flowers")
    assert run.status == "failed"
    assert "part 'wild'" in run.facts["stop_reason"]
    assert set(values_so_far(run)) == {"good"}
    assert "failed after 1 of 3 runs" in Page((run.path / "report.html").read_text(encoding="utf-8")).text


def values_so_far(run: Run) -> list[str]:
    return [label for label, part in run.facts["parts"].items() if "value" in part]


def test_a_metric_missing_from_a_part_is_named(iris: Path, runs: Path) -> None:
    with pytest.raises(UnknownNameError, match=r"part 'one'.*'test/acuracy'.*'test/accuracy'"):
        runner.train_study(study_of(iris, {"one": {}}, metric="test/acuracy"), runs=runs)


def test_a_study_has_no_model_to_predict_with(finished: Run) -> None:
    for ask in (lambda: inference.predict(finished, [[1, 2, 3, 4]]), lambda: inference.evaluate(finished)):
        with pytest.raises(RunError, match="a study of 3 runs and has no model"):
            ask()


def test_a_series_has_no_number_of_training_rows() -> None:
    config = Config().patch({"objective.name": "forecasting", "data.training_rows": 10})
    with pytest.raises(ConfigError, match=r"data\.training_rows is 10"):
        runner.prepare(config)


# ---- the schema --------------------------------------------------------------------------------------


def test_a_rendered_study_reads_back_the_same(seeds: Study, tmp_path: Path) -> None:
    path = tmp_path / "study.yaml"
    path.write_text(seeds.to_yaml(), encoding="utf-8")
    assert read(path) == seeds
    path.write_text(Config().to_yaml(), encoding="utf-8")
    assert read(path) == Config()


def test_settings_apply_to_every_part_whatever_it_had(seeds: Study) -> None:
    patched = seeds.patch({"train.seed": 7, "train.epochs": 9})
    assert {(c.train.seed, c.train.epochs) for c in patched.configs().values()} == {(7, 9)}
    with pytest.raises(ConfigError, match="Did you mean"):
        seeds.patch({"train.epoch": 1})


# ---- the command line --------------------------------------------------------------------------------


def typed(*words: Any) -> Any:
    return CliRunner().invoke(app, [str(word) for word in words])


def test_a_recipe_that_is_a_study_is_run_listed_and_shown(
    seeds: Study, runs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recipes, "find", lambda name: seeds)
    monkeypatch.setattr(recipes, "names", lambda: ["flowers"])
    done = typed("run", "flowers", "--epochs", 1, "--seed", 5, "--runs", runs, "--json")
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    assert found["status"] == "finished"
    assert found["target_met"] is not None
    assert found["metrics"][METRIC] == pytest.approx(
        statistics.mean(part["value"] for part in found["parts"].values())
    )
    for part in found["parts"].values():
        config = Config.read(runs / part["run"] / "config.yaml")
        assert (config.train.epochs, config.train.seed) == (1, 5)
    assert "3 of 3: seed 2" in done.stderr
    assert "flowers" in typed("recipes").output
    assert json.loads(typed("recipes", "--json").stdout)[0]["target"]["metric"] == METRIC
    shown = typed("runs", "show", found["run"]).output
    for words in ("mean of 3 runs", "guessing", "seed 1", "Target test/accuracy 20.00 %: ", "runs show"):
        assert words in shown
    assert f"{METRIC} {found['metrics'][METRIC]:.4f}" in typed("runs", "ls", "--runs", runs).output
    refused = typed("lr-find", "flowers")
    assert "a study of 3 runs" in str(refused.exception)


def test_a_study_file_trains_is_interrupted_and_resumes(
    seeds: Study, finished: Run, runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "flowers.yaml"
    path.write_text(seeds.to_yaml(), encoding="utf-8")
    monkeypatch.setattr(components, "SignalHandler", StopsSecondPart)
    stopped = typed("train", path, "--runs", runs)
    monkeypatch.undo()
    assert stopped.exit_code == 130
    words = shlex.split(stopped.output.partition("Resume with: pellucid ")[2].splitlines()[0])
    resumed = typed(*words, "--json")
    assert resumed.exit_code == 0, resumed.output
    assert json.loads(resumed.stdout)["metrics"] == finished.metrics
    same = typed("runs", "compare", json.loads(resumed.stdout)["run"], finished.path, "--json")
    assert json.loads(same.stdout)["settings"] == {}
