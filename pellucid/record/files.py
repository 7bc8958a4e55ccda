"""Atomic writes that survive `kill -9` at any byte: write to a temporary name, flush to disk, rename."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import math
import os
import re
import shutil
import stat
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
from safetensors import SafetensorError

from pellucid.errors import RunError, StorageError


def cache_folder() -> Path:
    """Return the cache folder: `PELLUCID_CACHE`, else `pellucid` in the user's cache folder."""
    chosen = os.environ.get("PELLUCID_CACHE")
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(chosen) if chosen else Path(base) / "pellucid"


ELSEWHERE = "`--runs DIR` with a folder you may write"
"""What to try where a run cannot be written."""


@contextlib.contextmanager
def storage(path: Path, remedy: str = ELSEWHERE) -> Iterator[None]:
    """Raise the operating system's write errors as `StorageError`.

    Args:
        path: what is written.
        remedy: what to try; on a full disk after freeing space.
    """
    try:
        yield
    except SafetensorError as error:
        code = re.search(r"os error (\d+)", str(error))
        if code is None:
            raise
        with storage(path, remedy):
            raise OSError(int(code[1]), os.strerror(int(code[1]))) from error
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise StorageError(
                f"The disk that holds {path} is full.", remedy=f"free some space, or {remedy}"
            ) from error
        raise StorageError(f"Cannot write {path}: {error.strerror or error}.", remedy=remedy) from error


def write(path: Path, data: bytes | str, remedy: str = ELSEWHERE) -> None:
    """Replace the content of `path` atomically: a reader sees the old content or the new, never a mix.

    Args:
        path: the file; its folder is created if missing.
        data: the new content; half of a surrogate pair, which no file can hold, is written as \\udc80.
        remedy: what to try where it cannot be written.

    Raises:
        StorageError: the disk is full or cannot be written.
    """
    data = data.encode(errors="backslashreplace") if isinstance(data, str) else data
    with storage(path, remedy):
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_name(f".{path.name}.{os.getpid()}")
        try:
            with partial.open("wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            patiently(partial.replace, path)
        finally:
            partial.unlink(missing_ok=True)
        sync_folder(path.parent)


def sweep(folder: Path) -> None:
    """Remove the partial files that killed processes left in a run folder."""
    for path in [*folder.rglob(".*.*"), *folder.parent.glob(".partial-*")]:
        owner = re.fullmatch(r"\..+[.-](\d+)", path.name)
        if owner and not psutil.pid_exists(int(owner[1])):
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)


ATTEMPTS = 1 if os.name == "posix" else 200
"""How often to try what readers can refuse: Windows neither replaces nor removes a file that is open."""


def patiently(change: Callable[..., object], *args: Any, **options: Any) -> None:
    """Replace, rename or remove a file, waiting up to two seconds for readers that have it open."""
    for attempt in range(1, ATTEMPTS + 1):
        try:
            change(*args, **options)
            return
        except PermissionError:
            if attempt == ATTEMPTS:
                raise
            time.sleep(0.01)


LARGEST = 256 * 2**20
"""Bytes of the largest text file of a run that is read; those that are written are far smaller."""


def ordinary(path: Path) -> os.stat_result:
    """Return the size and times of a file, after checking that it is one: opening a pipe would wait for ever.

    Raises:
        FileNotFoundError: there is no such file.
        RunError: it is no ordinary file, or cannot be reached.
    """
    try:
        found = path.stat()
    except FileNotFoundError:
        raise
    except (OSError, ValueError) as error:
        raise RunError(f"{path} cannot be read: {error}.") from None
    if not stat.S_ISREG(found.st_mode):
        raise RunError(f"{path} is not an ordinary file.")
    return found


def read_text(path: Path) -> str:
    """Read a text file of a run folder, which may be damaged or something else by now.

    Raises:
        FileNotFoundError: there is no such file.
        RunError: it is no ordinary file, larger than `LARGEST`, cannot be read, or is not UTF-8.
    """
    try:
        if (size := ordinary(path).st_size) > LARGEST:
            raise RunError(f"{path} has {size:,} bytes: expected at most {LARGEST:,}.")
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise
    except (OSError, ValueError) as error:
        raise RunError(f"{path} cannot be read: {error}.") from None


def read_json(path: Path) -> Any:
    """Read a JSON file of a run folder; see `read_text`.

    Raises:
        FileNotFoundError: there is no such file.
        RunError: it cannot be read or is not JSON.
    """
    try:
        return json.loads(read_text(path))
    except (ValueError, RecursionError) as error:
        raise RunError(f"{path} is not valid JSON: {error}.") from None


def write_json(path: Path, value: Any) -> None:
    """Write a value as indented JSON, atomically; see `json_text`."""
    write(path, json_text(value, indent=2) + "\n")


def json_text(value: Any, indent: int | None = None) -> str:
    """Return a value as JSON: numbers that are not finite, which it has no words for, become null.

    What else JSON cannot hold is written as text.
    """
    try:
        return json.dumps(value, indent=indent, ensure_ascii=False, default=str, allow_nan=False)
    except ValueError:
        return json.dumps(finite(value), indent=indent, ensure_ascii=False, default=str, allow_nan=False)


def finite(value: Any) -> Any:
    """Return a value with None in place of every number that is not finite."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: finite(entry) for key, entry in value.items()}
    return [finite(entry) for entry in value] if isinstance(value, (list, tuple)) else value


def sync_folder(folder: Path) -> None:
    """Flush a folder's entries to disk, so that a rename survives a power cut."""
    if os.name == "posix":
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def sync_file(path: Path) -> None:
    """Flush a file to the disk."""
    with path.open("rb") as file:
        os.fsync(file.fileno())


def sha256(path: Path) -> str:
    """Return the SHA-256 of a file, 64 hexadecimal digits.

    Raises:
        FileNotFoundError: there is no such file.
        RunError: it is no ordinary file, or cannot be read.
    """
    ordinary(path)
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise RunError(f"{path} cannot be read: {error}.") from None
