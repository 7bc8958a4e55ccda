"""Any number of K labels, as one row of 0 and 1."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor

from pellucid.data import images, parse
from pellucid.data.compute import pc
from pellucid.data.dataset import Column
from pellucid.data.targets.target import NamedTarget, TargetCells, TargetColumn
from pellucid.data.tensor_column import tensor, tensor_values
from pellucid.errors import BadDataError


@dataclass(frozen=True)
class Labels(NamedTarget):
    """Any number of K labels: (N, K) float32 of 0 and 1."""

    name = "labels"
    task = "multilabel"
    order = 20

    @classmethod
    def read(cls, cells: TargetCells) -> TargetColumn | None:
        if cells.is_list and _names_labels(cells):
            return _lists(cells)
        vector = cells.vector if cells.classes is None else None
        if vector is None or cells.task == "regression":
            return None
        if vector.is_one_hot and cells.task != cls.task and cells.kind != cls.name:
            return None
        if not vector.is_binary:
            if cells.task == cls.task:
                raise BadDataError(f"The target {cells.name!r} must hold only 0 and 1 for several labels.")
            return None
        column = Column(cells.name, "tensor", vector.names, f"{len(vector.names)} columns of 0 and 1")
        return TargetColumn(column, vector.values, vector.bad, "numbers")

    @classmethod
    def counts(cls, column: Column, values: pa.ChunkedArray) -> dict[str, int]:
        counts = tensor_values(values).sum(axis=0).astype(np.int64)
        return dict(zip(column.categories, counts.tolist(), strict=True))

    def apply(self, table: pa.Table) -> Tensor:
        return torch.from_numpy(tensor_values(self.values(table)).astype(np.float32))

    def invert(self, encoded: Tensor) -> list[tuple[str, ...]]:
        """Return the labels of each row of 0 and 1 (N, K), or of probabilities: those of at least 0.5."""
        return [
            tuple(name for name, value in zip(self.classes, row, strict=True) if value >= 0.5)
            for row in encoded.tolist()
        ]


def _names_labels(cells: TargetCells) -> bool:
    """Whether lists hold names of labels, or indices of declared ones."""
    assert cells.raw is not None
    kind = cells.raw.type.value_type
    return cells.classes is not None or parse.is_text(kind) or pa.types.is_integer(kind)


def _lists(cells: TargetCells) -> TargetColumn:
    """Read lists of labels as one row of 0 and 1 each."""
    assert cells.raw is not None
    lists = cells.raw.combine_chunks()
    flat, rows = pc.list_flatten(lists), pc.list_parent_indices(lists).to_numpy()
    codes, classes = (flat.to_numpy(), cells.classes) if cells.classes is not None else _codes(flat)
    hot = np.zeros((len(lists), len(classes)), np.float32)
    hot[rows, codes] = 1
    bad = pc.is_null(lists).to_numpy(zero_copy_only=False)
    column = Column(cells.name, "tensor", tuple(classes), "lists of labels")
    return TargetColumn(column, tensor(hot), bad if bad.any() else None, "a list of labels")


def _codes(flat: pa.Array) -> tuple[np.ndarray, Sequence[str]]:
    """Return the index of every label in the list of all labels, and that list."""
    found = parse.distinct(pa.chunked_array([flat])).to_pylist()
    known = sorted(found, key=lambda label: images.natural(str(label)))
    codes = pc.index_in(flat, value_set=pa.array(known, flat.type)).to_numpy()
    return codes, tuple(map(str, known))


TARGET = Labels
