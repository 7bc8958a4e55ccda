"""The database file of a run: its tables, its versions, and how it is opened for writing and for reading.

A writer opens it in WAL mode, in which readers never block it, and migrates an older database first. A reader
opens it read-only for one statement at a time: it creates no file, needs no permission to write, and reads an
older version through the same migrations, in memory.
"""

from __future__ import annotations

import contextlib
import errno
import shutil
import sqlite3
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from pellucid.errors import RunError
from pellucid.record import files
from pellucid.record.files import storage

VERSION_1 = """
CREATE TABLE IF NOT EXISTS metrics  (step INTEGER, key TEXT, value REAL, time REAL,
                                     PRIMARY KEY (key, step)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS events   (step INTEGER, kind TEXT, message TEXT, time REAL);
CREATE TABLE IF NOT EXISTS findings (step INTEGER, rule TEXT, level TEXT, place TEXT, seen TEXT,
                                     means TEXT, remedy TEXT, patch TEXT, confidence REAL);
CREATE TABLE IF NOT EXISTS traces   (step INTEGER, name TEXT, start REAL, seconds REAL);
"""
VERSION_2 = """
ALTER TABLE traces RENAME TO spans;
CREATE VIEW traces AS SELECT step, name, start, seconds FROM spans;
UPDATE findings SET rule = replace(rule, '_', '-');
DELETE FROM findings WHERE rowid NOT IN (SELECT max(rowid) FROM findings GROUP BY rule, place, step);
CREATE UNIQUE INDEX findings_by_place ON findings (rule, place, step);
CREATE TABLE artifacts (step INTEGER, name TEXT, kind TEXT, path TEXT, PRIMARY KEY (name, step));
"""
VERSION_3 = """
CREATE TABLE losses (step INTEGER, phase TEXT, rows TEXT, PRIMARY KEY (phase, step)) WITHOUT ROWID;
"""
VERSION_4 = """
UPDATE OR REPLACE findings SET rule = 'non-finite-loss' WHERE rule = 'non-finite';
UPDATE OR REPLACE findings SET rule = 'activation-before-loss' WHERE rule = 'double-softmax';
"""
MIGRATIONS = (VERSION_1, VERSION_2, VERSION_3, VERSION_4)
"""MIGRATIONS[n] turns version n into version n + 1. Version 0.1 of Pellucid wrote the tables of version 1
without a number, so the first one changes nothing there. Never edit one that was released: append."""

VERSION = len(MIGRATIONS)

TABLES = {
    "metrics": {
        "step": "number of optimizer updates before the measurement",
        "key": "the measure with its split, e.g. `val/loss`, or `step/loss` for single updates",
        "value": "the number; NULL for NaN",
        "time": "Unix time in seconds",
    },
    "events": {
        "step": "number of optimizer updates before the event",
        "kind": "`resume`, `warning`, ...",
        "message": "what happened, in words",
        "time": "Unix time in seconds",
    },
    "findings": {
        "step": "the optimizer update it was seen at",
        "rule": "id of the rule, e.g. `overfitting`; one finding for each rule, place and step",
        "level": "`note`, `warning` or `error`",
        "place": "a module, column or file; empty for the whole run",
        "seen": "the evidence, with its numbers",
        "means": "the cause, in words",
        "remedy": "what to try, in words",
        "patch": "the remedy as JSON: dotted config keys and their new values",
        "confidence": "0 to 1",
    },
    "spans": {
        "step": "number of optimizer updates before it",
        "name": "the kind of work, e.g. `training`, `checkpoint`",
        "start": "Unix time in seconds",
        "seconds": "duration",
    },
    "artifacts": {
        "step": "number of optimizer updates before it",
        "name": "what it shows; one for each name and step",
        "kind": "how to read the file: `image`, `tensors`, `text`, `table` or `json`",
        "path": "the file, relative to the run folder",
    },
    "losses": {
        "step": "the last of the updates in this row",
        "phase": "whose loss it is, e.g. `classification`, or `generator` where an objective has several",
        "rows": "JSON: [update, loss] of every update since the row before, exactly; null if not finite",
    },
}
"""Every table with its columns and what they hold; docs/run-folder.md is written from it."""


def open_for_writing(path: Path) -> sqlite3.Connection:
    """Open or create the database, and bring it to the newest version.

    Raises:
        RunError: it is not a database, or was written by a newer Pellucid.
        StorageError: the disk is full or cannot be written.
    """
    _check_files(path)
    with refusals(path), contextlib.ExitStack() as undo:
        connection = undo.enter_context(contextlib.closing(sqlite3.connect(path, timeout=30)))
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = NORMAL")
        migrate(connection, path)
        undo.pop_all()
        return connection


def _check_files(path: Path) -> None:
    """Refuse a pipe, a device or a folder in place of the database or of a file that SQLite keeps with it."""
    for ending in ("", "-wal", "-shm", "-journal"):
        with contextlib.suppress(FileNotFoundError):
            files.ordinary(path.with_name(path.name + ending))


class Limits(NamedTuple):
    """What a statement of a user may take.

    Attributes:
        rows: number of rows that are returned; further ones are not computed.
        seconds: time after which it is stopped.
        bytes: size of a single value.
    """

    rows: int
    seconds: float = 30.0
    bytes: int = 2**24


Found = tuple[list[str], list[tuple[Any, ...]]]
"""Column names and rows."""


def read(path: Path, sql: str, values: tuple[Any, ...] = (), limits: Limits | None = None) -> Found:
    """Run one statement that reads the newest version of the tables; they are empty if there is no file yet.

    Raises:
        RunError: the database was written by a newer Pellucid, or the path is not an ordinary file.
        TimeoutError: the statement took longer than `limits` allow.
        KeyboardInterrupt: Ctrl-C was pressed meanwhile.
        sqlite3.Error: it is not a database, or the statement is wrong or would write.
    """
    _check_files(path)
    rows = partial(_rows, sql=sql, values=values, limits=limits)
    for _ in range(ATTEMPTS):
        before = _state(path)
        try:
            found = _read(path, rows, before)
        except sqlite3.DatabaseError as error:
            if _state(path) == before and getattr(error, "sqlite_errorcode", None) not in PASSING:
                raise
        else:
            if _state(path) == before or before.log:
                return found
        time.sleep(0.001)
    with tempfile.TemporaryDirectory() as folder:
        return _read_connected(_connect(_copy(path, Path(folder)), "mode=rw"), path, rows)


def close(connection: sqlite3.Connection) -> None:
    """Move the log into the database and close it: `run.sqlite` is then complete, even if others read it."""
    with contextlib.closing(connection):
        connection.execute("PRAGMA busy_timeout = 2000")
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def migrate(connection: sqlite3.Connection, path: Path) -> None:
    """Bring a database to the newest version, one version a transaction.

    Raises:
        RunError: it is newer than this Pellucid knows.
    """
    for version in range(_version(connection, path), VERSION):
        connection.executescript(f"BEGIN; {MIGRATIONS[version]} PRAGMA user_version = {version + 1}; COMMIT;")


def _version(connection: sqlite3.Connection, path: Path) -> int:
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    if version > VERSION:
        raise RunError(
            f"{path} has version {version}; this Pellucid reads versions up to {VERSION}.",
            remedy="pip install --upgrade pellucid",
        )
    return version


@contextlib.contextmanager
def refusals(path: Path) -> Iterator[None]:
    """Raise errors of SQLite: of a full, broken or read-only disk as `StorageError`, others as `RunError`."""
    try:
        yield
    except sqlite3.DatabaseError as error:
        words = str(error)
        code = next((code for part, code in DISK.items() if part in words), None)
        if code is None:
            raise RunError(f"{path} cannot be written: {words}.") from None
        with storage(path):
            raise OSError(code, words) from error


DISK = {"full": errno.ENOSPC, "readonly": errno.EACCES, "I/O": errno.EIO}
"""Parts of SQLite's messages that speak of the disk."""


# ---- reading without writing ---------------------------------------------------------------------

ATTEMPTS = 20
PASSING = {
    sqlite3.SQLITE_BUSY,
    sqlite3.SQLITE_BUSY_RECOVERY,
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_PROTOCOL,
    sqlite3.SQLITE_READONLY_CANTINIT,
    sqlite3.SQLITE_READONLY_CANTLOCK,
    sqlite3.SQLITE_READONLY_RECOVERY,
}
"""Errors of a moment in which a writer starts or ends; also those of a log without its index in a folder that
cannot be written, which is then read as a copy."""


class _State(NamedTuple):
    """Size, time and log of a database: when one differs, the file has changed while it was read."""

    size: int
    changed: int
    log: bool


Rows = Callable[[sqlite3.Connection], Found]


def _state(path: Path) -> _State:
    try:
        found = path.stat()
    except FileNotFoundError:
        return _State(-1, 0, False)
    return _State(found.st_size, found.st_mtime_ns, _log(path).exists())


def _log(path: Path) -> Path:
    return path.with_name(f"{path.name}-wal")


def _read(path: Path, rows: Rows, state: _State) -> Found:
    """Read in the way that leaves the folder as it is.

    A write-ahead log means that a writer is at work or was killed: SQLite then reads both files. Without a
    log, SQLite would create one; `immutable` prevents that.
    """
    if state.size < 0:
        connection = sqlite3.connect(":memory:")
    else:
        connection = _connect(path, "mode=ro" if state.log else "mode=ro&immutable=1")
    return _read_connected(connection, path, rows)


def _read_connected(connection: sqlite3.Connection, path: Path, rows: Rows) -> Found:
    with contextlib.closing(connection):
        if _version(connection, path) == VERSION:
            return rows(connection)
        with contextlib.closing(sqlite3.connect(":memory:")) as copy:
            connection.backup(copy)
            migrate(copy, path)
            return rows(copy)


def _rows(
    connection: sqlite3.Connection, *, sql: str, values: tuple[Any, ...], limits: Limits | None
) -> Found:
    connection.execute("PRAGMA query_only = ON")
    with _limited(connection, limits):
        cursor = connection.execute(sql, values)
        rows = cursor.fetchall() if limits is None else cursor.fetchmany(limits.rows)
        return [column[0] for column in cursor.description or ()], rows


@contextlib.contextmanager
def _limited(connection: sqlite3.Connection, limits: Limits | None) -> Iterator[None]:
    """Stop a statement at its limits, or with Ctrl-C, which SQLite would otherwise keep waiting."""
    if limits is None:
        yield
        return
    deadline = time.monotonic() + limits.seconds
    connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, limits.bytes)
    connection.set_progress_handler(lambda: time.monotonic() > deadline, 10_000)
    try:
        yield
    except sqlite3.OperationalError as error:
        if getattr(error, "sqlite_errorcode", None) != sqlite3.SQLITE_INTERRUPT:
            raise
        if time.monotonic() > deadline:
            raise TimeoutError(f"it took longer than {limits.seconds:g} s") from None
        raise KeyboardInterrupt from None  # raised in the handler, where SQLite takes it for "stop"


def _connect(path: Path, options: str) -> sqlite3.Connection:
    return sqlite3.connect(f"{path.absolute().as_uri()}?{options}", uri=True, timeout=30)


def _copy(path: Path, folder: Path) -> Path:
    """Copy a database and its log, and return the copy."""
    for file in (path, _log(path)):
        if file.exists():
            shutil.copy(file, folder)
    return folder / path.name
