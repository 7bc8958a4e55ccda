"""What is on disk is not trusted: a damaged run is named with file and reason, and the others are read."""

import contextlib
import json
import os
import shutil
import sqlite3
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest

import pellucid
from pellucid import report
from pellucid.errors import PellucidError, RunError, StorageError, UsageError
from pellucid.record import Run, database, files
from pellucid.record.run import find_run, list_runs
from pellucid.runner import training

DEEP = "[" * 200_000
CONTENTS = {
    "empty": b"",
    "zeros": bytes(100),
    "half": b'{"id": "x", "metr',
    "deep": DEEP.encode(),
    "list": b"[]",
    "number": b"7",
    "null": b"null",
    "latin": b'{"id": "\xe9"}',
    "strings": b'{"columns": "x", "blocks": "y", "metrics": "z", "summary": 3, "limit": []}',
}


def points():
    x = np.random.default_rng(0).normal(size=(60, 2)).astype("float32")
    return pellucid.arrays(x, (x[:, 0] > 0).astype(int))


@pytest.fixture(scope="module")
def original(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    return pellucid.fit("mlp", points(), epochs=1, runs=folder, progress=False).path


@pytest.fixture
def run(original, tmp_path):
    return shutil.copytree(original, tmp_path / "runs" / "a")


def change(path, **values):
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


@pytest.mark.parametrize("content", CONTENTS)
def test_a_damaged_run_is_named_and_the_others_are_listed(run, content, capsys):
    other = shutil.copytree(run, run.with_name("b"))
    (run / "run.json").write_bytes(CONTENTS[content])
    damaged = []
    assert [found.id for found in list_runs(run.parent, damaged)] == ["b"]
    assert len(damaged) == 1
    assert str(run / "run.json") in damaged[0]
    assert find_run(run.parent, "last").path == other
    with pytest.raises(RunError, match=r"run\.json"):
        find_run(run.parent, "a")


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"seconds": [1]}, "seconds is an array: expected object"),
        ({"status": "done"}, "status is 'done': expected 'running' or"),
        ({"choices": [{"what": "device"}]}, r"choices\[0\]\.value is missing"),
        ({"metrics": {"test/accuracy": "high"}}, "metrics.test/accuracy is 'high': expected number or null"),
        ({"notes": [1]}, r"notes\[0\] is 1: expected string"),
        ({"seed": True}, "seed is True: expected integer"),
        ({"name": {"a": 1}}, "name is an object: expected string"),
        ({"schema": "two"}, "schema is 'two': expected 2"),
    ],
)
def test_an_entry_of_another_type_is_named(run, values, words):
    change(run / "run.json", **values)
    with pytest.raises(RunError, match=words):
        Run(run)


@pytest.mark.skipif(os.name != "posix", reason="named pipes")
@pytest.mark.parametrize("name", ["run.json", "run.sqlite", "preprocess.json"])
def test_a_pipe_in_place_of_a_file_is_refused_at_once(run, name):
    (run / name).unlink()
    os.mkfifo(run / name)
    with pytest.raises(RunError, match=f"{name} is not an ordinary file"):
        read_all(run)


def read_all(run):
    table = run.parent / "one.csv"
    table.write_text("x0,x1\n1,2\n")
    find_run(run.parent, "a").store.keys()
    pellucid.Run(run).predict(str(table))


@pytest.mark.parametrize("content", CONTENTS)
@pytest.mark.parametrize(
    "name", ["preprocess.json", "evaluation/test.json", "config.yaml", "run.sqlite", "checkpoints/best"]
)
def test_damage_elsewhere_ends_in_an_error_or_not_at_all(run, name, content):
    table = run.parent / "one.csv"
    table.write_text("x0,x1\n1,2\n")
    (run / name).write_bytes(CONTENTS[content])
    for use in (
        lambda: json.dumps(report.view(Run(run))),
        lambda: report.write(run),
        lambda: pellucid.Run(run).predict(str(table)),
        lambda: find_run(run.parent, "a").store.findings(),
    ):
        with contextlib.suppress(PellucidError):
            use()


PUT = {
    "pipe": os.mkfifo if os.name == "posix" else None,
    "device": lambda path: path.symlink_to("/dev/zero"),
    "loop": lambda path: path.symlink_to(path.name),
    "folder": Path.mkdir,
}


@pytest.mark.skipif(os.name != "posix", reason="named pipes")
@pytest.mark.parametrize("put", PUT)
@pytest.mark.parametrize(
    "name",
    [
        *("config.yaml", "run.sqlite", "run.sqlite-wal", "run.sqlite-shm", "run.sqlite-journal"),
        *("evaluation/test.json", "evaluation/test-examples.parquet", "checkpoints/best"),
        *("model.safetensors", "optimizer.safetensors", "state.json"),
    ],
)
def test_what_is_no_file_is_neither_waited_for_nor_read(run, name, put):
    best = Run(run).checkpoints.pointed("best")
    path = best / name if name.startswith(("model", "optimizer", "state")) else run / name
    path.unlink(missing_ok=True)
    PUT[put](path)
    change(run / "run.json", status="interrupted")
    table = run.parent / "one.csv"
    table.write_text("x0,x1\n1,2\n")
    for use in (
        lambda: report.write(run),
        lambda: pellucid.Run(run).predict(str(table)),
        lambda: pellucid.Run(run).config,
        lambda: pellucid.Run(run).diagnose(),
        lambda: list_runs(run.parent)[0].store.query("SELECT 1"),
        lambda: pellucid.fit("mlp", points(), epochs=1, runs=run.parent, progress=False, resume="a"),
    ):
        with contextlib.suppress(PellucidError), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            use()


def test_the_text_of_a_damaged_config_is_an_error_and_its_values_are_none(run):
    (run / "config.yaml").write_bytes(b"\xff")
    with pytest.raises(RunError, match=r"config\.yaml cannot be read"):
        Run(run).config  # noqa: B018
    (run / "config.yaml").write_text(DEEP)
    assert Run(run).settings == {}
    (run / "config.yaml").unlink()
    with pytest.raises(RunError, match=r"config\.yaml is missing"):
        Run(run).config  # noqa: B018


def test_a_file_that_may_not_be_read_makes_a_checkpoint_unsound(run, monkeypatch):
    def refused(*_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(files.hashlib, "file_digest", refused)
    found, complaints = Run(run).checkpoints.latest()
    assert found is None
    assert "Permission denied" in complaints[0]


@pytest.mark.parametrize(
    ("words", "kind"), [("disk I/O error", StorageError), ("database is locked", RunError)]
)
def test_an_error_of_the_database_while_writing_is_named(run, words, kind):
    with pytest.raises(kind, match=r"run\.sqlite"), database.refusals(run / "run.sqlite"):
        raise sqlite3.OperationalError(words)


def test_half_a_surrogate_pair_is_written_as_an_escape(run):
    change(run / "run.json", summary="\ud800")
    assert "\\ud800" in report.write(run).read_text(encoding="utf-8")
    files.write_json(run / "x.json", {"a": "\udce9"})
    assert json.loads((run / "x.json").read_text()) == {"a": "\udce9"}


def test_text_where_numbers_stand_is_refused_by_file(run):
    connection = sqlite3.connect(run / "run.sqlite")
    connection.execute("UPDATE metrics SET value = 'high'")
    connection.commit()
    connection.close()
    store = Run(run).store
    with pytest.raises(RunError, match=r"run\.sqlite is damaged: could not convert string to float: 'high'"):
        store.series(store.keys()[0])


def test_missing_tables_are_named(run):
    connection = sqlite3.connect(run / "run.sqlite")
    connection.execute("DROP TABLE findings")
    connection.close()
    with pytest.raises(RunError, match=r"run\.sqlite cannot be read: no such table: findings"):
        Run(run).store.findings()


@pytest.mark.parametrize("name", ["", " "])
def test_an_empty_name_is_refused(run, name):
    with pytest.raises(UsageError, match="empty"):
        find_run(run.parent, name)


@pytest.mark.parametrize("name", ["x" * 5000, "a\0b", "../../../etc", "\udce9"])
def test_strange_names_are_unknown(run, name):
    with pytest.raises(PellucidError):
        find_run(run.parent, name)


def test_partial_files_of_killed_writers_are_removed_by_the_next(run):
    dead = subprocess.run(
        [sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, text=True
    )
    gone, mine = run / "evaluation" / f".test.json.{int(dead.stdout)}", run / f".run.json.{os.getpid()}"
    gone.write_text("{")
    mine.write_text("{")
    with Run(run).writing():
        pass
    assert not gone.exists()
    assert mine.exists()


def test_a_run_killed_before_its_report_gets_it_when_resumed(run):
    (run / "report.html").unlink()
    connection = sqlite3.connect(run / "run.sqlite")
    connection.execute("DELETE FROM findings")
    connection.commit()
    connection.close()
    x = np.random.default_rng(0).normal(size=(60, 2)).astype("float32")
    data = pellucid.arrays(x, (x[:, 0] > 0).astype(int))
    again = pellucid.fit("mlp", data, epochs=1, runs=run.parent, progress=False, resume="a")
    assert (again.path / "report.html").exists()
    assert again.findings


def test_a_query_is_bounded_in_rows_and_time(run):
    store, endless = Run(run).store, "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT "
    assert len(store.query(endless + "i FROM n", rows=7)[1]) == 7
    with pytest.raises(UsageError, match=r"longer than 0\.1 s"):
        store.query(endless + "max(i) FROM n", seconds=0.1)
    with pytest.raises(UsageError, match="too big"):
        store.query("SELECT zeroblob(1000000000)")
    with pytest.raises(UsageError, match="surrogates"):
        store.query("SELECT '\udce9'")


def test_a_file_larger_than_any_we_write_is_not_read(run, monkeypatch):
    monkeypatch.setattr(files, "LARGEST", 10)
    with pytest.raises(RunError, match="expected at most 10"):
        Run(run)


def test_a_diagnosis_that_fails_does_not_undo_a_finished_run(tmp_path, monkeypatch):
    def broken(run):
        raise ZeroDivisionError("a rule")

    monkeypatch.setattr(training, "diagnose", broken)
    x = np.random.default_rng(0).normal(size=(60, 2)).astype("float32")
    data = pellucid.arrays(x, (x[:, 0] > 0).astype(int))
    run = pellucid.fit("mlp", data, epochs=1, runs=tmp_path, progress=False)
    assert run.status == "finished"
    assert any("ZeroDivisionError: a rule" in note for note in run.facts["notes"])
