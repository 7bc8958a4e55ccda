"""Prediction inputs as a table with the columns that a model was trained on."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from PIL import Image

from pellucid.config import CsvConfig
from pellucid.data import images, kinds, schema
from pellucid.data.build_dataset import Locate
from pellucid.data.dataset import Column
from pellucid.data.kinds.kind import Kind
from pellucid.data.kinds.tensor import batched
from pellucid.data.sources import arrays, tables, textfiles
from pellucid.errors import BadDataError, DataNotFoundError, ModelError

INPUTS = ("x", "images", "data")
"""The usual names of the inputs among the arrays of a file, in lower case."""


def table_from(
    source: Any,
    columns: Sequence[Column],
    input_shape: tuple[int, ...],
    written: Mapping[str, Any] | None = None,
) -> pa.Table:
    """Turn `source` into a table with `columns`; see `Preprocess.table_from`."""
    only = _only_kind(columns)
    if only is not None and only.takes_text and (texts := _texts(source)) is not None:
        return pa.table({columns[0].name: pa.array([_valid(text) for text in texts], pa.large_string())})
    if isinstance(source, (str, os.PathLike)):
        return _from_path(Path(source), columns, input_shape, written or {})
    if isinstance(source, Image.Image):
        source = np.asarray(images.convert(source, "RGB" if input_shape[0] == 3 else "L"))
        return _from_array(source, columns, input_shape)
    if isinstance(source, Mapping):
        return _typed(_from_mapping(source), columns, None, "the input")
    frame = arrays.frame(source)
    if frame is not None:
        return _typed(frame, columns, None, "the data frame")
    return _from_array(arrays.numbers(source, "the input"), columns, input_shape)


def check_type(column: Column, found: pa.DataType, input_shape: tuple[int, ...]) -> None:
    """Raise for a column of another type than in training.

    Raises:
        ModelError: names the column, the expected and the received type.
    """
    if not kinds.find(column.kind).fits(found):
        raise ModelError(f"Column {column.name!r}: expected {column.kind}, received {found}.")
    if isinstance(found, pa.FixedShapeTensorType) and len(input_shape) > 1:
        received = tuple(found.shape)
        fits = {input_shape, input_shape[1:] if input_shape[0] == 1 else input_shape}
        if received not in fits and received != (*input_shape[1:], input_shape[0]):
            raise ModelError(
                f"Column {column.name!r}: expected arrays of shape {input_shape}, received {received}."
            )


def _only_kind(columns: Sequence[Column]) -> Kind | None:
    """Return the kind of the only column; None if there are several."""
    return kinds.find(columns[0].kind) if len(columns) == 1 else None


# ---- texts -----


def _texts(source: Any) -> list[str] | None:
    """Return `source` as texts; None for a table, or the path of one."""
    if isinstance(source, np.ndarray) and source.dtype.kind in "UO":
        source = source.tolist()
    if isinstance(source, (list, tuple)) and source and all(isinstance(text, str) for text in source):
        return list(source)
    path = _file(source)
    if path is not None and textfiles.is_text(path):
        return [textfiles.read_text(path)[0]]
    return [source] if isinstance(source, str) and path is None else None


def _file(source: Any) -> Path | None:
    """Return `source` as a path, if it names a file that exists, or a table that does not."""
    if isinstance(source, os.PathLike):
        return Path(source)
    if not isinstance(source, str):
        return None
    missing = len(source.split()) == 1 and tables.is_table_file(Path(source))
    return Path(source) if missing or os.path.isfile(source) else None


def _valid(text: str) -> str:
    """Return a text that is valid UTF-8: surrogates become question marks."""
    return text.encode("utf-8", "replace").decode()


# ---- files ---------------------------------------------------------------------------------------


def _from_path(
    path: Path, columns: Sequence[Column], input_shape: tuple[int, ...], written: Mapping[str, Any]
) -> pa.Table:
    if not path.exists():
        raise DataNotFoundError(f"There is no file or folder {path} to predict.")
    if path.is_file() and path.suffix.lower() in (".npy", ".npz"):
        return _from_array(arrays.numbers(_load(path), path.name), columns, input_shape)
    if path.is_file() and tables.is_table_file(path):
        return read_file(path, columns, written)
    only = _only_kind(columns)
    values = only.from_path(path) if only is not None and only.from_path is not None else None
    if values is not None:
        return pa.table({columns[0].name: values})
    if path.is_file() and not images.is_image_file(path):
        raise ModelError(
            f"{path} cannot be predicted: expected an image, .csv, .parquet, .npy or .npz, "
            f"not {path.suffix!r}."
        )
    raise ModelError(
        f"{path} holds images: expected the columns {_names(columns)}.", remedy="pass a CSV file"
    )


def read_file(path: Path, columns: Sequence[Column], written: Mapping[str, Any]) -> pa.Table:
    """Read the columns of a table file as the kinds they had in training.

    Args:
        path: a file of a table.
        columns: to read.
        written: how files of text are written, as in `data.csv`.

    Raises:
        ModelError: a column is missing.
        BadDataError: a cell does not fit; names file, row and column.
    """
    raw = tables.raw_tables(path, csv=CsvConfig.model_validate(dict(written)))
    return _typed(raw.splits["train"], columns, path.parent, path.name, raw.locate["train"])


def _load(path: Path) -> np.ndarray:
    try:
        loaded = np.load(path, allow_pickle=False)
        if isinstance(loaded, np.ndarray):
            return loaded
        inputs = [name for name in loaded if name.lower() in INPUTS] or list(loaded)
        if len(inputs) == 1:
            return loaded[inputs[0]]
    except (ValueError, OSError, EOFError, MemoryError, zipfile.BadZipFile) as error:
        raise BadDataError(f"{path} is not a NumPy array that can be read: {error}.") from None
    raise BadDataError(
        f"{path} holds the arrays {', '.join(map(repr, loaded))}: expected one to predict.",
        remedy=f"call it {INPUTS[0]!r}, or save only that one: np.save('inputs.npy', X)",
    )


# ---- objects in memory ---------------------------------------------------------------------------


def _from_array(array: np.ndarray, columns: Sequence[Column], input_shape: tuple[int, ...]) -> pa.Table:
    """Make a table of one example or of several; the last dimensions are those of the model's input."""
    only = _only_kind(columns)
    if only is not None and only.from_array is not None:
        return pa.table({columns[0].name: only.from_array(array, input_shape)})
    if not all(kinds.find(column.kind).numeric for column in columns):
        raise ModelError(
            f"An array cannot stand for the columns {_names(columns)}: they are not all numbers.",
            remedy="pass a data frame, a CSV file or a mapping of names to values",
        )
    rows = batched(array, (len(columns),))
    table = pa.table(
        [pa.array(np.ascontiguousarray(rows[:, i])) for i in range(len(columns))],
        names=[c.name for c in columns],
    )
    return _typed(table, columns, None, "the array")


def _from_mapping(source: Mapping[str, Any]) -> pa.Table:
    """Make a table of one row or several from names and values."""
    lists = {
        str(name): value if isinstance(value, (list, tuple, np.ndarray)) else [value]
        for name, value in source.items()
    }
    try:
        return pa.table({name: _mapped(name, values) for name, values in lists.items()})
    except (pa.ArrowException, ValueError) as error:
        raise ModelError(f"The input is not a table of names and values: {error}.") from None


def _mapped(name: str, values: Any) -> pa.Array:
    try:
        return pa.array(values, from_pandas=True)
    except (pa.ArrowException, ValueError, TypeError) as error:
        raise ModelError(
            f"Column {name!r} of the input mixes types: {error}.", remedy="give its values one type"
        ) from None


# ---- types ---------------------------------------------------------------------------------------


def _typed(
    raw: pa.Table,
    columns: Sequence[Column],
    folder: Path | None,
    origin: str,
    locate: Locate | None = None,
) -> pa.Table:
    """Read the required columns as the kinds they had in training."""
    lacking = [column for column in columns if column.name not in raw.column_names]
    if lacking:
        raise ModelError(
            f"{origin} has no column {_names(lacking)}: expected {_names(columns)}, "
            f"received {', '.join(map(repr, raw.column_names)) or 'none'}."
        )
    if not raw.num_rows:
        raise BadDataError(f"{origin} has no rows: expected at least 1.")
    places = locate or (lambda rows: [f"{origin} row {row + 1:,}" for row in rows])
    return pa.table({column.name: _read(raw[column.name], column, folder, places) for column in columns})


def _read(raw: pa.ChunkedArray, column: Column, folder: Path | None, places: Locate) -> pa.ChunkedArray:
    if pa.types.is_null(raw.type):
        empty = kinds.find(column.kind).empty
        return raw.cast(empty) if empty is not None else raw
    reading = schema.read_column(column.name, raw, column.kind, folder or Path(), form=column.form)
    if reading.bad is not None and reading.bad.any():
        row = int(np.flatnonzero(reading.bad)[0])
        more = f": {reading.why[row]}" if row in reading.why else ""
        raise BadDataError(
            f"{places([row])[0]}, column {column.name!r}: expected {reading.expected}, "
            f"received {raw[row].as_py()!r:.60}{more}.",
            remedy="write it as in training, or leave the cell empty if it has no value",
        )
    return reading.values


def _names(columns: Sequence[Column]) -> str:
    return ", ".join(repr(column.name) for column in columns)
