"""The code of the guides runs as it stands.

The blocks of a guide run in order, in an empty folder. A block with a title is the content of that file;
`python` blocks share one namespace, and of `sh` blocks each line is a command.
"""

import contextlib
import importlib.util
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from pellucid.train.losses import LOSSES

ROOT = Path(__file__).parents[2]
GUIDES = ROOT / "docs" / "guides"
BLOCK = re.compile(r"^```(\w+)(?: title=\"([^\"]+)\")?\n(.*?)^```", re.DOTALL | re.MULTILINE)
NAMES = (
    "own-data",
    "predict",
    "texts",
    "read-a-report",
    "check-your-data",
    "own-loop",
    "look-inside",
    "add-a-model",
    "add-a-loss",
    "add-a-metric",
    "add-a-callback",
    "resume",
    "diagnose",
    "add-a-column-kind",
    "add-a-target",
    "pretrained-models",
)


@pytest.mark.parametrize("name", NAMES)
def test_the_blocks_of_a_guide_run(name, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(tmp_path))
    known = dict(LOSSES)  # a guide adds one
    namespace = {"__name__": "__main__"}
    blocks = BLOCK.findall((GUIDES / f"{name}.md").read_text(encoding="utf-8"))
    assert any(language in ("python", "sh") for language, _, _ in blocks)
    with contextlib.chdir(tmp_path):
        for language, title, text in blocks:
            if title:
                Path(title).write_text(text, encoding="utf-8")
            elif language == "python":
                exec(compile(text, f"{name}.md", "exec"), namespace)
            elif language == "sh":
                for line in text.splitlines():
                    command(line, tmp_path)
    for added in LOSSES.keys() - known.keys():
        del LOSSES[added]


def command(line, folder):
    program, *arguments = shlex.split(line, comments=True)
    assert program == "pellucid", line
    done = subprocess.run(
        [sys.executable, "-m", "pellucid", *arguments],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": os.pathsep.join([str(folder), str(ROOT)])},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, f"{line}\n{done.stderr}"


def test_the_settings_page_lists_every_setting_with_its_default():
    spec = importlib.util.spec_from_file_location("settings_page", ROOT / "docs/tools/settings_page.py")
    page = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(page)
    text = page.render()
    assert "| `train.epochs` | `int` ≥ 1 | `10` |" in text
    assert "| `data.augment.rotate` | `float` ≥ 0 ≤ 180 | `0` |" in text
    assert "## optimizer.phases.NAME" in text
