"""Objects in memory, given to `predict`, as plain arrays, lists, mappings and Arrow tables."""

from __future__ import annotations

import io
import os
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from PIL import Image, UnidentifiedImageError

from pellucid.data.sources import arrays
from pellucid.errors import BadDataError, ModelError


def plain(source: Any) -> Any:
    """Return an object as an array, a list, a mapping, an Arrow table, an image, or as it is.

    Tensors and sparse matrices become arrays; generators, sets and columns of a table become lists; encoded
    images become opened ones.
    """
    if hasattr(source, "detach"):
        return arrays.of_tensor(source)
    if hasattr(source, "tocsr") and hasattr(source, "toarray"):
        return np.asarray(source.toarray())
    if isinstance(source, (bytes, bytearray, memoryview)):
        return _opened(bytes(source))
    if isinstance(source, np.ndarray):
        return _plain_array(source)
    if hasattr(source, "collect") and hasattr(source, "lazy"):  # a LazyFrame of polars
        source = source.collect()
    if _is_column(source) or is_pandas(source, "Series"):
        return source.to_list() if hasattr(source, "to_list") else source.to_pylist()
    if isinstance(source, (str, os.PathLike, Mapping, list, tuple, Image.Image)):
        return source
    table = table_of(source)
    if table is not None:
        return table
    if isinstance(source, Iterable) and not hasattr(source, "__array__"):
        return list(source)
    return source


def _plain_array(array: np.ndarray) -> Any:
    """Rows of named fields become a table, arrays of texts or objects lists."""
    if array.dtype.names:
        flat = array.reshape(-1)
        return pa.table({name: np.ascontiguousarray(flat[name]) for name in array.dtype.names})
    return array.tolist() if array.dtype.kind in "OUS" else np.asarray(array)


def _is_column(source: Any) -> bool:
    """Whether this is a column of a table, without names of its own."""
    if isinstance(source, (pa.Array, pa.ChunkedArray)):
        return True
    library = type(source).__module__.partition(".")[0]
    return library == "polars" and hasattr(source, "to_list") and not hasattr(source, "columns")


def table_of(source: Any) -> pa.Table | None:
    """Return a table of any library as an Arrow table; None for anything else."""
    found = arrays.frame(source)
    if found is not None:
        return found
    held = getattr(source, "data", None)
    if hasattr(source, "column_names") and isinstance(getattr(held, "table", None), pa.Table):
        return source.with_format("arrow")[:]  # a dataset of Hugging Face, with its selected rows
    return pa.table(source) if hasattr(source, "__arrow_c_stream__") else None


def _opened(data: bytes) -> Image.Image:
    try:
        return Image.open(io.BytesIO(data))
    except UnidentifiedImageError:
        raise BadDataError(
            f"Bytes are read as the content of an image file, and these are none: {data[:8]!r}."
        ) from None


# ---- pandas --------------------------------------------------------------------------------------


def is_pandas(source: Any, name: str) -> bool:
    """Whether this is a `Series` or `DataFrame` of pandas."""
    return type(source).__module__.partition(".")[0] == "pandas" and type(source).__name__ == name


def index_of(frame: Any) -> tuple[str, list[Any]] | None:
    """Return the name and the values of an index that says more than the number of a row; None for others."""
    index = getattr(frame, "index", None)
    if index is None or callable(index):
        return None
    values = [value if isinstance(value, (str, int, float)) else str(value) for value in index.tolist()]
    if values == list(range(len(values))):
        return None
    return str(index.name or "index"), values


def row_of(series: Any, names: Sequence[str]) -> dict[str, Any] | None:
    """Return a series whose index names columns as one row; None where it is a column."""
    labels = [str(label) for label in series.index]
    if not names or not set(names) <= set(labels):
        return None
    return dict(
        zip(labels, (value.item() if hasattr(value, "item") else value for value in series), strict=True)
    )


# ---- rows ----------------------------------------------------------------------------------------


def table_of_rows(rows: Sequence[Mapping[str, Any]]) -> pa.Table:
    """Make a table of one mapping of names to values for each row; what a row lacks is missing."""
    names = list(dict.fromkeys(str(name) for row in rows for name in row))
    named = [{str(name): value for name, value in row.items()} for row in rows]
    return pa.table({name: column(name, [row.get(name) for row in named]) for name in names})


def table_by_position(rows: Sequence[Any], names: Sequence[str]) -> pa.Table | None:
    """Make a table of lists of cells in the order of the columns; None where they have another length."""
    if isinstance(rows[0], (str, Mapping)) or not isinstance(rows[0], Sequence):
        rows = [rows]
    if any(isinstance(row, str) or not isinstance(row, Sequence) or len(row) != len(names) for row in rows):
        return None
    return pa.table({name: column(name, [row[place] for row in rows]) for place, name in enumerate(names)})


def table_of_mapping(source: Mapping[str, Any]) -> pa.Table:
    """Make a table of one row or several from names and values."""
    columns = {str(name): plain(value) for name, value in source.items()}
    lists = {
        name: value if isinstance(value, (list, tuple, np.ndarray)) else [value]
        for name, value in columns.items()
    }
    try:
        return pa.table({name: column(name, values) for name, values in lists.items()})
    except (pa.ArrowException, ValueError) as error:
        raise ModelError(f"The input is not a table of names and values: {error}.") from None


def column(name: str, values: Any) -> pa.Array:
    """Return values as an Arrow array.

    Raises:
        ModelError: they are of several types.
    """
    try:
        if isinstance(values, list):
            values = [value.item() if isinstance(value, np.generic) else value for value in values]
        return pa.array(values, from_pandas=True)
    except (pa.ArrowException, ValueError, TypeError) as error:
        raise ModelError(
            f"Column {name!r} of the input mixes types: {error}.", remedy="give its values one type"
        ) from None
