"""A label or numbers for every step of a series, in arrays: when y is that, and the columns that hold it.

Shapes: N rows, T steps, C channels of X, D numbers a step.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from pellucid.data.compute import pc
from pellucid.data.kinds.kind import FEW
from pellucid.data.layout import is_whole
from pellucid.data.sources.objects import refusing_mixed
from pellucid.data.tensor_column import tensor
from pellucid.errors import BadDataError, UsageError

TASK = "steps"
MOST_CLASSES = 100
"""Most whole numbers 0, 1, 2 ... that are classes; otherwise `FEW`."""
NEGATIVE = "negative numbers are no label"


@dataclass(frozen=True)
class StepLabels:
    """The labels of the steps of all splits.

    Attributes:
        columns: by split: lists of classes with null for no label, or tensors of numbers with NaN.
        form: what the schema notes: `last_axis` where y had the shape (N, T, 1).
        note: how y was read.
    """

    columns: dict[str, pa.ChunkedArray]
    form: dict[str, Any]
    note: str


def are_steps(X: np.ndarray, y: Any, task: str | None, kind: str | None) -> bool:
    """Whether y (N, T) or (N, T, D) belongs to the steps of X (N, T, C) or (N, T).

    Args:
        X: the training inputs.
        y: the training targets.
        task: what the user wants to learn; None: whatever y suggests.
        kind: what the numbers of X stand for; None: not said.

    Raises:
        UsageError: the user wants to learn this, and the shapes do not fit.
    """
    if y is None or task not in (None, TASK) or kind not in (None, "series", "ids"):
        return False
    shape = _shape(y)
    fits = len(shape) in (2, 3) and X.ndim in (2, 3) and shape[:2] == X.shape[:2]
    if task == TASK:
        if not fits:
            raise UsageError(
                f"Labels of steps: expected X (N, T, C) or (N, T) and y (N, T) or (N, T, D), received X "
                f"{X.shape} and y {shape}.",
                remedy="X.transpose(0, 2, 1), if the steps of X are last",
            )
        return True
    if not fits and X.ndim == 3 and len(shape) == 2 and shape == (X.shape[0], X.shape[2]):
        _refuse_steps_last(X, y)
    if not fits or (len(shape) == 2 and shape[1] < 2):
        return False
    if len(shape) == 3 or kind is not None:
        return True
    values = _values(y)
    if X.ndim == 3:
        return not _is_one_hot(values, shape[1])
    # X (N, T) and y (N, T) may also be a table and as many targets
    return pa.types.is_string(values.type) or (_are_classes(values, 2) and len(values.unique()) > 2)


def _refuse_steps_last(X: np.ndarray, y: Any) -> None:
    """Refuse several classes for each of the last axis of X, which are not steps."""
    values = _values(y)
    if pa.types.is_string(values.type) or (_are_classes(values, 2) and len(values.unique()) > 2):
        raise BadDataError(
            f"y {_shape(y)} has a class for each of the last axis of X {X.shape}: expected steps in the "
            "second axis.",
            remedy="X.transpose(0, 2, 1)",
        )


def step_labels(parts: dict[str, Any]) -> StepLabels:
    """Return y of every split as the labels of its steps.

    Args:
        parts: y (N, T) or (N, T, D) by split: classes as texts, whole numbers or truth values; or numbers. -1
            (any negative whole number, unless the classes are -1 and 1), NaN and None are no label. A single
            1 among D zeros is the class of its place.

    Raises:
        BadDataError: y mixes types, or rows differ in length.
    """
    shapes = {split: _shape(y) for split, y in parts.items()}
    ndim, values = len(shapes["train"]), {split: _values(y) for split, y in parts.items()}
    joined = pa.chunked_array(list(values.values()))
    last = shapes["train"][2] if ndim == 3 else 1
    if last > 1 and _is_one_hot(joined, last):
        places = {split: _places(part, last) for split, part in values.items()}
        lists = {split: _lists(part, shapes[split][1]) for split, part in places.items()}
        return StepLabels(lists, {}, f"y is one-hot: a class for each of {shapes['train'][1]:,} steps")
    if last > 1 or not _are_classes(joined, ndim):
        arrays = {split: _numbers(part).reshape(shapes[split]) for split, part in values.items()}
        return StepLabels(
            {split: tensor(array) for split, array in arrays.items()},
            {"last_axis": True} if ndim == 3 else {},
            f"y: {'a number' if last == 1 else f'{last} numbers'} for each of {shapes['train'][1]:,} steps",
        )
    without, said = _without_negative(values, joined)
    lists = {split: _lists(part, shapes[split][1]) for split, part in without.items()}
    form = {"last_axis": True} if ndim == 3 else {}
    return StepLabels(lists, form, f"y: a class for each of {shapes['train'][1]:,} steps{said}")


def _shape(y: Any) -> tuple[int, ...]:
    if hasattr(y, "shape"):
        return tuple(int(length) for length in y.shape)
    try:
        return np.asarray(y, dtype=object).shape
    except ValueError:
        return ()


def _values(y: Any) -> pa.Array:
    """Return all labels, one after the other, null where there is none.

    Raises:
        BadDataError: they are of several types.
    """
    y = y.detach().cpu() if hasattr(y, "detach") else y
    array = y.to_numpy() if hasattr(y, "to_numpy") else np.asarray(y, None if hasattr(y, "dtype") else object)
    flat = array.reshape(-1)
    if flat.dtype.kind == "O":
        flat = [None if value is None or value != value else value for value in flat.tolist()]
    with refusing_mixed("y"):
        made = pa.array(flat, from_pandas=True)
    return made.cast(pa.string()) if pa.types.is_large_string(made.type) else made


def _are_classes(values: pa.Array | pa.ChunkedArray, ndim: int) -> bool:
    kind = values.type
    if pa.types.is_string(kind) or pa.types.is_boolean(kind):
        return True
    if pa.types.is_floating(kind) and (ndim == 3 or not is_whole(_numbers(values)[_known(values)])):
        return False
    found = np.array([value for value in values.unique().to_pylist() if value is not None])
    found = found[found >= 0] if set(found.tolist()) != {-1, 1} else found
    in_order = len(found) <= MOST_CLASSES and len(found) and found.max() < len(found)
    return bool(len(found) <= FEW or in_order)


def _without_negative(
    values: dict[str, pa.Array], joined: pa.ChunkedArray
) -> tuple[dict[str, pa.Array], str]:
    """Return labels with null for negative numbers, which are no label, and say so."""
    if not pa.types.is_integer(joined.type) and not pa.types.is_floating(joined.type):
        return values, ""
    found = set(joined.unique().to_pylist()) - {None}
    if min(found, default=0) >= 0 or found == {-1, 1}:
        return values, ""
    made = {
        split: pc.if_else(pc.less(part, 0), pa.scalar(None, part.type), part)
        for split, part in values.items()
    }
    return made, f"; {NEGATIVE}"


def _is_one_hot(values: pa.Array | pa.ChunkedArray, width: int) -> bool:
    """Whether numbers are 0 and 1, of which every row has exactly one 1; a row of NaN has no label."""
    if pa.types.is_string(values.type):
        return False
    rows = _numbers(values).reshape(-1, width)
    rows = rows[np.isfinite(rows).all(1)]
    return bool(len(rows) and np.isin(rows, (0, 1)).all() and (rows.sum(1) == 1).all())


def _places(values: pa.Array, width: int) -> pa.Array:
    rows = _numbers(values).reshape(-1, width)
    return pa.array(np.nan_to_num(rows).argmax(1), mask=~np.isfinite(rows).all(1))


def _known(values: pa.Array | pa.ChunkedArray) -> np.ndarray:
    return np.isfinite(_numbers(values))


def _numbers(values: pa.Array | pa.ChunkedArray) -> np.ndarray:
    """Return numbers with NaN where there is none."""
    try:
        made = values.cast(pa.float64())
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise BadDataError(
            f"y holds no numbers: {error}.", remedy="one type of labels at all steps: names, or numbers"
        ) from None
    return np.asarray(made.to_numpy(zero_copy_only=False) if isinstance(made, pa.Array) else made.to_numpy())


def _lists(values: pa.Array, steps: int) -> pa.ChunkedArray:
    offsets = pa.array(np.arange(0, len(values) + 1, steps), pa.int32())
    return pa.chunked_array([pa.ListArray.from_arrays(offsets, values)])
