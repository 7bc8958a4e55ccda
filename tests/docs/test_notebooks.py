"""The tutorials run from the first cell to the last, and show what is stored in them."""

import sys
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[2] / "docs"
sys.path.insert(0, str(DOCS / "tools"))
import notebooks  # noqa: E402


@pytest.mark.parametrize("path", notebooks.paths(DOCS), ids=lambda path: path.stem)
def test_a_tutorial_runs_and_its_outputs_are_those_stored(path, request):
    if path.stem == "1-first-network":
        request.getfixturevalue("mirror")  # it learns from 6,000 digits of MNIST
    with notebooks.folder():
        for cell, outputs in notebooks.run(notebooks.read(path)):
            assert kinds(outputs) == kinds(cell["outputs"]), "run: python docs/tools/notebooks.py"


def kinds(outputs):
    return [(output["output_type"], sorted(output.get("data", ()))) for output in outputs]


def test_there_are_three_tutorials_without_local_paths():
    paths = notebooks.paths(DOCS)
    assert [path.stem[0] for path in paths] == ["1", "2", "3"]
    for path in paths:
        assert str(Path.cwd()) not in path.read_text()
        assert str(Path.home()) not in path.read_text()


def test_an_error_in_a_cell_is_not_swallowed():
    notebook = {"cells": [{"cell_type": "code", "source": ["1 / 0"]}]}
    with pytest.raises(ZeroDivisionError):
        list(notebooks.run(notebook))
