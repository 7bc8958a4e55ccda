"""Prediction inputs as rows of the columns that a model was trained on, each with its name."""

from __future__ import annotations

import os
import re
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from PIL import Image

from pellucid.config import CsvConfig
from pellucid.data import images, kinds, prediction_objects
from pellucid.data.array_pictures import as_arrays, pixels_of, takes_pictures
from pellucid.data.dataset import Column, Dataset
from pellucid.data.image_files import count_files, images_below
from pellucid.data.input_rows import InputRows, joined, numbered, within, without
from pellucid.data.kinds import image
from pellucid.data.kinds.kind import LISTED
from pellucid.data.kinds.tensor import batched
from pellucid.data.prediction_columns import Wanted, check_type, some_of, typed
from pellucid.data.sources import arrays, tables, textfiles
from pellucid.data.sources.raw_files import printable
from pellucid.errors import BadDataError, DataNotFoundError, ModelError, UsageError

__all__ = ["Wanted", "check_type", "read", "read_file", "table_from"]

INPUTS = ("x", "images", "data")
"""The usual names of the inputs among the arrays of a file, in lower case."""
ADDRESS = re.compile(r"^(https?|ftp|s3|gs)://\S+$", re.IGNORECASE)


def table_from(
    source: Any,
    columns: Sequence[Column],
    input_shape: tuple[int, ...],
    written: Mapping[str, Any] | None = None,
) -> pa.Table:
    """Turn `source` into a table with `columns`; see `Preprocess.table_from`."""
    return read(source, Wanted(columns, input_shape, written or {})).table


def read(source: Any, wanted: Wanted) -> InputRows:
    """Read prediction inputs; see `Preprocess.read`."""
    if isinstance(source, InputRows):
        return source
    if isinstance(source, Dataset):
        return typed(source.splits.get("test", source.splits["train"]), wanted, None, source.name)
    if prediction_objects.is_pandas(source, "Series"):
        return _from_series(source, wanted)
    if prediction_objects.is_pandas(source, "DataFrame"):
        return _with_index(source, typed(arrays.frame(source), wanted, None, "the data frame"))
    if isinstance(source, tuple) and _is_labelled(source):
        raise UsageError(
            "(X, y) was passed, and predictions are made for X.",
            remedy="run.predict(X), or run.evaluate((X, y)) to compare them with y",
        )
    source, kind = prediction_objects.plain(wanted.scaled(source)), wanted.kind
    if kind is not None and kind.takes_text and (rows := _texts(source, wanted)) is not None:
        return rows
    if isinstance(source, (str, os.PathLike)):
        return _from_path(Path(source), wanted)
    if isinstance(source, Image.Image):
        return _from_pictures([source], wanted)
    if isinstance(source, Mapping):
        return typed(prediction_objects.table_of_mapping(source), wanted, None, "the input")
    if isinstance(source, pa.Table):
        return typed(source, wanted, None, "the table")
    if isinstance(source, (list, tuple)) and (rows := _from_list(list(source), wanted)) is not None:
        return rows
    return numbered(_from_array(arrays.numbers(source, "the input"), wanted))


def _is_labelled(source: tuple[Any, ...]) -> bool:
    """Whether a pair holds rows and one target for each."""
    if len(source) != 2 or not all(hasattr(part, "__len__") and not isinstance(part, str) for part in source):
        return False
    shapes: list[tuple[int, ...]] = [tuple(getattr(part, "shape", ())) for part in source]
    rows, targets = shapes
    return len(rows) > 1 == len(targets) and rows[0] == targets[0]


# ---- texts ---------------------------------------------------------------------------------------


def _texts(source: Any, wanted: Wanted) -> InputRows | None:
    """Read texts; None for a table, or the path of one."""
    name = wanted.columns[0].name
    if isinstance(source, (list, tuple)) and source and all(_is_text(text) for text in source):
        return numbered(_text_table(name, list(source)))
    path = _file(source)
    if path is not None and textfiles.is_text(path):
        return InputRows(_text_table(name, [textfiles.read_text(path)[0]]), ({"file": path.name},))
    return numbered(_text_table(name, [source])) if isinstance(source, str) and path is None else None


def _is_text(value: Any) -> bool:
    return isinstance(value, str) or value is None or value != value


def _text_table(name: str, texts: Sequence[Any]) -> pa.Table:
    valid = [_valid(text) if isinstance(text, str) else None for text in texts]
    return pa.table({name: pa.array(valid, pa.large_string())})


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


def _from_path(path: Path, wanted: Wanted) -> InputRows:
    if not path.exists():
        if ADDRESS.match(str(path).replace(":/", "://", 1)):
            raise DataNotFoundError(
                f"{str(path).replace(':/', '://', 1)} is an address: predictions are made for files here.",
                remedy="download it, and name the file",
            )
        if " " in str(path):
            raise DataNotFoundError(
                f"There is no file or folder {str(path)!r:.80}, and one text is not all that this run reads: "
                f"expected {wanted.words}.",
                remedy="a table with these columns, such as a CSV file",
            )
        raise DataNotFoundError(f"There is no file or folder {path} to predict.")
    if path.is_file() and path.suffix.lower() in (".npy", ".npz"):
        return numbered(_from_array(arrays.numbers(_load(path), path.name), wanted))
    if path.is_file() and tables.is_table_file(path):
        return read_rows(path, wanted)
    kind = wanted.kind
    found = kind.from_path(path) if kind is not None and kind.from_path is not None else None
    if found is not None:
        return _from_files(path, found, wanted)
    if _is_pixels(wanted) and (path.is_file() or any(images_below(path))):
        files = image.from_path(path)
        if files is not None:
            rows = _from_files(path, files, wanted)
            return as_arrays(rows, wanted.names[0], wanted.shape, wanted.from_bytes)
    if path.is_dir():
        return _from_folder(path, wanted)
    if not images.is_image_file(path):
        raise ModelError(
            f"{path} cannot be predicted: this run reads {wanted.words}, from an image, .csv, .xlsx, "
            f".parquet, .jsonl, .npy or .npz, not {path.suffix!r}."
        )
    raise ModelError(f"{path} holds images: expected {wanted.words}.", remedy="pass a CSV file")


def _is_pixels(wanted: Wanted) -> bool:
    """Whether the model reads arrays that images can be brought to."""
    return wanted.kind is not None and wanted.kind.name == "tensor" and takes_pictures(wanted.shape)


def _from_files(path: Path, found: Any, wanted: Wanted) -> InputRows:
    """Name rows that are files, below a folder by their path in it."""
    if found.faults and not wanted.skip_bad:
        bad = [f"{found.files[row]}: expected an image, but {why}" for row, why in found.faults.items()]
        raise BadDataError(
            "\n".join(bad[:LISTED]), remedy="replace or remove it, or leave such files out with skip_bad"
        )
    folder = path if path.is_dir() else None
    named = tuple(
        {"file": printable(file if folder is None else file.relative_to(folder).as_posix())}
        for file in found.files
    )
    bad = np.array([row in found.faults for row in range(len(found.files))], bool)
    rows = InputRows(pa.table({wanted.columns[0].name: found.values}), named)
    if folder is not None and (others := count_files(folder) - len(found.files)):
        rows = replace(rows, notes=(f"{others:,} other files in {folder} are not read",))
    return some_of(without(rows, bad, found.faults), str(path))


def _from_folder(folder: Path, wanted: Wanted) -> InputRows:
    """Read every table of a folder; for a model of texts every text."""
    files = sorted(tables.files_below(folder), key=lambda file: images.natural(str(file)))
    if wanted.kind is not None and wanted.kind.takes_text:
        texts = sorted(textfiles.files_below(folder), key=lambda file: images.natural(str(file)))
        files = texts or files
    if not files and next(images_below(folder), None) is not None:
        raise ModelError(f"{folder} holds images: expected {wanted.words}.", remedy="pass a CSV file")
    if not files:
        raise DataNotFoundError(f"{folder} holds nothing to predict: this run reads {wanted.words}.")
    return joined([within(file.relative_to(folder), read(file, wanted)) for file in files])


def read_file(path: Path, columns: Sequence[Column], written: Mapping[str, Any]) -> pa.Table:
    """Read the columns of a table file; see `read_rows`."""
    return read_rows(path, Wanted(columns, (), written)).table


def read_rows(path: Path, wanted: Wanted) -> InputRows:
    """Read the rows of a table file as the kinds its columns had in training.

    Raises:
        ModelError: a column is missing.
        BadDataError: a cell does not fit; names file, row and column.
    """
    csv = CsvConfig.model_validate(dict(wanted.written))
    raw = tables.raw_tables(path, csv=csv, skip_bad=wanted.skip_bad)
    rows = typed(raw.splits["train"], wanted, path.parent, path.name, raw.locate["train"])
    if raw.skipped:
        rows = _renumbered(rows, raw.skipped, raw.locate["train"](range(len(raw.splits["train"]))))
    return replace(rows, notes=(*raw.notes, *rows.notes))


def _renumbered(rows: InputRows, skipped: Sequence[str], places: Sequence[str]) -> InputRows:
    """Count lines that were left out when the file was read among the rows."""
    out = sorted(int(found[1].replace(",", "")) for line in skipped if (found := LINE.search(line)))
    lines = [int(found[1].replace(",", "")) if (found := LINE.search(place)) else 0 for place in places]

    def moved(name: Mapping[str, Any]) -> dict[str, Any]:
        before = sum(line < lines[name["row"] - 1] for line in out)
        return {**name, "row": name["row"] + before}

    reasons = tuple({"row": None, "reason": line} for line in skipped)
    return replace(rows, names=tuple(map(moved, rows.names)), left_out=(*reasons, *map(moved, rows.left_out)))


LINE = re.compile(r" line ([\d,]+)")


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


def _from_list(source: list[Any], wanted: Wanted) -> InputRows | None:
    """Read a list of paths, images, mappings or rows; None where it is an array of numbers."""
    if not source:
        raise BadDataError("The input has no rows: expected at least 1.")
    items = [prediction_objects.plain(item) if not _is_pandas(item) else item for item in source]
    if all(isinstance(item, (str, os.PathLike)) for item in items):
        return joined([within(Path(item), read(Path(item), wanted)) for item in items])
    if all(isinstance(item, Mapping) for item in items):
        return typed(prediction_objects.table_of_rows(items), wanted, None, "the list")
    if all(prediction_objects.is_pandas(item, "Series") for item in items):
        return typed(
            prediction_objects.table_of_rows([dict(item) for item in items]), wanted, None, "the list"
        )
    if all(isinstance(item, Image.Image) for item in items):
        return _from_pictures(items, wanted)
    if all(isinstance(item, np.ndarray) for item in items) and wanted.kind is not None:
        if len({item.shape for item in items}) > 1:
            return numbered(pa.concat_tables([_from_array(wanted.scaled(item), wanted) for item in items]))
        return None
    if all(kinds.find(column.kind).numeric for column in wanted.columns) or wanted.kind is not None:
        return None
    table = prediction_objects.table_by_position(items, wanted.names)
    return typed(table, wanted, None, "the list") if table is not None else None


def _is_pandas(item: Any) -> bool:
    return prediction_objects.is_pandas(item, "Series") or prediction_objects.is_pandas(item, "DataFrame")


def _from_pictures(pictures: Sequence[Image.Image], wanted: Wanted) -> InputRows:
    if _is_pixels(wanted):
        made = np.stack([pixels_of(picture, wanted.shape) for picture in pictures])
        rows = numbered(_from_array(wanted.from_bytes(made), wanted))
    else:
        pixels = [_plain_picture(wanted.scaled(picture), wanted) for picture in pictures]
        rows = numbered(pa.concat_tables([_from_array(array, wanted) for array in pixels]))
    files = [getattr(picture, "filename", "") for picture in pictures]
    return replace(rows, names=tuple({"file": str(file)} for file in files)) if all(files) else rows


def _plain_picture(picture: Any, wanted: Wanted) -> np.ndarray:
    mode = "RGB" if wanted.shape[0] == 3 else "L"
    return np.asarray(images.convert(picture, mode)) if isinstance(picture, Image.Image) else picture


def _from_series(series: Any, wanted: Wanted) -> InputRows:
    """Read a series as one row, where its index names the columns, or as a column."""
    row = prediction_objects.row_of(series, wanted.names)
    if row is not None:
        return typed(prediction_objects.table_of_rows([row]), wanted, None, "the series")
    if wanted.kind is not None and wanted.kind.takes_text:
        return _with_index(series, numbered(_text_table(wanted.names[0], series.tolist())))
    if len(wanted.columns) == 1 and wanted.kind is not None and wanted.kind.from_array is None:
        named = pa.table({wanted.names[0]: prediction_objects.column(wanted.names[0], series)})
        return _with_index(series, typed(named, wanted, None, "the series"))
    return _with_index(series, read(series.tolist(), wanted))


def _with_index(given: Any, rows: InputRows) -> InputRows:
    """Add the index of a pandas object to the names of its rows, where it is more than their numbers."""
    index = prediction_objects.index_of(given)
    if index is None or len(index[1]) != len(rows):
        return rows
    name, values = index
    named = tuple({**old, name: value} for old, value in zip(rows.names, values, strict=True))
    return replace(rows, names=named)


def _from_array(array: np.ndarray, wanted: Wanted) -> pa.Table:
    """Make a table of one example or of several; the last dimensions are those of the model's input."""
    columns, kind = wanted.columns, wanted.kind
    if kind is not None and kind.from_array is not None:
        return pa.table({columns[0].name: kind.from_array(array, wanted.shape)})
    if not all(kinds.find(column.kind).numeric for column in columns):
        raise ModelError(
            f"An array cannot stand for {wanted.words}: they are not all numbers.",
            remedy="pass a data frame, a CSV file or a mapping of names to values",
        )
    if len(columns) == 1 and array.ndim < 2:
        array = array.reshape(-1, 1)
    rows = batched(array, (len(columns),))
    table = pa.table(
        [pa.array(np.ascontiguousarray(rows[:, i])) for i in range(len(columns))],
        names=[c.name for c in columns],
    )
    return typed(table, wanted, None, "the array").table
