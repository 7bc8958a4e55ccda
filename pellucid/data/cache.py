"""A cache on disk for decoded images and tokens, so that they are computed once.

The folder is `PELLUCID_CACHE`, or `~/.cache/pellucid`. Files are written completely or not at all; if
the disk fails, or a file has changed since it was written, the work is done again.
"""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
import zipfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import xxhash

from pellucid.errors import RunError
from pellucid.record import files

LIMIT_BYTES = 8 * 2**30
"""Least recently used files are removed beyond this."""


UNREADABLE = (
    *(OSError, RunError, ValueError, EOFError, KeyError),
    *(zipfile.BadZipFile, NotImplementedError, RuntimeError, MemoryError, TypeError, SyntaxError),
)
"""What numpy and zipfile raise for bytes that are no array, a cipher or a compression that no file has."""


def array(key: str, shape: tuple[int, ...], fill: Callable[[np.ndarray], None]) -> np.ndarray:
    """Return the uint8 array stored under `key`, or compute it with `fill` and store it.

    Args:
        key: names everything that the content depends on.
        shape: of the array.
        fill: writes the content into the zeroed array it is given.

    Returns:
        The array, memory-mapped if it is in a file; read-only.
    """
    path, sealed = _place("arrays", f"{key} {shape}", "npy"), f"digest of {key} {shape}"
    found = _mapped(path, shape)
    if found is not None and notes(sealed).get("xxh3_128") == _digest(found):
        return found
    partial = _partial(path, shape)
    if partial is None:
        made = np.zeros(shape, np.uint8)
        fill(made)
        return made
    name, made = partial
    try:
        fill(made)
        made.flush()
        write_notes(sealed, {"xxh3_128": _digest(made)})
        with contextlib.suppress(OSError):  # a folder of that name
            os.replace(name, path)
    finally:
        _remove(name)
    _prune(path.parent)
    return made


def arrays(key: str, make: Callable[[], Sequence[np.ndarray]]) -> Sequence[np.ndarray]:
    """Return the arrays stored under `key`, or compute and store them; a full disk is ignored.

    Args:
        key: names everything that the content depends on.
        make: returns arrays of numbers.
    """
    path = _place("arrays", key, "npz")
    with contextlib.suppress(*UNREADABLE):
        files.ordinary(path)
        with np.load(path, allow_pickle=False) as stored:
            found = [stored[name] for name in stored.files]
        os.utime(path)
        return found
    made = make()
    with contextlib.suppress(OSError):
        with _replacing(path) as name, open(name, "wb") as file:
            np.savez(file, *made)
        _prune(path.parent)
    return made


def notes(key: str) -> dict[str, Any]:
    """Return the small facts stored under `key`; {} where there are none."""
    try:
        found = files.read_json(_place("notes", key, "json"))
    except (OSError, RunError):
        return {}
    return found if isinstance(found, dict) else {}


def write_notes(key: str, facts: dict[str, Any]) -> None:
    """Store small facts under `key`; a full or read-only disk is ignored."""
    path = _place("notes", key, "json")
    with contextlib.suppress(OSError), _replacing(path) as name:
        Path(name).write_text(json.dumps(facts), encoding="utf-8")


def _digest(content: np.ndarray) -> str:
    return xxhash.xxh3_128_hexdigest(content.data)


def _place(kind: str, key: str, suffix: str) -> Path:
    return files.cache_folder() / kind / f"{xxhash.xxh3_128_hexdigest(key.encode())}.{suffix}"


def _mapped(path: Path, shape: tuple[int, ...]) -> np.ndarray | None:
    try:
        files.ordinary(path)
        found = np.load(path, mmap_mode="r", allow_pickle=False)
        os.utime(path)
    except UNREADABLE:
        return None
    sound = isinstance(found, np.ndarray) and found.shape == shape and found.dtype == np.uint8
    return found if sound else None


def _partial(path: Path, shape: tuple[int, ...]) -> tuple[str, np.memmap] | None:
    """Open a new file next to `path` with all its space reserved; None if the disk does not allow it."""
    name = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, suffix=".partial")
        os.close(handle)
        made = np.lib.format.open_memmap(name, mode="w+", dtype=np.uint8, shape=shape)
        if hasattr(os, "posix_fallocate"):  # a full disk must show here, not as a crash while writing the map
            with open(name, "r+b") as file:
                os.posix_fallocate(file.fileno(), 0, os.path.getsize(name))
        return name, made
    except (OSError, ValueError):
        if name:
            _remove(name)
        return None


@contextlib.contextmanager
def _replacing(path: Path) -> Iterator[str]:
    """Yield the name of a new file next to `path`, which replaces it once written, or is removed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, suffix=".partial")
    os.close(handle)
    try:
        yield name
        os.replace(name, path)
    finally:
        _remove(name)


def _remove(name: str) -> None:
    with contextlib.suppress(OSError):
        os.unlink(name)


def _prune(where: Path) -> None:
    """Remove the least recently used arrays beyond the limit."""
    with contextlib.suppress(OSError):
        files = sorted(where.glob("*.np[yz]"), key=lambda file: file.stat().st_mtime, reverse=True)
        total = 0
        for file in files:
            total += file.stat().st_size
            if total > LIMIT_BYTES:
                file.unlink()
