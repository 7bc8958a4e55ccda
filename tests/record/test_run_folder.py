"""The run folder is what docs/run-folder.md and its JSON schema say."""

import importlib.util
import json
import sqlite3
from fnmatch import fnmatch
from pathlib import Path

import jsonschema
import pytest
import torch
from sklearn.datasets import load_iris

import pellucid
from pellucid import runner
from pellucid.record import Run, database, folder_schema
from pellucid.study import Study

ROOT = Path(__file__).parents[2]
OLD = sorted((ROOT / "tests" / "fixtures" / "v0_1" / "folders").iterdir())


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder of runs in which a study of two runs was trained."""
    folder = tmp_path_factory.mktemp("runs")
    load_iris(as_frame=True).frame.to_csv(folder / "iris.csv", index=False)
    study = Study.parse(
        {
            "name": "two",
            "base": {
                "data": {"source": str(folder / "iris.csv"), "target": "target"},
                "train": {"epochs": 2, "ema": 0.9},
                "model": {"name": "linear"},
            },
            "parts": {"small": {"train.seed": 1}, "large": {"train.seed": 2}},
            "metric": "test/accuracy",
            "target": {"metric": "test/accuracy", "value": 0.1},
        }
    )
    runner.train_study(study, runs=folder)
    for path in folder.glob("*/run.json"):
        Run(path.parent).artifact(1, "samples", "text", "one")
    return folder


def test_a_fresh_run_and_study_fit_the_schema(folder):
    kinds = []
    for path in folder.glob("*/run.json"):
        facts = json.loads(path.read_text())
        jsonschema.validate(facts, folder_schema.FACTS, jsonschema.Draft202012Validator)
        assert set(facts) <= set(folder_schema.FACTS["properties"]), "an entry is not described"
        kinds.append(facts["kind"])
    assert sorted(kinds) == ["run", "run", "study"]


def test_a_run_without_a_target_fits_the_schema(tmp_path):
    batches = [(torch.rand(8, 2), torch.arange(8) % 2)]
    run = pellucid.fit(
        torch.nn.Linear(2, 2),
        batches,
        validation=batches,
        loss=torch.nn.functional.cross_entropy,
        epochs=1,
        progress=False,
        runs=tmp_path,
    )
    facts = json.loads((run.path / "run.json").read_text())
    assert facts["dataset"]["task"] is None
    jsonschema.validate(facts, folder_schema.FACTS, jsonschema.Draft202012Validator)


def test_the_schema_refuses_invalid_facts(folder):
    facts = json.loads(next(folder.glob("*/run.json")).read_text())
    for change in ({"status": "done"}, {"schema": 1}, {"metrics": {"loss": "low"}}, {"kind": "set"}):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(facts | change, folder_schema.FACTS)


def test_every_file_of_a_fresh_run_is_described(folder):
    patterns = set(folder_schema.FILES)
    for run in (path.parent for path in folder.glob("*/run.json")):
        names = [path.relative_to(run).as_posix() for path in run.rglob("*") if path.is_file()]
        assert [name for name in names if not any(fnmatch(name, pattern) for pattern in patterns)] == []
        assert "run.json" in names


def test_the_tables_of_a_fresh_run_are_described(folder):
    for path in folder.glob("*/run.sqlite"):
        connection = sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)
        assert connection.execute("PRAGMA user_version").fetchone() == (database.VERSION,)
        names = "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'"
        assert {name for (name,) in connection.execute(names)} == set(database.TABLES)
        for table, columns in database.TABLES.items():
            assert [row[1] for row in connection.execute(f"PRAGMA table_info({table})")] == list(columns)
        connection.close()


@pytest.mark.parametrize("path", OLD, ids=lambda path: path.name)
def test_an_old_run_fits_the_schema_except_for_its_version(path):
    facts = pellucid.Run(path).facts
    jsonschema.validate(facts | {"schema": 2, "kind": "run"}, folder_schema.FACTS)


def test_page_and_schema_file_are_up_to_date():
    spec = importlib.util.spec_from_file_location("run_folder", ROOT / "docs" / "tools" / "run_folder.py")
    page = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(page)
    assert page.PAGE.read_text(encoding="utf-8") == page.render(), "run: python docs/tools/run_folder.py"
    assert page.SCHEMA_FILE.read_text(encoding="utf-8") == page.render_schema()
