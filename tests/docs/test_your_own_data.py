"""The commands of docs/your-own-data.md run, each on its small real data."""

from __future__ import annotations

import importlib
import json
import shlex
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from pellucid.cli.main import app

DOCS = Path(__file__).parents[2] / "docs"
sys.path.insert(0, str(DOCS))
page = importlib.import_module("your_own_data")
sys.path.remove(str(DOCS))

FEW = ["--set", "train.max_steps=3", "--set", "train.execution=eager"]
LESS = ["--set", "data.fraction=0.2"]
"""For what takes seconds; a series has too few rows for less."""


@pytest.mark.parametrize("row", page.ROWS, ids=[row.train for row in page.ROWS])
def test_one_command_trains_and_one_uses_the_result(row, mirror, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    row.make(tmp_path)
    less = [] if "forecast" in row.train else LESS
    for command in ([*shlex.split(row.train), *FEW, *less], shlex.split(row.use)):
        done = CliRunner().invoke(app, command)
        assert done.exit_code == 0, done.output + str(done.exception)
    facts = json.loads(next(tmp_path.glob("runs/*/run.json")).read_text())
    assert facts["status"] == "finished"
    assert page.score(facts)[0].startswith("test/")


def test_the_page_shows_every_row():
    text = (DOCS / "your-own-data.md").read_text(encoding="utf-8")
    rows = [line for line in text.splitlines() if line.startswith("| ")][2:]
    assert len(rows) == len(page.ROWS)
    for row, line in zip(page.ROWS, rows, strict=True):
        assert f"`pellucid {row.use}`" in line
        assert f"`pellucid {row.train} --minutes" in line
