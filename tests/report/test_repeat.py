"""How to repeat a run: a command line, or the call with what has to be passed again."""

from __future__ import annotations

import pytest
import yaml

from pellucid import report
from pellucid.cli.train import _next
from pellucid.record import Run
from pellucid.record.run import CONFIG
from tests.report import shown


@pytest.fixture
def run(tmp_path) -> Run:
    epochs = [{"train/loss": 1.0, "val/loss": value} for value in (0.5, 0.4, 0.3)]
    return shown.task_run(tmp_path, "classification", {"test/accuracy": 0.9}, {}, epochs)


def repeat(run: Run) -> dict:
    return next(section for section in report.view(run)["sections"] if section["id"] == "repeat")


def set_config(run: Run, section: str, key: str, value: str) -> None:
    values = yaml.safe_load(run.config)
    values[section][key] = value
    (run.path / CONFIG).write_text(yaml.safe_dump(values))


def test_a_run_of_a_config_is_repeated_on_the_command_line(run):
    assert repeat(run)["shell"].startswith("pellucid train ")
    assert not repeat(run)["passed"]
    assert _next(run).startswith("pellucid predict ")


def test_batches_of_the_user_have_to_be_passed_again(run, page_of):
    run.facts["dataset"]["source"] = {"name": "DataLoader", "kind": "loader"}
    run.update(dataset=run.facts["dataset"])
    found = repeat(run)
    assert found["passed"] == ["data: batches, DataLoader"]
    assert not found["shell"]
    assert "your_batches" not in found["python"]
    assert "your_data" in found["python"]
    compile(found["python"], "report", "exec")
    text = page_of(run).text
    assert "has to be passed again" in text
    assert "data: batches, DataLoader" in text
    assert "On the command line" not in text
    assert _next(run).startswith("in Python, ")


def test_a_loss_of_the_user_has_to_be_passed_again_unless_the_config_names_it(run):
    run.update(supplied={"loss": "__main__.mine", "metrics": ["__main__.err"]})
    assert repeat(run)["passed"] == ["loss: __main__.mine", "metrics: __main__.err"]
    assert "loss=your_loss, metrics=your_metrics" in repeat(run)["python"]
    set_config(run, "objective", "loss", "package.module:mine")
    assert repeat(run)["passed"] == ["metrics: __main__.err"]


def test_a_module_of_the_user_is_needed_to_repeat_and_to_predict(run):
    set_config(run, "model", "name", "custom")
    assert "pellucid.fit(your_model, " in repeat(run)["python"]
    assert "model=your_model" in _next(run)
