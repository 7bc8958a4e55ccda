"""Shared fixtures: the mirror of real data, if there is one, and a folder for runs."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from pellucid import errors
from pellucid.cli import common


@pytest.fixture(scope="session")
def mirror() -> Path:
    """The mirror of real data; tests that need it are skipped where it is not."""
    folder = os.environ.get("PELLUCID_MIRROR")
    if not folder or not Path(folder).is_dir():
        pytest.skip("PELLUCID_MIRROR names no folder: the mirror of real data is not here")
    return Path(folder)


@pytest.fixture(autouse=True)
def _speaking_python(monkeypatch: pytest.MonkeyPatch) -> None:
    """Errors speak Python, also after a test that called `main`, which makes them speak commands."""
    monkeypatch.setattr(common, "IS_COMMAND", False)
    monkeypatch.setattr(errors, "SPEAKS_COMMANDS", False)


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    """An empty folder for runs."""
    return tmp_path / "runs"
