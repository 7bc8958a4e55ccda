"""A command line, and a finished run."""

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
from sklearn.datasets import load_iris


@dataclass
class Done:
    code: int
    out: str
    err: str

    @property
    def json(self):
        return json.loads(self.out)


@dataclass
class CommandLine:
    folder: Path

    def __call__(self, *words):
        command = [sys.executable, "-m", "pellucid", *map(str, words)]
        done = subprocess.run(
            command, cwd=self.folder, capture_output=True, text=True, timeout=300, check=False
        )
        return Done(done.returncode, done.stdout, done.stderr)


@pytest.fixture(scope="session")
def flowers(tmp_path_factory):
    """A folder with iris as a CSV, the class by name."""
    folder = tmp_path_factory.mktemp("flowers")
    frame = load_iris(as_frame=True).frame
    frame["target"] = frame["target"].map({0: "setosa", 1: "versicolor", 2: "virginica"})
    frame.rename(columns={"target": "species"}).to_csv(folder / "iris.csv", index=False)
    return folder


@pytest.fixture(scope="session")
def pellucid(flowers):
    return CommandLine(flowers)


@pytest.fixture(scope="session")
def trained(pellucid):
    """The JSON of a finished training on iris."""
    done = pellucid("train", "iris.csv", "--epochs", "15", "--json")
    assert done.code == 0, done.err
    return done.json
