"""The database file: old versions are read and migrated, newer ones refused, and readers leave no trace."""

import contextlib
import shutil
import sqlite3
from pathlib import Path

import pytest

from pellucid.errors import RunError, UsageError
from pellucid.record import Finding, Span, database
from pellucid.record.store import Store

OLD = Path(__file__).parents[1] / "fixtures" / "v0_1" / "folders" / "digits-finished" / "run.sqlite"


def version(path):
    with contextlib.closing(sqlite3.connect(path)) as connection:
        return connection.execute("PRAGMA user_version").fetchone()[0]


def files(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.suffix != ".sqlite-shm"}


@pytest.fixture
def old(tmp_path):
    """A database of version 0.1, in which one finding was recorded twice."""
    path = Path(shutil.copy(OLD, tmp_path / "run.sqlite"))
    connection = sqlite3.connect(path)
    for seen in ("first", "second"):
        row = (8, "non_finite", "error", "fc1", seen, "means", "", "{}", 1.0)
        connection.execute("INSERT INTO findings VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", row)
    connection.commit()
    connection.close()
    return path


def expect_old_content(store):
    assert [step for step, _ in store.series("val/loss")] == [8, 16, 24]
    assert "training" in {span.name for span in store.spans()}
    assert [(f.rule, f.seen) for f in store.findings() if f.where] == [("non-finite-loss", "second")]
    assert store.artifacts() == []
    assert store.query("SELECT count(*) FROM traces")[1] == store.query("SELECT count(*) FROM spans")[1]


def test_an_old_database_is_read_without_changing_it(old):
    before = files(old.parent)
    expect_old_content(Store(old))
    assert files(old.parent) == before
    assert version(old) == 0


def test_a_writer_migrates_an_old_database_once(old):
    store = Store(old)
    store.span(Span("load", 1.0, 2.0, 30))
    store.close()
    assert version(old) == database.VERSION
    expect_old_content(Store(old))
    assert store.spans()[0] == Span("load", 1.0, 2.0, 30)


def test_a_new_database_has_the_documented_tables_and_columns(tmp_path):
    store = Store(tmp_path / "run.sqlite")
    store.metrics(1, {"loss": 1.0})
    store.close()
    connection = sqlite3.connect(store.path)
    names = "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'"
    tables = [name for (name,) in connection.execute(names)]
    assert sorted(tables) == sorted(database.TABLES)
    for table, columns in database.TABLES.items():
        assert [row[1] for row in connection.execute(f"PRAGMA table_info({table})")] == list(columns)


def test_a_column_that_was_added_later_does_not_break_writing(tmp_path):
    store = Store(tmp_path / "run.sqlite")
    store.metrics(1, {"loss": 1.0})
    store.close()
    sqlite3.connect(store.path).execute("ALTER TABLE metrics ADD COLUMN phase TEXT")
    store.metrics(2, {"loss": 0.5})
    assert store.series("loss") == [(1, 1.0), (2, 0.5)]


@pytest.mark.parametrize("use", [lambda store: store.keys(), lambda store: store.close()])
def test_a_database_of_a_newer_version_is_refused(tmp_path, use):
    path = tmp_path / "run.sqlite"
    sqlite3.connect(path).execute("PRAGMA user_version = 99")
    store = Store(path)
    if use(Store(tmp_path / "other.sqlite")) is None:
        store.metrics(1, {"loss": 1.0})
    with pytest.raises(
        RunError, match=f"version 99; this Pellucid reads versions up to {database.VERSION}"
    ) as refused:
        use(store)
    assert "upgrade" in str(refused.value)


def test_a_finding_of_the_same_rule_place_and_step_is_replaced(tmp_path):
    store = Store(tmp_path / "run.sqlite")
    for seen in ("first", "second"):
        for place in ("", "fc1"):
            store.finding(Finding("dead-units", "warning", seen, "means", where=place, step=3))
            store.flush()
    assert [(f.where, f.seen) for f in store.findings()] == [("", "second"), ("fc1", "second")]


@pytest.mark.parametrize("writer", ["none", "closed", "open", "killed"])
def test_reading_creates_and_changes_no_file(tmp_path, writer):
    store = Store(tmp_path / "run.sqlite")
    if writer != "none":
        store.metrics(1, {"loss": 1.0})
        store.flush()
    if writer == "closed":
        store.close()
    if writer == "killed":  # its log and index stay behind
        left = files(tmp_path) | {"run.sqlite-shm": (tmp_path / "run.sqlite-shm").read_bytes()}
        store.close()
        for name, content in left.items():
            (tmp_path / name).write_bytes(content)
    before = {path.name for path in tmp_path.iterdir()}, files(tmp_path)
    reader = Store(tmp_path / "run.sqlite")
    assert reader.keys() == ([] if writer == "none" else ["loss"])
    assert reader.query("SELECT count(*) FROM events")[1] == [(0,)]
    reader.close()
    assert ({path.name for path in tmp_path.iterdir()}, files(tmp_path)) == before


def test_a_log_without_its_index_is_read_too(tmp_path):
    store = Store(tmp_path / "run.sqlite")
    store.metrics(1, {"loss": 1.0})
    store.flush()
    (tmp_path / "copy").mkdir()
    for ending in ("", "-wal"):
        shutil.copy(tmp_path / f"run.sqlite{ending}", tmp_path / "copy")
    assert Store(tmp_path / "copy" / "run.sqlite").series("loss") == [(1, 1.0)]
    store.close()


def test_closing_completes_the_database_file_even_while_a_reader_has_it_open(tmp_path):
    store = Store(tmp_path / "run.sqlite")
    store.metrics(1, {"loss": 1.0})
    store.flush()
    reader = sqlite3.connect(store.path)
    assert reader.execute("SELECT count(*) FROM metrics").fetchone() == (1,)
    store.metrics(2, {"loss": 0.5})
    store.close()
    shutil.copy(store.path, tmp_path / "alone.sqlite")
    reader.close()
    assert Store(tmp_path / "alone.sqlite").series("loss") == [(1, 1.0), (2, 0.5)]


def test_two_statements_at_once_are_refused(tmp_path):
    with pytest.raises(UsageError, match="The query failed"):
        Store(tmp_path / "run.sqlite").query("SELECT 1; SELECT 2")
