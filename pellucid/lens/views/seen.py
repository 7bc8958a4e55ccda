"""What a view returns: arrays, as JSON and as panels to draw."""

from __future__ import annotations

import dataclasses
import html
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

import numpy as np

from pellucid.record.files import finite

VERSION = 1
"""Of the form of `Seen.to_dict()`."""
Scale = Literal["signed", "magnitude", "picture"]


@dataclass(frozen=True)
class Panel:
    """A map to draw.

    Attributes:
        title: what it shows.
        values: (H, W); NaN is left blank.
        scale: how numbers become colors: "signed" from blue over nothing to orange, "magnitude" from 0 to the
            largest, "picture" from the smallest to the largest.
        rows: a label for every row, or none.
        square: whether its cells are pixels, of the same height and width.
    """

    title: str
    values: np.ndarray
    scale: Scale = "signed"
    rows: Sequence[str] = ()
    square: bool = True


@dataclass(frozen=True)
class Rows:
    """A table to draw.

    Attributes:
        title: what it shows.
        columns: their names.
        cells: one list for each row, of numbers and texts.
    """

    title: str
    columns: Sequence[str]
    cells: Sequence[Sequence[Any]] = field(default_factory=list)


class Seen:
    """Base of what views return; each is a frozen dataclass of arrays and plain values."""

    view: ClassVar[str]

    @property
    def headline(self) -> str:
        """What is seen, in a sentence."""
        raise NotImplementedError

    def panels(self) -> list[Panel | Rows]:
        """Return the maps and tables that show it."""
        return []

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON values, with the version of their form; None for numbers that are not finite."""
        values = {part.name: plain(getattr(self, part.name)) for part in dataclasses.fields(self)}  # type: ignore[arg-type]
        return finite({"version": VERSION, "view": self.view, **values})

    def __str__(self) -> str:
        from pellucid.lens.views.show import as_text

        return as_text(self)

    def _repr_html_(self) -> str:
        return f"<pre>{html.escape(str(self))}</pre>"


def plain(value: Any) -> Any:
    """Return arrays as lists and dataclasses as dicts."""
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, np.generic):
        return value.item()
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {part.name: plain(getattr(value, part.name)) for part in dataclasses.fields(value)}
    if isinstance(value, dict):
        return {str(name): plain(part) for name, part in value.items()}
    return [plain(part) for part in value] if isinstance(value, (list, tuple)) else value


GAP = 1
"""Blank cells between the tiles of a mosaic."""


def mosaic(tiles: np.ndarray) -> np.ndarray:
    """Put tiles (rows, columns, h, w) next to each other, with blank cells (NaN) between them.

    Example:
        >>> mosaic(np.zeros((1, 2, 1, 1))).tolist()
        [[0.0, nan, 0.0]]
    """
    down, across, height, width = tiles.shape
    made = np.full((down * (height + GAP) - GAP, across * (width + GAP) - GAP), np.nan)
    for row in range(down):
        for column in range(across):
            top, left = row * (height + GAP), column * (width + GAP)
            made[top : top + height, left : left + width] = tiles[row, column]
    return made


def flat_picture(values: np.ndarray) -> np.ndarray:
    """Return a picture (C, H, W), (C, L) or (H, W) as one map: the mean of its channels."""
    if values.ndim == 1:
        return values[None]
    return values if values.ndim == 2 else values.reshape(-1, *values.shape[-2:]).mean(0)
