"""A class for every step of a series."""

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
from pellucid.data.targets.tags import codes
from pellucid.data.targets.target import NamedTarget, TargetCells, TargetColumn
from pellucid.errors import BadDataError


@dataclass(frozen=True)
class StepClasses(NamedTarget):
    """A class for every step: (N, T) int64 of 1 + the index of its class; 0 where a step has no label.

    The column holds lists of names, null where there is no label.
    """

    name = "step_classes"
    task = "steps"
    order = 3

    @classmethod
    def read(cls, cells: TargetCells) -> TargetColumn | None:
        if cells.task != cls.task or cells.raw is None or isinstance(cells.raw.type, pa.FixedShapeTensorType):
            return None
        flat = pa.chunked_array([pc.list_flatten(chunk) for chunk in cells.raw.chunks])
        found = [value for value in flat.unique().to_pylist() if value is not None]
        texts = all(isinstance(value, str) for value in found)
        classes = sorted(found, key=images.natural) if texts else list(map(_named, sorted(found)))
        if len(classes) < 2:
            raise BadDataError(
                f"The target {cells.name!r} has {len(classes)} different labels: expected at least 2.",
                remedy="y[i, t] is the label of step t of row i; -1, NaN or None is no label",
            )
        column = Column(cells.name, "tokens", tuple(classes), f"{len(classes)} different labels of steps")
        return TargetColumn(column, _names(cells.raw), None, "a list of labels")

    @classmethod
    def counts(cls, column: Column, values: pa.ChunkedArray) -> dict[str, int]:
        if not fits(values.type):
            values = _names(values)
        found = np.bincount(codes(column, values, optional=True).ids, minlength=len(column.categories) + 1)
        return dict(zip(column.categories, found[1:].tolist(), strict=True))

    def apply(self, table: pa.Table) -> Tensor:
        return torch.from_numpy(codes(self.column, self.values(table), optional=True).padded())

    def invert(self, encoded: Tensor) -> np.ndarray:
        """Return the labels of 1 + the index of classes (N, T), in the type and the shape that y had."""
        made = np.asarray(self.labels)[(encoded - 1).clamp(min=0).numpy()]
        return made[..., None] if self.column.form.get("last_axis") else made


def _names(values: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return lists of labels as lists of their names."""
    made = []
    for chunk in values.chunks:
        flat = pc.list_flatten(chunk)
        different = flat.unique()
        index = pc.index_in(flat, value_set=different.drop_null())
        named = pa.array([_named(value) for value in different.drop_null().to_pylist()], pa.string())
        lengths = pc.list_value_length(chunk).to_numpy(zero_copy_only=False)
        offsets = pa.array(np.concatenate([[0], lengths.cumsum()]), pa.int32())
        made.append(pa.ListArray.from_arrays(offsets, named.take(index)))
    return pa.chunked_array(made, pa.list_(pa.string()))


def _named(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


TARGET = StepClasses
