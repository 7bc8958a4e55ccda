"""What tasks say about themselves: complete, found without torch, and stored with a run."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from pellucid.errors import UnknownNameError, UsageError
from pellucid.record import Run
from pellucid.record.spec import (
    UNKNOWN,
    TaskSpec,
    find_spec,
    package_of,
    register,
    specs,
    task_for,
    task_names,
)

MINE = """
from pellucid.record.spec import TaskSpec
SPEC = TaskSpec(name="{name}")
"""


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Write a package of a given name that holds the spec of a task of another."""
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr("pellucid.record.spec._registered", [])

    def write(folder: str, name: str) -> str:
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "__init__.py").touch()
        (tmp_path / folder / "spec.py").write_text(MINE.format(name=name))
        return folder

    yield write
    specs.cache_clear()


@pytest.mark.parametrize("name", task_names())
def test_a_spec_survives_a_round_trip_through_json(name):
    spec = find_spec(name)
    assert TaskSpec.from_dict(json.loads(json.dumps(spec.to_dict()))) == spec


@pytest.mark.parametrize("name", task_names())
def test_a_task_is_named_like_its_folder_and_has_a_headline_sentence(name):
    spec = find_spec(name)
    assert package_of(name) == f"pellucid.tasks.{name}"
    assert spec.summary
    assert set(spec.headline) & set(spec.sentences)


def test_entries_of_a_later_version_are_ignored():
    assert (
        TaskSpec.from_dict({"name": "x", "color": "red", "measures": {"m": {"name": "m", "size": 1}}}).name
        == "x"
    )


def test_specs_are_found_without_torch():
    code = "import sys; from pellucid.record.spec import specs; specs(); print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_old_names_refer_to_the_new_task():
    assert find_spec("words_ahead").name == "next_words"


def test_a_misspelled_task_suggests_the_nearest():
    with pytest.raises(UnknownNameError, match="'classification'"):
        find_spec("clasification")


def test_a_task_follows_from_the_kind_of_target():
    assert task_for("multilabel") is find_spec("multilabel")
    assert task_for(None) is None


def test_a_registered_package_is_found_by_both_names(package):
    register(package("mine_a", "strange_task"))
    assert find_spec("strange_task") is find_spec("mine_a")
    assert "strange_task" in task_names()


@pytest.mark.parametrize("name", ["classification", "words_ahead"])
def test_a_name_that_is_taken_is_refused(name, package):
    with pytest.raises(UsageError, match="exists already"):
        register(package(f"taken_{name}", name))


def test_a_package_without_a_task_is_refused(package):
    with pytest.raises(UsageError, match="expected a package with"):
        register("no_such_package")
    (Path(sys.path[0]) / package("empty", "x") / "spec.py").write_text("SPEC = 3\n")
    with pytest.raises(UsageError, match="SPEC = TaskSpec"):
        register("empty")


def test_a_run_uses_its_own_spec_or_that_of_its_task(tmp_path):
    run = Run.create(tmp_path, "a", "", task="words_ahead")
    assert run.spec is find_spec("next_words")
    assert run.task == "next_words"
    run.update(
        spec=TaskSpec("elsewhere", headline=("x",)).to_dict(), metrics={"test/loss": 1.0, "test/x": 2.0}
    )
    assert run.task == "elsewhere"
    assert run.headline == ["test/x", "test/loss"]
    run.update(spec=None, task="gone")
    assert run.spec is UNKNOWN
    assert run.task == "gone"
