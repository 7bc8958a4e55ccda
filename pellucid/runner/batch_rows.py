"""The rows of a training batch as their owner knows them: number, file, text and target."""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from pellucid.data import preview
from pellucid.data.batches import Batches
from pellucid.data.dataset import Dataset
from pellucid.runner.replayed import Row

LONGEST = 120
"""Characters of a row."""


def batch_rows(prepared: Any, batches: Any, epoch: int, batch: int, count: int = 1) -> list[Row]:
    """Return the rows of `count` batches of an epoch, from `batch` on; [] for batches that are not ours.

    Where a batch is cut out of a stream or a series, a row is a window, and only its number is known.
    """
    if not isinstance(batches, Batches):
        return []
    total = len(batches)
    numbers = [
        int(number)
        for at in range(batch, min(batch + count, total))
        for number in batches.row_numbers(epoch, at)
    ]
    dataset = prepared.dataset
    table = dataset.splits["train"]
    if len(prepared.rows["train"]) != len(table):
        return [Row(number) for number in numbers]
    return [_row(dataset, table, number) for number in numbers]


def _row(dataset: Dataset, table: pa.Table, number: int) -> Row:
    pictured = next(filter(preview.is_drawable, dataset.inputs), None)
    columns = tuple(column for column in dataset.inputs if column is not pictured)
    text = preview.line(table, columns, number) if columns else ""
    return Row(
        number, preview.row_file(dataset, table, number), _short(text), _target(dataset, table, number)
    )


def _target(dataset: Dataset, table: pa.Table, number: int) -> str:
    if dataset.target is None or dataset.target not in table.column_names:
        return ""
    value = table[dataset.target][number].as_py()
    names = dataset.column(dataset.target).categories
    named = isinstance(value, int) and value < len(names)
    return _short(names[value] if named else str(value))


def _short(text: str) -> str:
    return text if len(text) <= LONGEST else text[: LONGEST - 3] + "..."
