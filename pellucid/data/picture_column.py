"""Pictures in memory, and paths of picture files, as a column of images."""

from __future__ import annotations

import io
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
from PIL import Image

from pellucid.data import images
from pellucid.errors import BadDataError

SAMPLED = 20
"""Cells of a column of texts that must be picture files for all to be read as such."""


def column_of(values: Sequence[Any]) -> pa.Array | None:
    """Return PIL images of several sizes, or paths of picture files, as a column; None for anything else.

    Raises:
        BadDataError: a file is missing or damaged; names it.
    """
    if all(isinstance(value, Image.Image) for value in values):
        return _held(values) if len({(value.size, value.mode) for value in values}) > 1 else None
    return _files(values) if _are_files(values) else None


def with_pictures(table: pa.Table) -> pa.Table:
    """Return a table whose columns of paths of picture files are columns of images.

    Raises:
        BadDataError: a file is missing or damaged; names it.
    """
    for place, name in enumerate(table.column_names):
        if pa.types.is_string(kind := table[name].type) or pa.types.is_large_string(kind):
            values = table[name].to_pylist()
            if values and _are_files(values):
                table = table.set_column(place, name, _files(values))
    return table


def _are_files(values: Sequence[Any]) -> bool:
    """Whether values are paths, the first of which are those of picture files."""
    if not all(isinstance(value, (str, os.PathLike)) for value in values):
        return False
    return all(images.is_image_file(path) and Path(path).is_file() for path in values[:SAMPLED])


def _files(paths: Sequence[Any]) -> pa.Array:
    absolute = [str(Path(path).absolute()) for path in paths]
    checked = images.spread(images.check_file, absolute)
    for row, (path, (_, fault)) in enumerate(zip(absolute, checked, strict=True)):
        if fault:
            raise BadDataError(f"{path} in row {row + 1:,}: {fault}.", remedy="leave it out")
    return images.from_files(absolute, [digest for digest, _ in checked])


def _held(pictures: Sequence[Image.Image]) -> pa.Array:
    encoded = []
    for picture in pictures:
        buffer = io.BytesIO()
        picture.save(buffer, "PNG")
        encoded.append(buffer.getvalue())
    return pa.StructArray.from_arrays(
        [pa.array(encoded, pa.binary()), pa.nulls(len(encoded), pa.string())], names=["bytes", "path"]
    )
