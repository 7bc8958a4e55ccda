"""One weight per row, by which its loss counts: stored with the rows of the training split."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor

from pellucid.batch import WEIGHTS, Batch
from pellucid.data.batches import Planned, Rows
from pellucid.data.dataset import Dataset
from pellucid.errors import BadDataError, UnknownNameError

COLUMN = "sample_weight"
"""The column that holds weights that were passed as an array."""


def with_weights(dataset: Dataset, weights: Any) -> Dataset:
    """Return the dataset with a column `sample_weight` of its training rows.

    Args:
        dataset: before it is split.
        weights: (N,), one for each row of the training split.

    Raises:
        BadDataError: there are more or fewer weights than rows.
    """
    values, train = np.asarray(weights, dtype=np.float64).reshape(-1), dataset.splits["train"]
    if len(values) != len(train):
        raise BadDataError(
            f"sample_weight has {len(values):,} values: expected one for each of {len(train):,} rows of "
            f"{dataset.name}, in their order."
        )
    splits = {**dataset.splits, "train": train.append_column(COLUMN, pa.array(values))}
    return replace(dataset, splits=splits)


def weights_of(dataset: Dataset, column: str) -> tuple[Dataset, Tensor]:
    """Return the dataset without a column of weights among its inputs, and the weights of its training rows.

    Returns:
        weights (N,) float32, scaled to a mean of 1, so that the learning rate means the same.

    Raises:
        UnknownNameError: there is no such column.
        BadDataError: a weight is missing, negative or not a number, or all are 0.
    """
    train = dataset.splits["train"]
    if column not in train.column_names:
        raise UnknownNameError("column of weights", column, train.column_names)
    try:
        values = train[column].cast(pa.float64()).to_numpy()
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        raise BadDataError(f"The weights {column!r} are not numbers: {train[column].type}.") from None
    wrong = np.flatnonzero(~np.isfinite(values) | (values < 0))
    if len(wrong):
        raise BadDataError(
            f"The weight {column!r} of row {wrong[0] + 1:,} is {values[wrong[0]]}: expected 0 or more."
        )
    if not values.sum():
        raise BadDataError(f"All weights {column!r} are 0: no row would count.")
    columns = tuple(entry for entry in dataset.columns if entry.name != column)
    return replace(dataset, columns=columns), torch.from_numpy(values / values.mean()).float()


class WeightedRows:
    """Rows that come with their weights: batches are `Batch(inputs, targets, {"weights": (B,)})`."""

    def __init__(self, rows: Rows, weights: Tensor):
        self.rows, self.weights = rows, weights

    def __len__(self) -> int:
        return len(self.rows)

    def batches(self, indices: list[Tensor]) -> Iterator[Any]:
        for chosen, (inputs, targets) in zip(indices, self.rows.batches(indices), strict=True):
            yield Batch(inputs, targets, {WEIGHTS: self.weights[chosen]})


class PlannedWeightedRows(WeightedRows):
    """The same for rows that decide themselves which of them make a batch."""

    def plan(self, batch_size: int, generator: Any, limit: int | None = None) -> list[Tensor]:
        assert isinstance(self.rows, Planned)
        return self.rows.plan(batch_size, generator, limit)


def weighted_rows(rows: Rows, weights: Tensor) -> WeightedRows:
    """Return rows with a weight for each of them, (N,)."""
    return (PlannedWeightedRows if isinstance(rows, Planned) else WeightedRows)(rows, weights)
