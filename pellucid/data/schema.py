"""What kind of thing is in a column, and its values as that kind.

`read_column` looks at the values themselves (and a little at the name), says what it decided and why,
and marks the cells that do not fit. Nothing is refused here: that is `build_dataset`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from pellucid.config import ColumnKind
from pellucid.data import hashing, images, parse
from pellucid.data.compute import pc

if TYPE_CHECKING:
    from torch import Tensor

MOSTLY = 0.9
"""A column of text is meant as numbers where at least this share of its cells are."""

FEW = 20
"""Up to this many different values are a category, whatever the number of rows."""

MANY = 1000
"""More different values than this are never classes, and never a category by themselves."""

_ID_NAME = re.compile(r"(^|[_\W])(id|idx|index|uuid|guid|key|nr|row)$|[a-z](Id|ID)$|^unnamed_\d+$", re.ASCII)
_EXPECTED = {
    "number": "a finite number",
    "boolean": "true or false",
    "date": "a date",
    "image": "an image",
    "tensor": "numbers of one shape",
    "category": "a value",
    "text": "text",
}


@dataclass(frozen=True)
class Reading:
    """A column that has been read as a kind.

    Attributes:
        kind: None where nothing can be learned from it.
        values: the values as that kind, missing where a cell did not fit.
        reason: why this kind, in a few words.
        bad: (N,) True where a cell did not fit; None where all did.
        why: what is wrong with single bad cells, where more can be said than what was expected.
    """

    kind: ColumnKind | None
    values: pa.ChunkedArray
    reason: str
    bad: np.ndarray | None = None
    why: Mapping[int, str] = field(default_factory=dict)

    @property
    def expected(self) -> str:
        return _EXPECTED[self.kind or "text"]


def read_column(
    name: str, raw: pa.ChunkedArray, kind: ColumnKind | None = None, folder: Path | None = None
) -> Reading:
    """Read a column as `kind`, or as what it looks like.

    Args:
        name: of the column; it counts only for what may be an id.
        raw: text as it stands in a file, or typed values.
        kind: what the person said it is; None: it is inferred.
        folder: where relative paths of images start; None: no paths.
    """
    if pa.types.is_dictionary(raw.type):
        raw = pa.chunked_array([chunk.dictionary_decode() for chunk in raw.chunks], raw.type.value_type)
    if pa.types.is_string_view(raw.type):
        raw = raw.cast(pa.large_string())
    if kind is not None:
        return replace(_as_kind(kind, raw, folder), reason="as told")
    return _infer_text(name, raw, folder) if parse.is_text(raw.type) else _infer_typed(raw, folder)


def nothing_to_learn(name: str, reading: Reading) -> str | None:
    """Say why a column is of no use as an input, or None: empty, constant, or a mere name of its row."""
    values = reading.values
    if reading.kind is None:
        return reading.reason
    if reading.kind not in ("number", "boolean", "category", "date", "text") or len(values) < 2:
        return None
    if values.null_count == len(values):
        return "it has no values"
    if values.null_count == 0 and _constant(values):
        return f"it is always {values[0].as_py()!r}"
    if _ID_NAME.search(name) and (pa.types.is_integer(values.type) or parse.is_text(values.type)):
        return "it names the row, every value differs" if _all_differ(values) else None
    if reading.kind == "category" and _all_differ(values):
        return "every value differs"
    return None


# ---- inference -----------------------------------------------------------------------------------


def _infer_text(name: str, raw: pa.ChunkedArray, folder: Path | None) -> Reading:
    cleaned = parse.clean(raw)
    present = len(cleaned) - cleaned.null_count
    if not present:
        return Reading(None, cleaned, "it has no values")
    sample = _sample(cleaned)
    read = parse.numbers(sample)
    if len(sample) - read.null_count >= 0.5 * len(sample):
        numbers = _as_number(cleaned)
        wrong = 0 if numbers.bad is None else int(numbers.bad.sum())
        if present - wrong >= MOSTLY * present:
            return replace(numbers, reason="all numbers" if not wrong else "nearly all numbers")
    if folder is not None and _are_image_paths(sample, folder):
        return replace(_as_image(cleaned, folder), reason="paths of image files")
    if parse.looks_like_dates(sample.slice(0, 200)):
        read = _as_date(cleaned)
        if read.bad is None or read.bad.sum() < (1 - MOSTLY) * present:
            return read
    return _infer_words(name, cleaned, sample, raw)


def _infer_words(
    name: str, cleaned: pa.ChunkedArray, sample: pa.ChunkedArray, raw: pa.ChunkedArray
) -> Reading:
    present = len(cleaned) - cleaned.null_count
    values = pc.count_distinct(cleaned).as_py()
    if values == 2 and parse.booleans(words := parse.distinct(cleaned)).null_count == 0:
        return Reading(
            "boolean", parse.booleans(cleaned), f"only {' and '.join(sorted(map(repr, words.to_pylist())))}"
        )
    if values <= FEW and (values < present or values <= 2):
        return Reading("category", cleaned, f"{values} different values")
    length = pc.mean(pc.utf8_length(sample)).as_py()
    spaces = pc.mean(pc.count_substring(sample, " ")).as_py()
    if spaces >= 2 or length > 40 or (values == present and not _ID_NAME.search(name) and length > 20):
        return Reading("text", raw, f"{values:,} different texts of {length:.0f} letters on average")
    return Reading("category", cleaned, f"{values:,} different short values")


def _infer_typed(raw: pa.ChunkedArray, folder: Path | None) -> Reading:
    kind = raw.type
    if pa.types.is_null(kind):
        return Reading(None, raw, "it has no values")
    if pa.types.is_boolean(kind):
        return _as_boolean(raw)
    if pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind):
        return _as_number(raw)
    if pa.types.is_timestamp(kind) or pa.types.is_date(kind):
        return _as_date(raw)
    if _is_image(raw):
        return _as_image(raw, folder)
    if isinstance(kind, pa.FixedShapeTensorType) or _is_list(kind):
        read = _as_tensor(raw)
        return (
            read if read.bad is None else Reading(None, raw, "its lists differ in length or hold no numbers")
        )
    return Reading(None, raw, f"a column of type {kind} is not supported")


def _sample(column: pa.ChunkedArray, size: int = 2000) -> pa.ChunkedArray:
    """Values from the beginning, the middle and the end; never none where there are any."""
    part = max(size, len(column) // 1000)
    starts = sorted({0, max(len(column) // 2 - part, 0), max(len(column) - part, 0)})
    found = pa.chunked_array(
        [chunk for start in starts for chunk in column.slice(start, part).chunks], column.type
    )
    return found.drop_null() if found.null_count < len(found) else column.drop_null().slice(0, size)


def _are_image_paths(sample: pa.ChunkedArray, folder: Path) -> bool:
    texts = sample.slice(0, 20).to_pylist()
    return all(images.is_image_file(text) for text in texts) and any(
        (folder / text).is_file() for text in texts
    )


def _is_image(raw: pa.ChunkedArray) -> bool:
    """A struct {bytes, path} or bytes whose first value is an image."""
    kind = raw.type
    if pa.types.is_struct(kind):
        if not {"bytes", "path"} <= set(kind.names):
            return False
    elif not hashing.is_binary(kind):
        return False
    first = raw.slice(0, 100).drop_null().slice(0, 1).to_pylist()
    if not first:
        return False
    value = first[0] if isinstance(first[0], bytes) else first[0]["bytes"]
    if value is not None:
        return not value or images.looks_like_image(value)
    return bool(first[0]["path"]) and images.is_image_file(first[0]["path"])


def _constant(values: pa.ChunkedArray) -> bool:
    ends = pc.min_max(values).as_py()
    return ends["min"] == ends["max"]


def _all_differ(values: pa.ChunkedArray) -> bool:
    return values.null_count == 0 and pc.count_distinct(values).as_py() == len(values)


# ---- conversion ----------------------------------------------------------------------------------


def _as_kind(kind: ColumnKind, raw: pa.ChunkedArray, folder: Path | None) -> Reading:
    if parse.is_text(raw.type) and kind != "text":
        raw = parse.clean(raw)
    if kind == "number":
        return _as_number(raw)
    if kind == "boolean":
        return _as_boolean(raw)
    if kind == "date":
        return _as_date(raw)
    if kind == "image":
        return _as_image(raw, folder)
    if kind == "tensor":
        return _as_tensor(raw)
    try:
        return Reading(kind, parse.as_text(raw), "")
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        return _all_bad(kind, raw)


def _as_number(raw: pa.ChunkedArray) -> Reading:
    if parse.is_text(raw.type):
        values = parse.numbers(raw)
    elif pa.types.is_temporal(raw.type):
        return _all_bad("number", raw)
    else:
        try:
            values = parse.without_nan(raw.cast(pa.float64()) if not pa.types.is_integer(raw.type) else raw)
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
            return _all_bad("number", raw)
    if pa.types.is_floating(values.type):
        endless = pc.is_inf(values)
        if pc.any(endless).as_py():
            values = pc.if_else(endless, pa.scalar(None, values.type), values)
    before = parse.without_nan(raw) if pa.types.is_floating(raw.type) else raw
    return _compared("number", before, values, "numbers")


def _as_boolean(raw: pa.ChunkedArray) -> Reading:
    if pa.types.is_boolean(raw.type):
        return Reading("boolean", raw, "true and false")
    try:
        return _compared("boolean", raw, parse.booleans(parse.as_text(raw)), "true and false")
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        return _all_bad("boolean", raw)


def _as_date(raw: pa.ChunkedArray) -> Reading:
    if parse.is_text(raw.type):
        values, form = parse.dates(raw)
        return _compared("date", raw, values, f"dates, read as {form}")
    if not pa.types.is_timestamp(raw.type) and not pa.types.is_date(raw.type):
        return _all_bad("date", raw)
    if pa.types.is_timestamp(raw.type) and raw.type.tz:
        raw = raw.cast(pa.timestamp("us", "UTC"), safe=False)
    return Reading("date", raw.cast(pa.timestamp("us"), safe=False), "dates")


def _as_image(raw: pa.ChunkedArray, folder: Path | None) -> Reading:
    if hashing.is_binary(raw.type):
        field = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
        chunks = [
            pa.StructArray.from_arrays(
                [chunk.cast(pa.binary()), pa.nulls(len(chunk), pa.string())], fields=list(field)
            )
            for chunk in raw.chunks
        ]
        return Reading("image", pa.chunked_array(chunks, field), "encoded images")
    if not parse.is_text(raw.type):
        good = pa.types.is_struct(raw.type) and {"bytes", "path"} <= set(raw.type.names)
        return Reading("image", raw, "images") if good else _all_bad("image", raw)
    paths = [str((folder or Path()) / text) if text else "" for text in raw.to_pylist()]
    checked = images.spread(lambda path: images.check_file(path) if path else ("", "it is missing"), paths)
    why = {index: fault for index, (_, fault) in enumerate(checked) if fault}
    values = pa.chunked_array([images.from_files(paths, [digest for digest, _ in checked])], images.FILES)
    bad = np.array([fault is not None for _, fault in checked], bool)
    return Reading("image", values, "paths of image files", bad if bad.any() else None, why)


def _as_tensor(raw: pa.ChunkedArray) -> Reading:
    """Lists of one length, of numbers or again of such lists, as tensors of float32."""
    if isinstance(raw.type, pa.FixedShapeTensorType):
        return Reading("tensor", raw, f"arrays of shape {tuple(raw.type.shape)}")
    flat, shape = raw.combine_chunks(), []
    while _is_list(flat.type):
        lengths = pc.unique(pc.list_value_length(flat))
        if len(lengths) != 1 or not lengths[0].as_py() or flat.null_count:
            return _all_bad("tensor", raw)
        shape.append(lengths[0].as_py())
        flat = pc.list_flatten(flat)
    if (
        not shape
        or not (pa.types.is_integer(flat.type) or pa.types.is_floating(flat.type))
        or flat.null_count
    ):
        return _all_bad("tensor", raw)
    return Reading("tensor", tensor(flat.to_numpy().reshape(-1, *shape)), f"lists of shape {tuple(shape)}")


def tensor(array: np.ndarray) -> pa.ChunkedArray:
    """Make a tensor column from an array (N, ...); integers of one byte stay, all else is float32."""
    kept = array if array.dtype == np.uint8 else array.astype(np.float32, copy=False)
    rows = pa.FixedShapeTensorArray.from_numpy_ndarray(np.ascontiguousarray(kept))
    return pa.chunked_array([rows])


def tensor_values(column: pa.ChunkedArray) -> np.ndarray:
    """Return a tensor column as an array (N, ...)."""
    shape = tuple(column.type.shape)
    parts = [chunk.to_numpy_ndarray() for chunk in column.chunks if len(chunk)]
    if not parts:
        return np.zeros((0, *shape), np.float32)
    return parts[0] if len(parts) == 1 else np.concatenate(parts)


def lies_in_order(kind: pa.FixedShapeTensorType) -> bool:
    """Whether the axes of these arrays have the order in which they lie in memory."""
    return kind.permutation is None or list(kind.permutation) == list(range(len(kind.shape)))


def torch_values(column: pa.FixedShapeTensorArray) -> Tensor:
    """Return a tensor column as a tensor (N, ...) on the same memory, which must not be written to."""
    import torch  # here, since looking at data needs none

    if not lies_in_order(column.type):
        return torch.from_numpy(column.to_numpy_ndarray().copy())
    return torch.from_dlpack(column.storage.flatten()).view(len(column), *column.type.shape)


def _compared(kind: ColumnKind, before: pa.ChunkedArray, after: pa.ChunkedArray, reason: str) -> Reading:
    """A reading whose bad cells are those that were there before and are missing after."""
    if after.null_count == before.null_count:
        return Reading(kind, after, reason)
    bad = pc.and_(pc.is_null(after), pc.is_valid(before)).to_numpy()
    return Reading(kind, after, reason, bad)


def _all_bad(kind: ColumnKind, raw: pa.ChunkedArray) -> Reading:
    return Reading(kind, raw, "", pc.is_valid(raw).to_numpy())


def _is_list(kind: pa.DataType) -> bool:
    return pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)
