"""What one process registered is found by another that opens the run: models, views and rules."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

MODEL = """
import torch
def small(input_shape, num_outputs, *, width=4):
    return torch.nn.Sequential(torch.nn.Linear(input_shape[0], width), torch.nn.Linear(width, num_outputs))
"""
PIECES = """
import pellucid.diagnosis.rules as rules
from pellucid.diagnosis.rule import Rule
from pellucid.models import register
from pellucid.record import Finding
from pellucid.report import views
from pellucid.report.block import View
from small_model import small

register("wrapped", lambda shape, outputs: small(shape, outputs))
GAUGE = View("gauge", lambda facts, shelf: {"n": facts["n"]}, "<b>n is {{ body.n }}</b>")
views.register(GAUGE)
rules.register(Rule("always", (), lambda facts: Finding("always", "note", "Always there", "")))
"""
TRAIN = """
import sys, numpy, pellucid
from pellucid.evaluation import Outcome
from pellucid.models import register
import {module}
def mine(input_shape, num_outputs):
    from small_model import small
    return small(input_shape, num_outputs)
if {name!r} == "small":
    register("small", small_model.small)
if {name!r} == "mine":
    register("mine", mine)
X = numpy.random.default_rng(0).normal(size=(60, 3)).astype("float32")
run = pellucid.fit({name!r}, (X, X[:, 0] > 0), epochs=1, progress=False, execution="eager")
block = [{{"kind": "gauge", "title": "G", "caption": "", "n": 7}}]
Outcome({{"loss": 1.0}}, blocks=block).write(run.path, "test")
"""


def python(folder: Path, code: str) -> subprocess.CompletedProcess[str]:
    paths = [str(folder), *filter(None, [os.environ.get("PYTHONPATH", str(Path.cwd()))])]
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
    (folder / "script.py").write_text(code, encoding="utf-8")
    command = [sys.executable, "script.py"]
    return subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, check=False)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "small_model.py").write_text(MODEL, encoding="utf-8")
    (tmp_path / "pieces.py").write_text(PIECES, encoding="utf-8")
    return tmp_path


def trained(project: Path, name: str, module: str) -> Path:
    done = python(project, TRAIN.format(name=name, module=module))
    assert done.returncode == 0, done.stderr
    return next((project / "runs").iterdir())


OPEN = """
import numpy, pellucid
run = pellucid.Run({path!r})
print(run.predict(numpy.zeros((2, 3), dtype="float32")).labels)
page = run.report().read_text()
print("n is 7" in page, [finding.rule for finding in run.diagnose()])
"""


def test_models_views_and_rules_of_a_module_are_found_again(project: Path) -> None:
    path = trained(project, "wrapped", "pieces")
    found = json.loads((path / "run.json").read_text())["registered"]
    assert found == {
        "models": {"wrapped": "pieces"},
        "views": {"gauge": "pieces:GAUGE"},
        "rules": {"always": "pieces"},
    }
    done = python(project, OPEN.format(path=str(path)))
    assert done.returncode == 0, done.stderr
    assert "True" in done.stdout
    assert "always" in done.stdout


def test_a_builder_that_a_script_registered_is_imported(project: Path) -> None:
    path = trained(project, "small", "small_model")
    options = f"epochs=1, execution='eager', resume={str(path)!r}"
    again = f"import pellucid; pellucid.fit('small', (X, X[:, 0] > 0), {options})"
    data = 'import numpy; X = numpy.random.default_rng(0).normal(size=(60, 3)).astype("float32")\n'
    for code in (OPEN.format(path=str(path)), data + again):
        done = python(project, code)
        assert done.returncode == 0, done.stderr


def test_a_builder_of_the_main_program_is_refused_with_what_to_import(project: Path) -> None:
    path = trained(project, "mine", "small_model")
    done = python(project, OPEN.format(path=str(path)))
    assert "ModelError" in done.stderr
    assert "'mine', which is not registered in this process" in done.stderr
    assert "main program" in done.stderr
