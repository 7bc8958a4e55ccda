"""What the numbers of an array stand for: an image, a series, token ids, a row of features.

The layout of a column is the entry "layout" of its form. Where nobody said it, the model decides: our own by
what they read, a module of the user's by what it can take.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import numpy as np
import pyarrow as pa

from pellucid.data.dataset import Column, Dataset
from pellucid.data.tensor_column import tensor, tensor_values
from pellucid.errors import BadDataError, UsageError

DIMENSIONS = {
    "image": (2, 3),
    "series": (1, 2),
    "ids": (1,),
    "table": (1, 2, 3, 4, 5),
    "plain": (1, 2, 3, 4, 5),
}
"""Layouts, and how many dimensions a row may have.

    image    (H, W), (C, H, W) or (H, W, C): becomes (C, H, W)
    series   (T, C), or (T,): becomes (T, C)
    ids      (T,) whole numbers from 0, such as tokens: int64; our own models take 0 for padding
    table    any: becomes (F,)
    plain    any: stays as it is
"""
LARGEST_ID = 2**24
"""Ids are stored as float32, which holds all whole numbers below this."""
SMALLEST_SIDE = 8
"""Arrays with a shorter side are no images."""


def layout_of(column: Column) -> str | None:
    """Return the layout that was said or found for a column."""
    return column.form.get("layout")


def with_layout(column: Column, layout: str) -> Column:
    """Return a column of arrays that have a layout."""
    return replace(column, form={**column.form, "layout": layout})


def check(array: np.ndarray, layout: str, name: str = "X") -> None:
    """Refuse an array (N, ...) that cannot have a layout.

    Raises:
        UsageError: there is no such layout, or it needs another number of dimensions.
        BadDataError: ids are no whole numbers from 0.
    """
    if layout not in DIMENSIONS:
        raise UsageError(
            f"kind={layout!r}: expected image, series, ids or table.",
            remedy='pellucid.arrays(X, y, kind="series") for (N, T, C)',
        )
    if array.ndim - 1 not in DIMENSIONS[layout]:
        expected = " or ".join(f"{count + 1}" for count in DIMENSIONS[layout])
        raise UsageError(
            f"kind={layout!r} expects {name} of {expected} dimensions, received shape {array.shape}."
        )
    if layout == "ids" and not _holds_ids(array):
        raise BadDataError(
            f'kind="ids" expects whole numbers from 0 to {LARGEST_ID - 1:,}; {name} holds {array.min():g} to '
            f"{array.max():g}."
        )


def is_whole(array: np.ndarray) -> bool:
    """Whether all numbers of an array are whole."""
    return array.dtype.kind in "biu" or bool((array == np.rint(array)).all())


def _holds_ids(array: np.ndarray) -> bool:
    return array.min() >= 0 and array.max() < LARGEST_ID and is_whole(array)


def may_be_ids(parts: Iterable[np.ndarray]) -> bool:
    """Whether arrays (N, T) hold whole numbers from 0, which a model may read as ids."""
    return all(part.ndim == 2 and _holds_ids(part) for part in parts)


def ids_column(name: str, parts: Iterable[np.ndarray], at_least: int = 0) -> Column:
    """Return a column of ids, whose form holds their number over all splits."""
    count = max(at_least, *(int(part.max()) + 1 for part in parts))
    return Column(name, "tensor", (), "whole numbers", {"layout": "ids", "num_ids": count})


def as_ids(dataset: Dataset, at_least: int = 0) -> Dataset | None:
    """Return a dataset of whole numbers as one column of ids; None where its inputs are something else.

    Features of an array that were read as one column each are put together again.

    Args:
        dataset: with all its splits.
        at_least: ids that the model knows.
    """
    if dataset.source.kind != "arrays":
        return None
    columns, train = dataset.inputs, dataset.splits["train"]
    kinds = {column.kind for column in columns}
    if kinds == {"tensor"} and len(columns) == 1:
        name = columns[0].name
        parts = [tensor_values(table[name]) for table in dataset.splits.values()]
        if any(part.ndim != 2 or not _holds_ids(part) for part in parts):
            return None
        return _with_inputs(dataset, ids_column(name, parts, at_least), None)
    whole = all(
        pa.types.is_integer(train.schema.field(column.name).type) and not train[column.name].null_count
        for column in columns
    )
    if kinds != {"number"} or not whole or any(column.form for column in columns):
        return None
    stacked = {split: _stacked(table, columns) for split, table in dataset.splits.items()}
    if not all(map(_holds_ids, stacked.values())):
        return None
    return _with_inputs(dataset, ids_column("x", stacked.values(), at_least), stacked)


def _stacked(table: pa.Table, columns: tuple[Column, ...]) -> np.ndarray:
    return np.stack([table[column.name].to_numpy() for column in columns], axis=1)  # (N, T)


def _with_inputs(dataset: Dataset, column: Column, values: dict[str, np.ndarray] | None) -> Dataset:
    """Return a dataset with one column of inputs, with other values if any are passed."""
    target = () if dataset.target is None else (dataset.column(dataset.target),)
    splits = dataset.splits
    if values is not None:
        others = [
            name for name in splits["train"].column_names if name not in {c.name for c in dataset.inputs}
        ]
        splits = {
            split: table.select(others).append_column(column.name, tensor(values[split]))
            for split, table in splits.items()
        }
    return replace(dataset, columns=(column, *target), splits=splits)


def set_layout(dataset: Dataset, layout: str | None) -> Dataset:
    """Return a dataset whose arrays have a layout; as it is where it has no column of arrays."""
    if layout == "ids":
        return as_ids(dataset) or dataset
    if layout is None:
        return dataset
    columns = tuple(
        with_layout(column, layout) if column.kind == "tensor" and column.name != dataset.target else column
        for column in dataset.columns
    )
    return replace(dataset, columns=columns)


def looks_like_series(dataset: Dataset) -> bool:
    """Whether the only input is arrays (T, C) that are no images: oblong, or with a short side, or of numbers
    that are no pixels."""
    if len(dataset.inputs) != 1 or dataset.inputs[0].kind != "tensor":
        return False
    column = dataset.inputs[0]
    if layout_of(column) is not None:
        return layout_of(column) == "series"
    shape = tuple(dataset.splits["train"].schema.field(column.name).type.shape)
    return len(shape) == 2 and (min(shape) < SMALLEST_SIDE or max(shape) > 2 * min(shape))
