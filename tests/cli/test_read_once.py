"""Data named on the command line is parsed, typed and split once, and not again to train on it."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from sklearn.datasets import load_iris
from typer.testing import CliRunner

from pellucid.cli.main import app
from pellucid.data import schema, split
from pellucid.data.sources import csvfile


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """Count the calls of what reads a file, types a column and splits the rows."""
    counts: Counter[str] = Counter()

    def counted(module, name: str) -> None:
        work = getattr(module, name)

        def call(*args, **options):
            counts[name] += 1
            return work(*args, **options)

        monkeypatch.setattr(module, name, call)

    for module, name in ((csvfile, "read"), (schema, "read_column"), (split, "_take")):
        counted(module, name)
    return counts


def train(tmp_path: Path, *options: str) -> None:
    load_iris(as_frame=True).frame.to_csv(tmp_path / "iris.csv", index=False)
    arguments = ["train", str(tmp_path / "iris.csv"), "--epochs", "1", "--runs", str(tmp_path / "runs")]
    done = CliRunner().invoke(app, [*arguments, *options], catch_exceptions=False)
    assert done.exit_code == 0


def test_a_file_is_read_once(tmp_path: Path, calls: Counter[str]) -> None:
    train(tmp_path, "--set", "data.test=0.2")
    assert (calls["read"], calls["_take"]) == (1, 1)
    assert calls["read_column"] == 5  # 4 inputs and a target


def test_a_file_is_read_again_if_a_flag_changes_its_rows(tmp_path: Path, calls: Counter[str]) -> None:
    train(tmp_path, "--data-fraction", "0.5")
    assert (calls["read"], calls["_take"]) == (2, 2)
