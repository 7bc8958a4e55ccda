"""The map is true: files that the documents name exist, and the layers are those that are enforced."""

import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PLACES = (ROOT, ROOT / "pellucid", ROOT / "docs" / "guides", ROOT / "benchmarks")
NAMED = re.compile(r"`([\w.-]+(?:/[\w.-]+)*(?:/|\.py|\.md))`")


@pytest.mark.parametrize("document", ["ARCHITECTURE.md", "CONTRIBUTING.md", "README.md"])
def test_every_file_that_is_named_exists(document):
    named = NAMED.findall((ROOT / document).read_text(encoding="utf-8"))
    assert named
    assert not [name for name in named if not exists(name) and name != "site/"]


def exists(name):
    if "/" not in name and any((ROOT / "pellucid").rglob(name)):
        return True
    return any((place / name).exists() for place in PLACES)


def test_the_layers_are_those_that_are_enforced():
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    contract = settings["tool"]["importlinter"]["contracts"][0]
    enforced = [set(re.findall(r"pellucid\.(\w+)", layer)) for layer in contract["layers"]]
    text = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")
    block = re.search(r"Imports go down only.*?\n\n(.*?)\n\n", text, re.DOTALL)[1]
    drawn = [set(re.split(r"\s{2,}", line.strip())) for line in block.splitlines()]
    known = set.union(*enforced)
    assert [layer & known for layer in drawn] == [layer for layer in enforced if layer != {"__main__"}]
