"""What a block is, and what a kind of block needs: facts in, plain values and a piece of HTML out.

A view draws one kind of block. It is one file in `pellucid.report.views` with `VIEW = View(...)`:

    prepare   facts of a block -> its body: plain values, or dataclasses of them
    template  Jinja that draws `body`; `block` (title, caption) and `id` are there as well; ours are in files
              of their own, `views/<kind>.html`
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from pellucid.errors import RunError
from pellucid.record import files
from pellucid.report.pictures import Album, Picture, picture

BUDGET = 4_000_000
"""Characters of pictures on a page; pictures beyond that are left out, and the page says so."""


@dataclass(frozen=True)
class Section:
    """Where blocks stand on the page.

    Attributes:
        id: the section's anchor.
        title: its title in the table of contents.
        heading: its heading, with {split} for the name of the evaluated split; "" for the title.
    """

    id: str
    title: str
    heading: str = ""


@dataclass(frozen=True)
class View:
    """How one kind of block is drawn.

    Attributes:
        kind: the `kind` of the blocks it draws.
        prepare: makes the body from the facts of a block. Raises KeyError, TypeError, ValueError,
            AttributeError, OSError or OverflowError where they are damaged.
        template: Jinja for `body`; "" for the file `views/<kind>.html`.
        section: where such blocks stand; None: the task's own section.
        half: whether two such blocks fit in a row, by their body.
        first: prepared before others, so that its images are the ones that fit on the page.
        aliases: earlier names of the kind.
        style: CSS for this kind only.
    """

    kind: str
    prepare: Callable[[Mapping[str, Any], Shelf], Any]
    template: str = ""
    section: Section | None = None
    half: Callable[[Any], bool] = lambda body: False
    first: bool = False
    aliases: tuple[str, ...] = ()
    style: str = ""


class Shelf:
    """The files of a run folder that blocks refer to; pictures until the page holds enough of them.

    Attributes:
        album: images of single rows.
        split: the name of the evaluated split.
    """

    def __init__(self, folder: Path, split: str = ""):
        self._folder = folder.resolve()
        self._left = BUDGET
        self.album = Album()
        self.split = split

    def times(self, files: list[Any]) -> int:
        """Return how many times the remaining room these pictures would fill, rounded up; at least 1."""
        paths = [self._folder / str(file) for file in files]
        size = sum(path.stat().st_size for path in paths if path.is_file()) * 4 / 3  # as base64
        return max(1, math.ceil(size / max(self._left, 1)))

    def take(self, file: Any) -> Picture:
        """Read a picture by its path within the run folder.

        Raises:
            ValueError: it is elsewhere, missing, damaged, or no longer fits.
        """
        path = self._inside(file)
        try:
            files.ordinary(path)
            found = picture(path.read_bytes())
        except FileNotFoundError:
            raise ValueError(f"{file} is missing") from None
        except (OSError, RunError, ValueError, Image.DecompressionBombError):
            raise ValueError(f"{file} is not a picture that can be read") from None
        if len(found.uri) > self._left:
            raise ValueError("the page holds as many pictures as it can")
        self._left -= len(found.uri)
        return found

    def rows(self, file: Any) -> list[dict[str, Any]]:
        """Read a Parquet file by its path within the run folder; [] if it is missing or damaged."""
        if not file:
            return []
        try:
            path = self._inside(file)
            files.ordinary(path)
            return pq.read_table(path).to_pylist()
        except (OSError, RunError, pa.ArrowException):
            return []

    def _inside(self, file: Any) -> Path:
        try:
            path = (self._folder / str(file)).resolve()
        except (OSError, RuntimeError):  # a loop of symbolic links
            raise ValueError(f"{file} cannot be reached") from None
        if not path.is_relative_to(self._folder):
            raise ValueError(f"{file} is not in the run folder")
        return path
