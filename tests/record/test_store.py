"""The database of a run: rows are read back, and a resumed run deletes later ones."""

import pytest

from pellucid.errors import StorageError, UsageError
from pellucid.record import Finding, Span
from pellucid.record.store import Store


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "run.sqlite")


def test_a_metric_is_read_back_in_order_of_steps(store):
    store.metrics(20, {"val/loss": 0.5})
    store.metrics(10, {"val/loss": 0.7, "val/accuracy": 0.9})
    assert store.series("val/loss") == [(10, 0.7), (20, 0.5)]
    assert store.keys() == ["val/accuracy", "val/loss"]


def test_the_same_step_written_twice_counts_once(store):
    store.metrics(10, {"val/loss": 0.7})
    store.flush()
    store.metrics(10, {"val/loss": 0.6})
    assert store.series("val/loss") == [(10, 0.6)]


def test_nothing_reaches_the_disk_before_a_flush(store, tmp_path):
    store.metrics(1, {"a": 1.0})
    assert not (tmp_path / "run.sqlite").exists()
    store.flush()
    assert Store(tmp_path / "run.sqlite").series("a") == [(1, 1.0)]


def test_rewind_deletes_later_rows(store):
    for step in (1, 2, 3):
        store.metrics(step, {"loss": float(step)})
        store.event(step, "note", f"step {step}")
    store.flush()
    store.metrics(4, {"loss": 4.0})
    store.rewind(2)
    assert store.series("loss") == [(1, 1.0), (2, 2.0)]
    assert [step for step, *_ in store.events()] == [1, 2]


def test_findings_and_spans_are_read_back(store):
    finding = Finding("overfitting", "warning", "seen", "means", "try", {"optimizer.lr": 1e-4}, "fc1", 7, 0.8)
    span = Span("load", 100.0, 2.5, 3)
    store.finding(finding)
    store.span(span)
    assert store.findings() == [finding]
    assert store.spans() == [span]


def test_a_query_returns_columns_and_rows(store):
    store.metrics(1, {"loss": 2.0})
    columns, rows = store.query("SELECT key, value FROM metrics")
    assert (columns, rows) == (["key", "value"], [("loss", 2.0)])


@pytest.mark.parametrize("sql", ["DELETE FROM metrics", "SELECT * FROM nothing", "not sql"])
def test_invalid_and_writing_queries_are_refused(store, sql):
    store.metrics(1, {"loss": 2.0})
    with pytest.raises(UsageError, match="The query failed"):
        store.query(sql)
    assert store.series("loss") == [(1, 2.0)]


def test_a_full_disk_raises_a_storage_error(store):
    store.metrics(1, {"loss": 2.0})
    store.flush()
    store._connection.execute("PRAGMA max_page_count = 1")
    for step in range(20_000):
        store.metrics(step, {"loss": 2.0})
    with pytest.raises(StorageError, match="is full"):
        store.flush()
