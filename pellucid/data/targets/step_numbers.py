"""A number for every step of a series, or several."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor

from pellucid.data.dataset import Column
from pellucid.data.encoder import FitOptions, Inputs
from pellucid.data.targets.target import ScaledTarget, TargetCells, TargetColumn
from pellucid.data.tensor_column import tensor_values
from pellucid.errors import BadDataError


@dataclass(frozen=True)
class StepNumbers(ScaledTarget):
    """Numbers of mean 0 and standard deviation 1 at every step: (N, T, D) float32, NaN for none."""

    name = "step_numbers"
    task = "steps"
    order = 4

    @classmethod
    def read(cls, cells: TargetCells) -> TargetColumn | None:
        if cells.task != cls.task or cells.raw is None:
            return None
        if not isinstance(cells.raw.type, pa.FixedShapeTensorType):
            return None
        shape = tuple(cells.raw.type.shape)
        several = f"{shape[1]} numbers" if len(shape) > 1 and shape[1] > 1 else "a number"
        return TargetColumn(Column(cells.name, "tensor", (), f"{several} for each step"), cells.raw)

    @classmethod
    def fit(cls, column: Column, train: pa.Table, options: FitOptions, inputs: Inputs) -> StepNumbers:
        values = _by_step(tensor_values(train[column.name]))
        flat = values.reshape(-1, values.shape[2]).astype(np.float64)
        known = np.isfinite(flat)
        if not known.any(0).all():
            raise BadDataError(f"The target {column.name!r} has no numbers in the training rows.")
        filled, count = np.where(known, flat, 0.0), known.sum(0)
        mean = filled.sum(0) / count
        std = np.sqrt((np.where(known, flat - mean, 0.0) ** 2).sum(0) / count)
        return cls(column, tuple(mean.tolist()), tuple(np.where(std > 0, std, 1.0).tolist()))

    def apply(self, table: pa.Table) -> Tensor:
        values = _by_step(tensor_values(self.values(table))).astype(np.float64)
        return torch.from_numpy(((values - self.mean) / self.std).astype(np.float32))

    def invert(self, encoded: Tensor) -> Tensor:
        """Return standardized numbers (N, T, D) in the units of the data."""
        std, mean = (torch.tensor(part, dtype=torch.float64) for part in (self.std, self.mean))
        return encoded.double() * std + mean


def _by_step(values: np.ndarray) -> np.ndarray:
    """Return numbers (N, T) or (N, T, D) as (N, T, D)."""
    return values[..., None] if values.ndim == 2 else values


TARGET = StepNumbers
