"""Objects in memory as Arrow tables and NumPy arrays: data frames, tensors, sparse matrices, lists."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pyarrow as pa

from pellucid.data import picture_column
from pellucid.errors import BadDataError

MOST_DENSE = 4 * 2**30
"""Bytes that a sparse matrix may take as an array."""


def frame(given: Any) -> pa.Table | None:
    """Return a pandas, polars or Arrow table as an Arrow table; None for anything else.

    Raises:
        BadDataError: a column holds objects of mixed types.
    """
    if isinstance(given, pa.Table):
        return given
    library = type(given).__module__.partition(".")[0]
    if library == "polars" and hasattr(given, "to_arrow") and hasattr(given, "columns"):
        return given.to_arrow()
    if library != "pandas" or not hasattr(given, "columns"):
        return None
    named = given.rename(columns=str)
    with refusing_mixed("A column of the data frame"):
        return pa.Table.from_pandas(named, preserve_index=False).replace_schema_metadata(None)


@contextmanager
def refusing_mixed(what: str) -> Iterator[None]:
    """Refuse values that Arrow cannot hold in one column, since they are of several types.

    Raises:
        BadDataError: they are; names them by `what`.
    """
    try:
        yield
    except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError) as error:
        raise BadDataError(f"{what} mixes types: {error}.", remedy="give it one dtype") from None


def dense(given: Any) -> Any:
    """Return a sparse matrix of SciPy as an array; anything else as it is.

    Raises:
        BadDataError: the array would take more than `MOST_DENSE` bytes.
    """
    if not (hasattr(given, "tocsr") and hasattr(given, "toarray")):
        return given
    size = int(np.prod(given.shape)) * given.dtype.itemsize
    if size > MOST_DENSE:
        raise BadDataError(
            f"A sparse matrix of shape {given.shape} takes {size / 2**30:.1f} GiB as an array: more than "
            f"{MOST_DENSE / 2**30:.0f} GiB.",
            remedy="fewer columns, e.g. by sklearn.feature_selection.SelectKBest or TruncatedSVD",
        )
    return given.toarray()


def of_tensor(given: Any) -> Any:
    """Return a tensor as an array, also a sparse one; NumPy has no bfloat16."""
    if not hasattr(given, "detach"):
        return given
    held = given.detach().cpu()
    held = held if str(held.layout) == "torch.strided" else held.to_dense()
    return (held.float() if str(held.dtype) == "torch.bfloat16" else held).numpy()


def as_table(given: Any) -> Any:
    """Return texts, pictures and their paths as a table of one column, and rows of named fields as one of
    several; anything else as it is."""
    if getattr(getattr(given, "dtype", None), "names", None):
        return pa.table({name: np.ascontiguousarray(given[name].reshape(-1)) for name in given.dtype.names})
    kind = getattr(getattr(given, "dtype", None), "kind", "")
    values = given.tolist() if kind in ("O", "U") and given.ndim == 1 else given
    values = values.tolist() if hasattr(values, "tolist") and kind == "O" else values
    if not isinstance(values, (list, tuple)) or not values:
        return given
    found = picture_column.column_of(values)
    if found is not None:
        return pa.table({"image": found})
    if all(isinstance(value, str) for value in values):
        return pa.table({"text": pa.array(values, pa.large_string())})
    return given


def numbers(given: Any, name: str = "X") -> np.ndarray:
    """Return an array, a tensor, a series or lists as a NumPy array of numbers.

    Raises:
        BadDataError: there are no rows, or values are not finite numbers; names the first.
    """
    given = of_tensor(given)
    try:
        array = given if isinstance(given, np.ma.MaskedArray) else np.asarray(given)
    except ValueError as error:
        raise BadDataError(
            f"{name} is not an array: {error}.", remedy="give all rows the same shape"
        ) from None
    if isinstance(array, np.ma.MaskedArray) and array.mask.any():
        array = np.ma.filled(array.astype(np.float64), np.nan)
    if array.dtype == object:
        array = _of_objects(array)
    if array.dtype == object:
        raise BadDataError(
            f"{name} has dtype object: expected numbers.",
            remedy="convert it, or pass a data frame with typed columns",
        )
    if array.dtype.kind not in "buif":
        raise BadDataError(f"{name} has dtype {array.dtype}: expected numbers.")
    if array.ndim == 0 or not array.size:
        raise BadDataError(f"{name} has shape {array.shape}: expected at least 1 row with at least 1 value.")
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        where = tuple(int(part) for part in np.argwhere(~np.isfinite(array))[0])
        count = int((~np.isfinite(array)).sum())
        raise BadDataError(
            f"{name} holds {count:,} NaN or infinite values, the first {array[where]} in row {where[0] + 1:,}"
            + (f", position {where[1:]}." if len(where) > 1 else "."),
            remedy="fill or remove them; a data frame may hold missing values",
        )
    return array


def _of_objects(array: np.ndarray) -> np.ndarray:
    """Return objects that are all numbers, or arrays of numbers, as numbers; others as they are."""
    if any(isinstance(value, str) for value in array.flat):
        return array
    try:
        return np.array(array.tolist(), dtype=np.float64 if array.ndim > 1 else None)
    except (TypeError, ValueError):
        return array
