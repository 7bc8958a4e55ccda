"""`pellucid diagnose`: findings of a run, the pages of findings."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import Result
from typer.testing import CliRunner

import pellucid
from pellucid import errors
from pellucid.cli.main import app
from pellucid.config import Config
from pellucid.errors import UnknownNameError
from pellucid.record import Run
from tests.diagnosis.examples.runs import MEMORIZED, TURNED


def command(*words: object) -> Result:
    return CliRunner().invoke(app, [*map(str, words)])


@pytest.fixture
def overfitted(tmp_path: Path) -> Run:
    run = Run.create(tmp_path / "runs", "tiny", Config().patch({"name": "tiny"}).to_yaml())
    with run.writing():
        for epoch, (val, train) in enumerate(zip(TURNED, MEMORIZED, strict=True), start=1):
            values = {"epoch": epoch, "val/loss": val, "train/loss": train}
            run.store.metrics(10 * epoch, values)
        run.update(status="finished")
    return run


def test_findings_are_printed_with_evidence_remedy_and_settings(overfitted, tmp_path, monkeypatch):
    monkeypatch.setattr(errors, "SPEAKS_COMMANDS", True)
    done = command("diagnose", "last", "--runs", tmp_path / "runs")
    assert done.exit_code == 0
    assert "tiny: 1 warning" in done.output
    assert "warning  overfitting  step 60  95 % sure" in done.output
    assert "lowest at epoch 6 (0.0410)" in done.output
    assert "optimizer.weight_decay=0.05" in done.output
    assert "pellucid diagnose --explain overfitting" in done.output
    assert "the run was not profiled" in done.output


def test_as_json_they_have_ids_and_severities(overfitted, tmp_path):
    done = command("diagnose", overfitted.path, "--json")
    found = json.loads(done.stdout)
    assert [(one["id"], one["severity"]) for one in found["findings"]] == [("overfitting", "warn")]
    assert {
        "rule": "slow-optimizer",
        "reason": "the run was not profiled; `pellucid profile RUN` does that",
    } in (found["skipped"])


def test_findings_are_muted_by_the_command_and_by_the_config(overfitted, tmp_path):
    done = command("diagnose", overfitted.path, "--mute", "overfitting")
    assert "overfitting" not in done.output.partition("checks could not run")[0]
    config = Config.parse({"name": "tiny", "diagnosis": {"mute": ["overfitting"]}})
    (overfitted.path / "config.yaml").write_text(config.to_yaml(), encoding="utf-8")
    assert "overfitting" not in [one.id for one in pellucid.diagnose(overfitted)]


def test_unknown_ids_are_refused_with_similar_ones(overfitted):
    with pytest.raises(UnknownNameError, match="'overfitting'"):
        pellucid.diagnose(overfitted, mute=["overfiting"])
    done = command("train", "digits", "--set", "diagnosis.mute=[overfiting]")
    assert isinstance(done.exception, UnknownNameError)


def test_the_page_of_a_finding_needs_no_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done = command("diagnose", "--explain", "dead-units")
    assert done.output.startswith("Units are 0 for every row\n")
    assert "Lu et al. 2020" in done.output
    refused = command("diagnose", "--explain", "dead-unit")
    assert isinstance(refused.exception, UnknownNameError)
    assert "Did you mean 'dead-units'" in str(refused.exception)
    assert "missing-zero-grad" in command("diagnose", "--rules").output


def test_in_python_a_diagnosis_is_a_list_that_prints(overfitted):
    found = pellucid.diagnose(str(overfitted.path))
    assert [one.id for one in found] == ["overfitting"]
    assert len(found) == 1
    assert "settings={'train.early_stopping'" in str(found)
    assert all(len(line) <= 88 for line in str(found).splitlines())
