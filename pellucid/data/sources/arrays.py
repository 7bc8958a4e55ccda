"""Make a `Dataset` from NumPy, torch, pandas and polars objects."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from pellucid.data import layout, picture_column
from pellucid.data.build_dataset import DataOptions, RawTables, build_dataset
from pellucid.data.dataset import Column, Dataset, Source, Task
from pellucid.data.sources.objects import as_table, dense, frame, numbers, of_tensor, refusing_mixed
from pellucid.data.sources.step_labels import TASK, StepLabels, are_steps, step_labels
from pellucid.data.targets.choose import read_target
from pellucid.data.tensor_column import tensor
from pellucid.errors import BadDataError, UsageError

MOST_COLUMNS = 64
"""A matrix of more features than this becomes one tensor column, not one column for each."""


LISTS = (list, tuple, set, frozenset)
"""What may hold the labels of a row."""


class _Part(NamedTuple):
    X: Any
    y: Any = None


def arrays(
    X: Any,
    y: Any = None,
    *,
    validation: tuple[Any, Any] | None = None,
    test: tuple[Any, Any] | None = None,
    names: Sequence[str] | None = None,
    task: Task | None = None,
    kind: str | None = None,
) -> Dataset:
    """Make a dataset from objects in memory.

    Args:
        X: numbers of shape (N, F), also as a sparse matrix of SciPy; series (N, T, C), images (N, H, W) or
            (N, C, H, W), ids of tokens (N, T), N texts, or a data frame of N rows (pandas, polars, Arrow).
        y: (N,) or (N, 1) classes or numbers, or (N, K) several of them; for a data frame also the name of a
            column. For series also a class for each step, (N, T) (-1, NaN or None where there is no label),
            or numbers, (N, T) or (N, T, D), where NaN is none.
        validation: (X, y) for validation during training; None: taken from the rows of X when it is split.
        test: (X, y) for the final evaluation; None: taken from the rows of X too.
        names: of the F features.
        task: classification, multilabel, regression or steps (y for each step of X); None: by y. Of X (N, T),
            y (N, T) is for steps if it holds more than two classes, or `kind` is "series".
        kind: what the numbers of X stand for: "image", "series", "ids" or "table". None: as the model reads
            them; a module of your own gets them in the shape that they have, if it can take that, and else
            as images (N, C, H, W). For our own models the id 0 is padding.

    Returns:
        A dataset; one column for each feature up to 64 of them, else a single tensor column "x".

    Raises:
        BadDataError: lengths differ, there are no rows, or values are missing, infinite or not numbers.
    """
    parts = {"train": _Part(X, y)}
    for split, given in (("validation", validation), ("test", test)):
        if given is not None:
            parts[split] = _part(split, given, y)
    parts = {split: _Part(as_table(dense(part.X)), dense(part.y)) for split, part in parts.items()}
    X = parts["train"].X
    for split, part in parts.items():
        _same_order(part.X, part.y, split)
    if frame(X) is not None:
        if kind not in (None, "table"):
            raise UsageError(f"kind={kind!r} is for arrays, and X is a data frame.", remedy="X.to_numpy()")
        return _from_frames(parts, task)
    return _from_arrays(parts, names, task, kind)


def table_of_columns(held: Mapping[str, Any]) -> pa.Table:
    """Make a table of arrays by name, each with one value (or one array) a row.

    Raises:
        BadDataError: their lengths differ.
    """
    columns = {str(name): _column(part) for name, part in held.items()}
    lengths = {name: len(column) for name, column in columns.items()}
    if len(set(lengths.values())) > 1:
        said = ", ".join(f"{name} {length:,}" for name, length in lengths.items())
        raise BadDataError(f"The columns have different numbers of rows: {said}.")
    return pa.table(columns)


# ---- data frames ---------------------------------------------------------------------------------


def _from_frames(parts: Mapping[str, _Part], task: Task | None) -> Dataset:
    splits, target = {}, None
    for split, part in parts.items():
        table = frame(part.X)
        if table is None:
            raise BadDataError(
                f"{split}: expected a data frame as for train, received {type(part.X).__name__}."
            )
        if part.y is None or isinstance(part.y, str):
            target = part.y if part.y is not None else target
        else:
            _same_length(len(table), len(part.y), split)
            columns = _named_columns(part.y)
            target = ", ".join(columns)
            for name, values in columns.items():
                if name in table.column_names:
                    raise UsageError(
                        f"X has a column {name!r} already, the name of y.", remedy="rename one of them"
                    )
                table = table.append_column(name, values)
        splits[split] = picture_column.with_pictures(table)
    return build_dataset(
        RawTables("arrays", splits, Source("arrays", "arrays")), DataOptions(target=target, task=task)
    )


def _named_columns(y: Any) -> dict[str, Any]:
    """Return the columns of y by name: those of a data frame, or the only one."""
    columns = _names_of(y)
    if len(columns) < 2:
        return {str(columns[0] if columns else getattr(y, "name", None) or "y"): _column(y)}
    return {str(name): _column(y[name]) for name in y.columns}


def _names_of(y: Any) -> tuple[str, ...]:
    """Return the names of the columns of a data frame; () for anything else."""
    return tuple(map(str, y.columns)) if frame(y) is not None and hasattr(y, "columns") else ()


def _column(given: Any) -> pa.Array | pa.ChunkedArray:
    """Convert a series, array, tensor or list to an Arrow column."""
    if type(given).__module__.partition(".")[0] == "polars":
        return given.to_arrow()
    given = of_tensor(given)
    if isinstance(given, (list, tuple)) and given and all(isinstance(row, LISTS) for row in given):
        rows = [sorted(row, key=str) if isinstance(row, (set, frozenset)) else list(row) for row in given]
        if len({len(row) for row in rows}) > 1 or any(isinstance(cell, str) for row in rows for cell in row):
            return pa.array(rows)
    values: Any = np.asarray(given) if not hasattr(given, "array") else given
    if getattr(values, "ndim", 1) == 2 and values.shape[1] == 1:
        values = values[:, 0]
    if getattr(values, "ndim", 1) > 1:
        return tensor(numbers(values, "y"))
    with refusing_mixed("y"):
        return pa.array(values, from_pandas=True)


# ---- arrays --------------------------------------------------------------------------------------


def _from_arrays(
    parts: Mapping[str, _Part], names: Sequence[str] | None, task: Task | None, kind: str | None
) -> Dataset:
    given = {
        split: numbers(part.X, "X" if split == "train" else f"X of {split}") for split, part in parts.items()
    }
    shape: tuple[int, ...] = given["train"].shape[1:]
    for split, array in given.items():
        if array.shape[1:] != shape:
            raise BadDataError(
                f"X of {split} has rows of shape {array.shape[1:]}: expected {shape}, as in train."
            )
    if not shape:
        raise BadDataError(
            f"X has shape {given['train'].shape}: expected (N, F), one row for each example.",
            remedy="X.reshape(-1, 1) for a single feature",
        )
    if names is not None and (len(names),) != shape:
        raise BadDataError(
            f"There are {len(names)} names: expected one for each of the features, shape {shape}."
        )
    if kind is not None:
        for split, array in given.items():
            layout.check(array, kind, "X" if split == "train" else f"X of {split}")
    steps = None
    if are_steps(given["train"], parts["train"].y, task, kind):
        steps = step_labels({split: part.y for split, part in parts.items() if part.y is not None})
        kind = kind or (None if layout.may_be_ids(given.values()) else "series")
    columns, tables = _features(given, names, kind)
    if parts["train"].y is None:
        return Dataset("arrays", tables, columns, None, None, Source("arrays", "arrays"))
    return _with_target(parts, columns, tables, task, steps)


def _features(
    given: Mapping[str, np.ndarray], names: Sequence[str] | None, kind: str | None
) -> tuple[tuple[Column, ...], dict[str, pa.Table]]:
    """Return one number column for each feature, or one tensor column for all."""
    shape = given["train"].shape[1:]
    width = int(np.prod(shape))
    if len(shape) > 1 or kind in ("series", "ids") or (names is None and width > MOST_COLUMNS):
        tables = {split: pa.table({"x": tensor(array)}) for split, array in given.items()}
        if kind == "ids":
            return (layout.ids_column("x", given.values()),), tables
        form = {"layout": kind} if kind else {}
        return (Column("x", "tensor", (), f"an array of shape {shape} a row", form),), tables
    names = [str(name) for name in names] if names is not None else [f"x{index}" for index in range(width)]
    tables = {
        split: pa.table(
            [pa.array(np.ascontiguousarray(array[:, index])) for index in range(width)], names=names
        )
        for split, array in given.items()
    }
    of = "boolean" if given["train"].dtype == bool else "number"
    return tuple(Column(name, of, reason="an array of numbers") for name in names), tables


def _with_target(
    parts: Mapping[str, _Part],
    columns: tuple[Column, ...],
    tables: Mapping[str, pa.Table],
    task: Task | None,
    steps: StepLabels | None,
) -> Dataset:
    """Read y of all splits together, so that they share their classes."""
    labels = []
    for split, table in tables.items():
        y = parts[split].y
        if y is None:
            raise BadDataError(f"{split} has no y: expected {len(table):,} values.")
        _same_length(len(table), len(y), split)
        column = _column(y) if steps is None else steps.columns[split]
        labels.append(column if isinstance(column, pa.ChunkedArray) else pa.chunked_array([column]))
    name = "y" if "y" not in tables["train"].column_names else "target"
    joined = pa.chunked_array([chunk for column in labels for chunk in column.chunks], labels[0].type)
    target = read_target([name], [joined], task=task if steps is None else TASK)
    if steps is not None:
        form = {**target.column.form, **steps.form}
        target = replace(target, column=replace(target.column, form=form), note=steps.note)
    if target.bad is not None and target.bad.any():
        row = int(np.flatnonzero(target.bad)[0])
        raise BadDataError(
            f"y holds {int(target.bad.sum()):,} missing or infinite values, the first in row {row + 1:,}."
        )
    names = _names_of(parts["train"].y)
    if len(names) > 1 and len(names) == len(target.column.categories):
        target = replace(target, column=replace(target.column, categories=names))
    made: dict[str, pa.Table] = {}
    start = 0
    for split, table in tables.items():
        made[split] = table.append_column(name, target.values.slice(start, len(table)))
        start += len(table)
    return Dataset(
        name="arrays",
        splits=made,
        columns=(*columns, target.column),
        target=name,
        task=target.task,
        source=Source("arrays", "arrays"),
        encoding=target.encoding,
        notes=(target.note,) if target.note else (),
    )


def _part(split: str, given: Any, y: Any) -> _Part:
    if isinstance(given, (tuple, list)) and len(given) == 2:
        return _Part(*given)
    if isinstance(y, str):
        return _Part(given, y)
    raise UsageError(
        f"{split} must be a pair (X, y), received {type(given).__name__}.", remedy=f"{split}=(X, y)"
    )


def _same_length(rows: int, labels: int, split: str) -> None:
    if rows != labels:
        raise BadDataError(f"X has {rows:,} rows and y {labels:,} in {split}: expected equal numbers.")


def _same_order(X: Any, y: Any, split: str) -> None:
    """Refuse pandas objects whose index names the same rows in another order: rows are paired by position."""
    if not all(type(part).__module__.partition(".")[0] == "pandas" for part in (X, y)):
        return
    same = len(X) == len(y) and X.index.is_unique and y.index.is_unique
    if same and not X.index.equals(y.index) and not len(X.index.symmetric_difference(y.index)):
        raise BadDataError(
            f"The index of y names the rows of X in another order in {split}: row 1 of X is {X.index[0]!r}, "
            f"of y {y.index[0]!r}.",
            remedy="y.loc[X.index]; or y.set_axis(X.index), where the rows are in the same order already",
        )
