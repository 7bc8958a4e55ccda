"""A new task is one folder: the code of the guide trains, reports, predicts and is found under every name."""

from __future__ import annotations

import contextlib
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import pellucid
from pellucid import report
from pellucid.errors import ConfigError, UnknownNameError, UsageError
from pellucid.record import spec as specs
from pellucid.record.spec import find_spec
from pellucid.tasks import get_task, register

ROOT = Path(__file__).parents[2]
BLOCK = re.compile(r"^```python(?: title=\"([^\"]+)\")?\n(.*?)^```", re.DOTALL | re.MULTILINE)


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, dict[str, Any]]]:
    """The folder in which the code of the guide has run, and the names it has defined."""
    folder = tmp_path_factory.mktemp("project")
    namespace: dict[str, Any] = {"__name__": "__main__"}
    registered = list(specs._registered)
    sys.path.insert(0, str(folder))
    with contextlib.chdir(folder):
        for title, code in BLOCK.findall((ROOT / "docs/guides/add-a-task.md").read_text(encoding="utf-8")):
            if title:
                Path(title).parent.mkdir(parents=True, exist_ok=True)
                Path(title).write_text(code, encoding="utf-8")
            else:
                exec(compile(code, "add-a-task.md", "exec"), namespace)
    yield folder, namespace
    sys.path.remove(str(folder))
    specs._registered[:] = registered
    specs.specs.cache_clear()


@pytest.fixture
def run(project: tuple[Path, dict[str, Any]]) -> pellucid.Run:
    folder, namespace = project
    return pellucid.Run(folder / namespace["run"].path, dataset=namespace["data"])


def test_a_new_task_trains(run: pellucid.Run) -> None:
    assert run.task == "quantile"
    assert run.headline[0] == "test/pinball"
    assert 0.8 < run.metrics["test/below"] < 0.98
    assert run.metrics["test/pinball"] < run.facts["baselines"]["prior"]["test/pinball"]


def test_a_new_task_evaluates_and_predicts(run: pellucid.Run) -> None:
    assert run.evaluate("test").metrics["pinball"] == pytest.approx(run.metrics["test/pinball"], rel=1e-3)
    low, high = (row["prediction"] for row in run.predict(np.array([[-0.9, 0], [0.9, 0]], "f4")).rows())
    assert low < high


def test_a_new_task_evaluates_and_predicts_where_nothing_registered_it(run: pellucid.Run) -> None:
    specs._registered.clear()
    specs.specs.cache_clear()
    assert run.predict(np.zeros((1, 2), "f4")).rows()
    specs._registered.clear()
    specs.specs.cache_clear()
    assert "pinball" in run.evaluate("test").metrics


def test_a_new_task_has_a_report_worded_by_its_spec(run: pellucid.Run) -> None:
    page = run.report().read_text(encoding="utf-8")
    for words in (
        "predicts a quantile of y with a pinball loss of",
        "a constant",
        "Quantiles",
        "One point a row.",
    ):
        assert words in page


def test_the_report_needs_no_code_of_the_task(run: pellucid.Run) -> None:
    """In a process that cannot import the task: the run holds all that is needed."""
    code = f"import sys; from pellucid import report; report.write({str(run.path)!r}); print(*sys.modules)"
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment, cwd=run.path)
    assert not {"torch", "my_project"} & set(done.stdout.split())
    assert "a pinball loss of" in (run.path / "report.html").read_text(encoding="utf-8")


def test_a_new_task_is_found_by_package_and_by_name(project: tuple[Path, dict[str, Any]]) -> None:
    assert get_task("my_project.quantile") is get_task("quantile")
    assert find_spec("quantile").summary == "Predict a quantile of a number"


def test_options_of_a_new_task_are_checked(run: pellucid.Run) -> None:
    config = pellucid.Config.read(run.path / "config.yaml")
    with pytest.raises(UnknownNameError, match="level"):
        get_task("quantile").objective(config.patch({"objective.options.levle": 0.1}))
    with pytest.raises(ConfigError, match=r"objective\.options\.level: .* received 'high'"):
        get_task("quantile").objective(config.patch({"objective.options.level": "high"}))


def test_a_new_task_is_one_folder_outside_of_pellucid(project: tuple[Path, dict[str, Any]]) -> None:
    folder, _ = project
    written = sorted(str(path.relative_to(folder)) for path in folder.rglob("*.py"))
    names = ("__init__", "quantile/__init__", "quantile/offer", "quantile/spec", "quantile/task")
    assert written == [f"my_project/{name}.py" for name in names]


def test_two_tasks_of_the_same_name_are_refused(project: tuple[Path, dict[str, Any]]) -> None:
    folder, _ = project
    (folder / "twin").mkdir()
    (folder / "twin" / "__init__.py").touch()
    (folder / "twin" / "spec.py").write_text((folder / "my_project/quantile/spec.py").read_text())
    with pytest.raises(UsageError, match="exists already"):
        register("twin")


def test_the_run_holds_the_spec(run: pellucid.Run) -> None:
    stored = json.loads((run.path / "run.json").read_text())["spec"]
    assert stored["measures"]["pinball"]["lower"] is True
    assert report.render(run)


def test_a_new_task_is_offered_for_data(project: tuple[Path, dict[str, Any]], tmp_path: Path) -> None:
    register("my_project.quantile")
    (tmp_path / "a.csv").write_text("x,y\n" + "".join(f"{row % 7},{row / 3}\n" for row in range(80)))
    run = pellucid.fit(
        None, str(tmp_path / "a.csv"), task="upper-limit", epochs=1, runs=tmp_path / "runs", progress=False
    )
    assert (run.task, run.facts["model"]["name"]) == ("quantile", "tabm")
