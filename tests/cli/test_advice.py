"""Errors and advice: what they advise works as it is typed."""

import json

import pytest
import yaml
from typer.testing import CliRunner

from pellucid.cli.main import app, main
from pellucid.diagnosis import facts, first_of, setting_of
from pellucid.errors import ConfigError, StorageError
from pellucid.record import Run, files


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
