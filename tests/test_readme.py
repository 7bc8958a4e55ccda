"""Every code block of the README runs unchanged."""

import importlib.util
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from sklearn.datasets import load_iris

ROOT = Path(__file__).parent.parent
BLOCKS = re.findall(r"```(\w+)\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL)
COMMANDS = [line for language, block in BLOCKS if language == "sh" for line in block.splitlines() if line]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A newcomer's folder, with some data of their own in it."""
    folder = tmp_path_factory.mktemp("newcomer")
    load_iris(as_frame=True).frame.to_csv(folder / "flowers.csv", index=False)
    return folder


def run(arguments, folder):
    return subprocess.run(arguments, cwd=folder, capture_output=True, text=True, timeout=300, check=False)


def test_there_are_blocks_of_both_kinds():
    assert {language for language, _ in BLOCKS} == {"sh", "python"}
    assert len(COMMANDS) >= 6


@pytest.mark.parametrize("block", [block for language, block in BLOCKS if language == "python"])
def test_python_blocks_run(block, folder):
    done = run([sys.executable, "-c", block], folder)
    assert done.returncode == 0, done.stderr
    assert "test/accuracy" in done.stdout
    assert "report.html" in done.stdout


def test_commands_run_in_their_order(folder):
    for line in COMMANDS:
        arguments = shlex.split(line, comments=True)
        if arguments[0] == "make":  # tried on a fresh clone elsewhere; here, that it says what it would do
            done = run(["make", "-n", "-C", str(ROOT), arguments[1]], folder)
            assert "pip install" in done.stdout or os.path.exists(ROOT / ".venv/installed")
        else:
            done = run([sys.executable, "-m", "pellucid", *arguments[1:]], folder)
            assert done.stdout, line
        assert done.returncode == 0, f"{line}\n{done.stderr}"


def test_catalogue_page_is_up_to_date():
    spec = importlib.util.spec_from_file_location("catalogues", ROOT / "docs" / "catalogues.py")
    page = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(page)
    assert page.PAGE.read_text(encoding="utf-8") == page.render(), "run: python docs/catalogues.py"
