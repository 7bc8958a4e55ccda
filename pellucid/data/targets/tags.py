"""A tag for every token of a row."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor

from pellucid.data import images
from pellucid.data.compute import pc
from pellucid.data.dataset import Column
from pellucid.data.kinds.tokens import fits
from pellucid.data.targets.target import NamedTarget, TargetCells, TargetColumn
from pellucid.data.text.ragged import Ragged, ends
from pellucid.errors import BadDataError

OUTSIDE = "O"
"""The tag of tokens that belong to no span (Ramshaw & Marcus 1995)."""


@dataclass(frozen=True)
class Tags(NamedTarget):
    """A tag for every token: rows of 1 + the index of its class; 0 is padding, as in the inputs."""

    name = "tags"
    task = "tagging"
    order = 5

    @classmethod
    def read(cls, cells: TargetCells) -> TargetColumn | None:
        if cells.kind != cls.name or cells.raw is None or not fits(cells.raw.type):
            return None
        found = {tag for chunk in cells.raw.chunks for tag in pc.list_flatten(chunk).unique().to_pylist()}
        classes = sorted(found - {None}, key=lambda tag: (tag != OUTSIDE, images.natural(tag)))
        if len(classes) < 2:
            raise BadDataError(
                f"The target {cells.name!r} has {len(classes)} different tags: expected at least 2.",
                remedy="--target names another column",
            )
        column = Column(cells.name, "tokens", tuple(classes), f"{len(classes)} different tags")
        return TargetColumn(column, cells.raw, None, "a list of tags")

    @classmethod
    def counts(cls, column: Column, values: pa.ChunkedArray) -> dict[str, int]:
        found = np.bincount(codes(column, values).ids, minlength=len(column.categories) + 1)[1:]
        return dict(zip(column.categories, found.tolist(), strict=True))

    def rows(self, table: pa.Table) -> Ragged:
        return codes(self.column, self.values(table))

    def apply(self, table: pa.Table) -> Tensor:
        return torch.from_numpy(self.rows(table).padded())

    def invert(self, encoded: Tensor) -> list[list[str]]:
        """Return the tags of rows (N, T), without padding."""
        return [self.names(row[row > 0] - 1) for row in encoded.cpu().numpy()]


def codes(column: Column, values: pa.ChunkedArray, *, optional: bool = False) -> Ragged:
    """Return 1 + the index of the class of every tag, row by row.

    Args:
        column: knows the classes.
        values: lists of their names.
        optional: a null is no tag, 0, instead of refused.

    Raises:
        BadDataError: a tag is none of the classes.
    """
    found, lengths = [np.zeros(0, np.uint16)], [np.zeros(0, np.int64)]
    for chunk in values.chunks:
        tags = pc.list_flatten(chunk)
        index = pc.index_in(tags, value_set=pa.array(column.categories, tags.type))
        lacking = pc.and_(pc.is_null(index), pc.is_valid(tags)) if optional else pc.is_null(index)
        if pc.any(lacking).as_py():
            unknown = tags.filter(lacking)[0].as_py()
            raise BadDataError(
                f"The target {column.name!r}: expected one of {len(column.categories)} tags "
                f"({', '.join(column.categories[:10])}), received {unknown!r}.",
                remedy="write it as in training",
            )
        places = pc.fill_null(index, -1).to_numpy(zero_copy_only=False)
        found.append((places + 1).astype(np.uint16))
        lengths.append(pc.list_value_length(chunk).to_numpy(zero_copy_only=False))
    return Ragged(np.concatenate(found), ends(np.concatenate(lengths)))


TARGET = Tags
