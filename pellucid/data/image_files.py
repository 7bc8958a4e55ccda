"""The image files below a folder: what systems and programs put there is not seen, nothing else is missed."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from pellucid.data import images
from pellucid.data.sources.raw_files import printable
from pellucid.errors import BadDataError

HIDDEN = frozenset(
    [
        *("__MACOSX", "Thumbs.db", "ehthumbs.db", "desktop.ini", "Icon\r", "__pycache__"),
        *("$RECYCLE.BIN", "System Volume Information", "lost+found", "@eaDir", "#recycle"),
    ]
)
"""Files and folders that operating systems and programs put next to a user's own."""


def is_hidden(name: str) -> bool:
    """Return whether a file or folder of this name is not the user's own."""
    return name.startswith(".") or name in HIDDEN


def subfolders(folder: Path) -> list[str]:
    """Return the names of the folders in a folder, in natural order, but hidden ones and those of runs."""
    found = [entry.name for entry in _entries(folder) if entry.is_dir() and not _holds_runs(Path(entry.path))]
    return sorted(found, key=images.natural)


def files(folder: Path) -> list[str]:
    """Return the names of the files in a folder; a link to a file that is gone counts as one."""
    return [entry.name for entry in _entries(folder) if not entry.is_dir() and _is_file(entry)]


def images_below(folder: Path, depth: int | None = None, most: int | None = None) -> Iterator[Path]:
    """Find the images in a folder and in the folders below it, in order.

    Links to folders are followed, but not back to a folder that they are in.

    Args:
        folder: to start in.
        depth: how many folders to go down; None: all.
        most: files to look at, of any kind; None: all.

    Raises:
        BadDataError: a folder cannot be read.
    """
    left = [(folder, 0, frozenset[str]())]
    seen = 0
    while left and (most is None or seen < most):
        place, down, above = left.pop()
        real = os.path.realpath(place)
        if real in above:
            continue
        names = files(place)
        seen += len(names)
        for name in sorted(filter(images.is_image_file, names), key=images.natural):
            yield place / name
        if depth is None or down < depth:
            left += [(place / name, down + 1, above | {real}) for name in reversed(subfolders(place))]


def count_files(folder: Path) -> int:
    """Count the files in a folder and in the folders below it, without hidden ones."""
    count = 0
    for place, names, found in os.walk(folder):
        names[:] = [name for name in names if not is_hidden(name) and not _holds_runs(Path(place) / name)]
        count += sum(not is_hidden(name) for name in found)
    return count


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return [entry for entry in entries if not is_hidden(entry.name)]
    except OSError as error:
        raise BadDataError(
            f"The folder {printable(folder)} cannot be read: {error.strerror}.",
            remedy="allow it to be read, or move it elsewhere",
        ) from None


def _is_file(entry: os.DirEntry[str]) -> bool:
    return entry.is_file() or (entry.is_symlink() and not os.path.exists(entry.path))


def _holds_runs(folder: Path) -> bool:
    """Return whether a folder is a run, or holds one."""
    try:
        with os.scandir(folder) as entries:
            inside = [Path(entry.path) for entry in entries if entry.is_dir()]
    except OSError:
        return False
    return any((place / "run.json").is_file() for place in (folder, *inside))
