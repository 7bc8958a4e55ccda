"""One number or several, standardized."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor

from pellucid.data import parse
from pellucid.data.compute import pc
from pellucid.data.dataset import Column
from pellucid.data.encoder import FitOptions, Inputs
from pellucid.data.scaling import scale
from pellucid.data.targets.target import ScaledTarget, TargetCells, TargetColumn, missing
from pellucid.data.tensor_column import tensor_values
from pellucid.errors import BadDataError

BINS = 10
"""Parts of the range of a target that splits have equal shares of."""


@dataclass(frozen=True)
class Numbers(ScaledTarget):
    """Numbers of mean 0 and standard deviation 1: (N,) float32, or (N, D) for several a row."""

    name = "numbers"
    task = "regression"
    order = 40
    stratified = "stratified by tenths of the target"

    @classmethod
    def read(cls, cells: TargetCells) -> TargetColumn | None:
        vector = cells.vector
        if vector is not None:
            column = Column(cells.name, "tensor", vector.names, f"{len(vector.names)} numbers")
            return TargetColumn(column, vector.values, vector.bad, "numbers")
        if cells.reading.kind != "number":
            return None
        values = cells.reading.values
        if cells.kind == "number" or cells.task == cls.task:
            reason = "set by the user"
        elif parse.whole(values):
            reason = f"{pc.count_distinct(values).as_py():,} different whole numbers"
        else:
            reason = "numbers with decimals"
        return TargetColumn(
            Column(cells.name, "number", (), reason, cells.reading.form), values, missing(values), "a number"
        )

    @classmethod
    def strata(cls, column: Column, values: pa.ChunkedArray) -> np.ndarray:
        if isinstance(values.type, pa.FixedShapeTensorType):
            return super().strata(column, values)
        numbers = values.to_numpy()
        edges = np.quantile(numbers, np.linspace(0, 1, BINS + 1)[1:-1])
        return np.searchsorted(edges, numbers)

    @classmethod
    def fit(cls, column: Column, train: pa.Table, options: FitOptions, inputs: Inputs) -> Numbers:
        mean, std = scale(_numbers(train[column.name]), True, axis=0)
        return cls(column, tuple(np.atleast_1d(mean).tolist()), tuple(np.atleast_1d(std).tolist()))

    def apply(self, table: pa.Table) -> Tensor:
        values = finite(self.column.name, _numbers(self.values(table)))
        mean, std = np.asarray(self.mean), np.asarray(self.std)
        scaled = (values - mean) / std if values.ndim == 2 else (values - mean[0]) / std[0]
        return torch.from_numpy(scaled.astype(np.float32))

    def invert(self, encoded: Tensor) -> Tensor:
        """Bring standardized numbers (N,), (N, 1) or (N, D) back to the units of the data."""
        mean, std = (
            torch.tensor(part, dtype=encoded.dtype, device=encoded.device) for part in (self.mean, self.std)
        )
        return encoded * std + mean


def finite(name: str, values: np.ndarray) -> np.ndarray:
    """Return the values (N, ...).

    Raises:
        BadDataError: one is missing or infinite; names the first row.
    """
    if len(holes := np.flatnonzero(~np.isfinite(values).reshape(len(values), -1).all(axis=1))):
        raise BadDataError(f"The target {name!r} is missing in row {holes[0] + 1:,}.")
    return values


def _numbers(column: pa.ChunkedArray) -> np.ndarray:
    if isinstance(column.type, pa.FixedShapeTensorType):
        return tensor_values(column).astype(np.float64)
    return column.cast(pa.float64(), safe=False).to_numpy()


TARGET = Numbers
