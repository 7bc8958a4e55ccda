"""`run.sqlite`: metrics, findings, events, spans and artifacts of one run.

Rows are held in memory until `flush`, so the training loop never waits for the disk. Reading goes through the
connection of the writer while there is one, else through one of its own that writes nothing.
"""

from __future__ import annotations

import contextlib
import json
import math
import sqlite3
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pellucid.errors import RunError, UsageError
from pellucid.record import database
from pellucid.record.finding import Finding
from pellucid.record.span import Span


@dataclass(frozen=True)
class Artifact:
    """A file that belongs to a step, such as a picture of what a model generates.

    Attributes:
        step: the number of optimizer updates before it.
        name: what it shows, e.g. "samples"; a name has one artifact a step.
        kind: how to read the file; see `pellucid.record.run.ARTIFACTS`.
        path: the file, relative to the run folder, with "/" as separator.
    """

    step: int
    name: str
    kind: str
    path: str


class Store:
    """The database of one run."""

    def __init__(self, path: Path):
        self.path = path
        self._pending: dict[str, list[tuple[Any, ...]]] = {table: [] for table in database.TABLES}
        self._connection: sqlite3.Connection | None = None

    # ---- writing -------------------------------------------------------------------------------

    def metrics(self, step: int, values: Mapping[str, float]) -> None:
        """Record metrics of a step; they are written at the next flush."""
        now = time.time()
        self._pending["metrics"] += [(step, key, float(value), now) for key, value in values.items()]

    def losses(self, phase: str, rows: Sequence[tuple[int, float]]) -> None:
        """Record the loss of every update, exactly, so that an update can be replayed and compared.

        Args:
            phase: whose loss it is.
            rows: (update, loss) in their order; an update that is repeated has several.
        """
        exact = [(step, loss if math.isfinite(loss) else None) for step, loss in rows]
        self._pending["losses"].append((rows[-1][0], phase, json.dumps(exact, separators=(",", ":"))))

    def event(self, step: int, kind: str, message: str) -> None:
        """Record an event of a step; it is written at the next flush."""
        self._pending["events"].append((step, kind, message, time.time()))

    def finding(self, finding: Finding) -> None:
        """Record a finding; it replaces the one of the same rule, place and step."""
        f = asdict(finding)
        row = (f["step"], f["rule"], f["level"], f["where"], f["seen"], f["means"], f["remedy"])
        self._pending["findings"].append((*row, json.dumps(f["patch"]), f["confidence"]))

    def span(self, span: Span) -> None:
        """Record how long something took; it is written at the next flush."""
        self._pending["spans"].append((span.step, span.name, span.start, span.seconds))

    def artifact(self, artifact: Artifact) -> None:
        """Record a file that was written; `Run.artifact` writes it."""
        self._pending["artifacts"].append((artifact.step, artifact.name, artifact.kind, artifact.path))

    def flush(self) -> None:
        """Write what is pending, in one transaction."""
        if not any(self._pending.values()):
            return
        with database.refusals(self.path), self._writing() as connection:
            for table, rows in self._pending.items():
                connection.executemany(_insert(table), rows)
        for rows in self._pending.values():
            rows.clear()

    def rewind(self, step: int) -> None:
        """Delete everything after `step`: a resumed run writes those steps again."""
        for rows in self._pending.values():
            rows.clear()
        gone = [artifact for artifact in self.artifacts() if artifact.step > step]
        with database.refusals(self.path), self._writing() as connection:
            for table in database.TABLES:
                connection.execute(f"DELETE FROM {table} WHERE step > ?", (step,))
        for artifact in gone:
            (self.path.parent / artifact.path).unlink(missing_ok=True)

    def forget_findings(self) -> None:
        """Delete all findings: a run that goes on is examined anew at its end."""
        self._pending["findings"].clear()
        with database.refusals(self.path), self._writing() as connection:
            connection.execute("DELETE FROM findings")

    def close(self) -> None:
        """Write what is pending and close the database."""
        self.flush()
        if self._connection is not None:
            with database.refusals(self.path):
                database.close(self._connection)
            self._connection = None

    # ---- reading -------------------------------------------------------------------------------

    def series(self, key: str) -> list[tuple[int, float]]:
        """Return [(step, value)] of one metric, by step; SQLite stores a NaN as NULL."""
        rows = self._read("SELECT step, value FROM metrics WHERE key = ? ORDER BY step", (key,))
        with self._expecting_numbers():
            return [(int(step), math.nan if value is None else float(value)) for step, value in rows]

    def step_losses(self, first: int, last: int) -> dict[str, dict[int, list[float | None]]]:
        """Return the recorded losses of updates `first` to `last`, by phase and update; None is not finite.

        Runs of version 0.1 and 0.2 have none.
        """
        found: dict[str, dict[int, list[float | None]]] = {}
        sql = "SELECT phase, rows FROM losses WHERE step >= ? ORDER BY phase, step"
        with self._expecting_numbers():
            for phase, rows in self._read(sql, (first,)):
                for step, loss in json.loads(rows):
                    if first <= step <= last:
                        found.setdefault(phase, {}).setdefault(step, []).append(loss)
        return found

    def keys(self) -> list[str]:
        """Return the names of all metrics."""
        return [row[0] for row in self._read("SELECT DISTINCT key FROM metrics ORDER BY key")]

    def findings(self) -> list[Finding]:
        """Return all findings in the order they were recorded."""
        rows = self._read(
            "SELECT step, rule, level, place, seen, means, remedy, patch, confidence FROM findings "
            "ORDER BY rowid"
        )
        with self._expecting_numbers():
            return [
                Finding(
                    rule, level, seen, means, remedy, json.loads(patch), place, int(step), float(confidence)
                )
                for step, rule, level, place, seen, means, remedy, patch, confidence in rows
            ]

    def events(self) -> list[tuple[int, str, str, float]]:
        """Return [(step, kind, message, Unix time)] in the order they happened."""
        return self._read("SELECT step, kind, message, time FROM events ORDER BY rowid")

    def spans(self) -> list[Span]:
        """Return all spans by their start."""
        rows = self._read("SELECT name, start, seconds, step FROM spans ORDER BY start")
        with self._expecting_numbers():
            return [
                Span(name, float(start), float(seconds), int(step)) for name, start, seconds, step in rows
            ]

    def artifacts(self, name: str | None = None) -> list[Artifact]:
        """Return the artifacts, by step; only those of one name, if it is given."""
        rows = self._read("SELECT step, name, kind, path FROM artifacts ORDER BY step, name")
        return [Artifact(*row) for row in rows if name in (None, row[1])]

    def query(self, sql: str, rows: int = 1_000_000, seconds: float = 30.0) -> database.Found:
        """Run one read-only statement; return (column names, rows).

        Args:
            sql: one SELECT.
            rows: largest number of rows to return.
            seconds: time after which the statement is stopped.

        Raises:
            UsageError: the statement is not valid, would change the run, or takes too long.
        """
        self.flush()
        try:
            return database.read(self.path, sql, limits=database.Limits(rows, seconds))
        except (
            sqlite3.Error,
            sqlite3.Warning,
            TimeoutError,
            MemoryError,
            ValueError,
        ) as error:  # a warning: two statements; a value: characters that no database can hold
            raise UsageError(
                f"The query failed: {error}.",
                remedy=f"one SELECT over the tables {', '.join(database.TABLES)}",
            ) from None

    def _read(self, sql: str, values: tuple[Any, ...] = ()) -> list[Any]:
        self.flush()
        try:
            if self._connection is not None:
                return self._connection.execute(sql, values).fetchall()
            return database.read(self.path, sql, values)[1]
        except sqlite3.DatabaseError as error:
            raise RunError(f"{self.path} cannot be read: {error}.") from None

    @contextlib.contextmanager
    def _expecting_numbers(self) -> Iterator[None]:
        """Refuse a damaged row: SQLite stores any type in any column."""
        try:
            yield
        except (TypeError, ValueError, OverflowError) as error:
            raise RunError(f"{self.path} is damaged: {error}.") from None

    def _writing(self) -> sqlite3.Connection:
        if self._connection is None:
            self._connection = database.open_for_writing(self.path)
        return self._connection


def _insert(table: str) -> str:
    columns = database.TABLES[table]
    return f"INSERT OR REPLACE INTO {table} ({', '.join(columns)}) VALUES ({', '.join('?' * len(columns))})"
