"""`run.sqlite`: metrics, findings, events and traces of one run, written in batches.

Rows are held in memory until `flush`, so the training loop never waits for the disk. The file is in
WAL mode: readers (the report, `runs query`, a page that follows the run) never block the writer.
"""

from __future__ import annotations

import contextlib
import errno
import json
import sqlite3
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from pellucid.errors import RunError, UsageError
from pellucid.record.files import storage
from pellucid.record.finding import Finding
from pellucid.record.span import Trace

SCHEMA = """
CREATE TABLE IF NOT EXISTS metrics  (step INTEGER, key TEXT, value REAL, time REAL,
                                     PRIMARY KEY (key, step)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS events   (step INTEGER, kind TEXT, message TEXT, time REAL);
CREATE TABLE IF NOT EXISTS findings (step INTEGER, rule TEXT, level TEXT, place TEXT, seen TEXT,
                                     means TEXT, remedy TEXT, patch TEXT, confidence REAL);
CREATE TABLE IF NOT EXISTS traces   (step INTEGER, name TEXT, start REAL, seconds REAL);
"""
TABLES = ("metrics", "events", "findings", "traces")


class Store:
    """The database of one run."""

    def __init__(self, path: Path):
        self.path = path
        self._pending: dict[str, list[tuple[Any, ...]]] = {table: [] for table in TABLES}
        self._connection: sqlite3.Connection | None = None

    # ---- writing -------------------------------------------------------------------------------

    def metrics(self, step: int, values: Mapping[str, float]) -> None:
        now = time.time()
        self._pending["metrics"] += [(step, key, float(value), now) for key, value in values.items()]

    def event(self, step: int, kind: str, message: str) -> None:
        self._pending["events"].append((step, kind, message, time.time()))

    def finding(self, finding: Finding) -> None:
        """Add a finding; it replaces the one of the same rule, place and step."""
        f = asdict(finding)
        row = (f["step"], f["rule"], f["level"], f["where"], f["seen"], f["means"], f["remedy"])
        others = [r for r in self._pending["findings"] if (r[0], r[1], r[3]) != (row[0], row[1], row[3])]
        self._pending["findings"] = [*others, (*row, json.dumps(f["patch"]), f["confidence"])]

    def trace(self, trace: Trace) -> None:
        self._pending["traces"].append((trace.step, trace.name, trace.start, trace.seconds))

    def flush(self) -> None:
        """Write what is pending, in one transaction."""
        if not any(self._pending.values()):
            return
        with _refusals(self.path), self._connect() as connection:
            same = [(row[1], row[3], row[0]) for row in self._pending["findings"]]
            connection.executemany("DELETE FROM findings WHERE rule = ? AND place = ? AND step = ?", same)
            for table, rows in self._pending.items():
                if rows:
                    connection.executemany(
                        f"INSERT OR REPLACE INTO {table} VALUES ({','.join('?' * len(rows[0]))})", rows
                    )
        for rows in self._pending.values():
            rows.clear()

    def rewind(self, step: int) -> None:
        """Forget everything after `step`: a resumed run writes those steps again."""
        for rows in self._pending.values():
            rows.clear()
        with _refusals(self.path), self._connect() as connection:
            for table in TABLES:
                connection.execute(f"DELETE FROM {table} WHERE step > ?", (step,))

    def close(self) -> None:
        self.flush()
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    # ---- reading -------------------------------------------------------------------------------

    def series(self, key: str) -> list[tuple[int, float]]:
        """Return [(step, value)] of one metric, by step."""
        return self._read("SELECT step, value FROM metrics WHERE key = ? ORDER BY step", (key,))

    def keys(self) -> list[str]:
        """Return the names of all metrics."""
        return [row[0] for row in self._read("SELECT DISTINCT key FROM metrics ORDER BY key")]

    def findings(self) -> list[Finding]:
        rows = self._read(
            "SELECT step, rule, level, place, seen, means, remedy, patch, confidence FROM findings"
        )
        return [
            Finding(
                rule.replace("_", "-"), level, seen, means, remedy, json.loads(patch), place, step, confidence
            )
            for step, rule, level, place, seen, means, remedy, patch, confidence in rows
        ]

    def events(self) -> list[tuple[int, str, str, float]]:
        """Return [(step, kind, message, Unix time)] in the order they happened."""
        return self._read("SELECT step, kind, message, time FROM events ORDER BY rowid")

    def traces(self) -> list[Trace]:
        rows = self._read("SELECT name, start, seconds, step FROM traces ORDER BY start")
        return [Trace(*row) for row in rows]

    def query(self, sql: str) -> tuple[list[str], list[tuple[Any, ...]]]:
        """Run one read-only statement; return (column names, rows).

        Raises:
            UsageError: the statement is not valid, or would change the run.
        """
        self.flush()
        connection = sqlite3.connect(f"{self.path.absolute().as_uri()}?mode=ro", uri=True)
        try:
            cursor = connection.execute(sql)
            return [column[0] for column in cursor.description or ()], cursor.fetchall()
        except sqlite3.Error as error:
            raise UsageError(f"The query failed: {error}.", remedy=f"tables: {', '.join(TABLES)}") from None
        finally:
            connection.close()

    def _read(self, sql: str, values: tuple[Any, ...] = ()) -> list[Any]:
        self.flush()
        try:
            return self._connect().execute(sql, values).fetchall()
        except sqlite3.DatabaseError as error:
            raise RunError(f"{self.path} cannot be read: {error}.") from None

    # ---- connection ----------------------------------------------------------------------------

    def _connect(self) -> sqlite3.Connection:
        if self._connection is None:
            try:
                with _refusals(self.path):
                    connection = sqlite3.connect(self.path, timeout=30)
                    connection.execute("PRAGMA journal_mode = WAL")
                    connection.execute("PRAGMA synchronous = NORMAL")
                    connection.executescript(SCHEMA)
            except sqlite3.DatabaseError as error:
                raise RunError(f"{self.path} is not a readable database: {error}.") from None
            self._connection = connection
        return self._connection


@contextlib.contextmanager
def _refusals(path: Path) -> Iterator[None]:
    """Turn SQLite's own words for a full or read-only disk into a `StorageError`."""
    try:
        yield
    except sqlite3.OperationalError as error:
        words = str(error)
        code = errno.ENOSPC if "full" in words else errno.EACCES if "readonly" in words else None
        if code is None:
            raise
        with storage(path):
            raise OSError(code, words) from error
