"""Find the image files that the cells of a table name, with or without folder and ending."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from pellucid.data import images
from pellucid.data.image_files import images_below

DEPTH = 4
"""Folders below that of the table that are searched."""
MOST_FILES = 500_000
NEAR = 2000
"""Files that are looked at before a folder counts as one without images."""
FOUND = 0.5
"""Share of the names without ending that must name images, for a column to hold names of images."""


class ImageIndex:
    """The images below a folder, by path, by name and by name without ending.

    Args:
        folder: that of the table.
    """

    def __init__(self, folder: Path):
        self.folder = folder
        self.paths: dict[str, list[Path]] = {}
        self.all = list(images_below(folder, DEPTH, MOST_FILES))
        for path in self.all:
            relative = path.relative_to(folder).as_posix()
            for key in {relative, relative.rpartition(".")[0], path.name, path.stem}:
                self.paths.setdefault(key, []).append(path)

    def find(self, cell: str) -> list[Path]:
        """Return the files that a cell may name: [] if there is none."""
        exact = self.folder / cell
        if images.is_image_file(cell) and exact.is_file():
            return [exact]
        key = cell.removeprefix("./").replace("\\", "/")
        for name in (key, key.rpartition("/")[2]):
            if name in self.paths:
                return self.paths[name]
        return []

    def find_all(self, cells: Sequence[str]) -> list[list[Path]]:
        """Return the files that each cell may name.

        A name that is in several folders means the file in the one folder that holds all names.
        """
        found = [self.find(cell) if cell else [] for cell in cells]
        folders = [{path.parent for path in paths} for paths in found if paths]
        common = set.intersection(*folders) if folders else set()
        if len(common) != 1:
            return found
        home = common.pop()
        return [[path for path in paths if path.parent == home] or paths for paths in found]


def names_images(cells: Sequence[str], folder: Path) -> bool:
    """Return whether different cells of a column name images below a folder.

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
    found = sum(bool(index.find(cell)) for cell in cells)
    return found > 0 if named else found >= max(2, FOUND * len(cells))


def _near_images(folder: Path) -> bool:
    """Return whether a folder, or a folder near it, holds images, without searching all of it."""
    return next(images_below(folder, DEPTH, NEAR), None) is not None
