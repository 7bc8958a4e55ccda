"""Find the image files that the cells of a table name, with or without folder and ending."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from pellucid.data import images

DEPTH = 4
"""Folders below that of the table that are searched."""
MOST_FILES = 500_000


class ImageIndex:
    """The images below a folder, by path, by name and by name without ending.

    Args:
        folder: that of the table.
    """

    def __init__(self, folder: Path):
        self.folder = folder
        self.paths: dict[str, Path] = {}
        self._twice: set[str] = set()
        for path in _images(folder):
            relative = path.relative_to(folder).as_posix()
            for key in {relative, relative.rpartition(".")[0], path.name, path.stem}:
                if key in self.paths and key not in (relative,):
                    self._twice.add(key)
                self.paths[key] = path

    def find(self, cell: str) -> Path | None:
        """Return the file that a cell names; None if there is none, or more than one."""
        exact = self.folder / cell
        if images.is_image_file(cell) and exact.is_file():
            return exact
        key = cell.removeprefix("./").replace("\\", "/")
        for name in (key, key.rpartition("/")[2]):
            if name in self.paths and name not in self._twice:
                return self.paths[name]
        return None


def names_images(cells: Sequence[str], folder: Path) -> bool:
    """Return whether different cells of a column all name images below a folder.

    Args:
        cells: some of the column.
        folder: that of the table.
    """
    if not cells or len(set(cells)) < max(2, 0.5 * len(cells)):
        return False
    named = all(map(images.is_image_file, cells))
    if named and any((folder / cell).is_file() for cell in cells):
        return True
    if not named and not _near_images(folder):
        return False
    index = ImageIndex(folder)
    found = [index.find(cell) is not None for cell in cells]
    return any(found) if named else all(found)


def _near_images(folder: Path) -> bool:
    """Return whether a folder, or a folder in it, begins with images, without searching all of it."""
    return next(_images(folder, most=2000), None) is not None


def _images(folder: Path, most: int = MOST_FILES) -> Iterator[Path]:
    seen = 0
    for place, below, names in os.walk(folder):
        below[:] = sorted(name for name in below if not name.startswith("."))
        if len(Path(place).relative_to(folder).parts) >= DEPTH:
            below.clear()
        for name in sorted(names):
            seen += 1
            if images.is_image_file(name):
                yield Path(place) / name
        if seen > most:
            return
