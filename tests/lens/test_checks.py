"""The table of docs/lens-checks.md: hooked equals plain, and gradients equal finite differences."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest
import torch

from pellucid.models import BUILDERS
from pellucid.runner.families import FAMILIES

DOCS = Path(__file__).parents[2] / "docs"


def script():
    spec = importlib.util.spec_from_file_location("lens_checks", DOCS / "lens_checks.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_page_has_every_model_and_six_architectures_and_all_hold():
    checks = script()
    text = (DOCS / "lens-checks.md").read_text(encoding="utf-8")
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in text.splitlines()
        if line[:2] == "| "
    ]
    rows = [row for row in rows if row[0] not in ("model", "---")]
    assert {row[0].split(",")[0] for row in rows} >= {*FAMILIES, *checks.ALIKE}
    covered = {FAMILIES[name][0] for name in FAMILIES} | set(checks.ALIKE)
    built_in = {name for name, build in BUILDERS.items() if build.__module__.startswith("pellucid.")}
    assert built_in - covered <= {"padim"}
    assert sum(row[0].startswith("transformers: ") for row in rows) == 6
    assert all(row[2] == "yes" and float(row[4]) <= 1e-6 for row in rows)


@pytest.mark.parametrize("name", ["mlp", "gan"])
def test_a_family_is_the_same_when_captured(name):
    rows = list(script().families([name]))
    assert len(rows) == (2 if name == "gan" else 1)
    assert all(row[2] == "yes" and float(row[4]) <= 1e-6 for row in rows)


def test_an_architecture_of_transformers_is_the_same_when_captured():
    pytest.importorskip("transformers")
    checks = script()
    torch.manual_seed(0)
    model, batch = checks.architectures()["GPT-2"]
    equal, calls = checks.same(model, checks.loss_of_outputs, batch)
    assert equal
    assert calls > 20


def test_a_capture_that_changes_a_bit_would_be_noticed():
    checks = script()
    model = torch.nn.Linear(3, 2)

    def loss(model, batch):
        return model(batch).sum() + torch.rand(())

    assert checks.same(model, loss, torch.ones(2, 3))[0]
    ran = []

    def unstable(model, batch):
        ran.append(1)
        return model(batch).sum() * len(ran)

    assert not checks.same(model, unstable, torch.ones(2, 3))[0]
