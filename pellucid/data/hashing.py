"""A hash of every row, so that equal rows are found without comparing them.

Two rows with the same hash have the same values in the chosen columns (any two of n different rows collide
with a probability of about n^2 / 2^65).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import xxhash

from pellucid.data.compute import pc

_MISSING = np.uint64(0x9E3779B97F4A7C15)


def rows(table: pa.Table, columns: Sequence[str]) -> np.ndarray:
    """Hash the rows of a table.

    Args:
        table: N rows.
        columns: the columns that count; their order matters.

    Returns:
        (N,) uint64.
    """
    total = np.zeros(len(table), np.uint64)
    for name in columns:
        total = _mix(total ^ values(table[name]))
    return total


def values(column: pa.ChunkedArray) -> np.ndarray:
    """Hash every value of a column: (N,) uint64."""
    if not len(column):
        return np.zeros(0, np.uint64)
    return np.concatenate([_chunk(chunk) for chunk in column.chunks])


def _chunk(array: pa.Array) -> np.ndarray:
    if isinstance(array, pa.ExtensionArray):
        array = array.storage
    if pa.types.is_struct(array.type):
        return _image(array) if "bytes" in array.type.names else _fields(array)
    if pa.types.is_dictionary(array.type):
        array = array.dictionary_decode()
    if _is_bytes(array.type):
        return _encoded(array)
    if pa.types.is_fixed_size_list(array.type):
        return _blocks(array)
    if pa.types.is_list(array.type) or pa.types.is_large_list(array.type):
        return np.array([_bytes_hash(repr(row).encode()) for row in array.to_pylist()], np.uint64)
    return _numbers(array)


def _numbers(array: pa.Array) -> np.ndarray:
    if pa.types.is_null(array.type):
        return np.full(len(array), _MISSING)
    if pa.types.is_temporal(array.type):
        array = pc.cast(pc.cast(array, pa.timestamp("us"), safe=False), pa.int64())
    numbers = pc.fill_null(pc.cast(array, pa.float64(), safe=False), 0.0).to_numpy(zero_copy_only=False)
    hashed = _mix((numbers + 0.0).view(np.uint64))
    if array.null_count:
        hashed[pc.is_null(array).to_numpy(zero_copy_only=False)] = _MISSING
    return hashed


def _encoded(array: pa.Array) -> np.ndarray:
    """Hash text or bytes: each distinct value once, where that is cheaper."""
    array = array.cast(pa.large_binary())
    if len(array) > 100_000:
        coded = array.dictionary_encode()
        each = _each(coded.dictionary)
        codes = pc.fill_null(coded.indices, len(each)).to_numpy(zero_copy_only=False)
        return np.append(each, _MISSING)[codes]
    return _each(array)


def _each(array: pa.Array) -> np.ndarray:
    _, offsets, data = array.buffers()
    ends = np.frombuffer(offsets, np.int64)[array.offset : array.offset + len(array) + 1]
    view = memoryview(data) if data is not None else memoryview(b"")
    hashed = np.fromiter(
        (_bytes_hash(view[a:b]) for a, b in zip(ends[:-1].tolist(), ends[1:].tolist(), strict=True)),
        np.uint64,
        len(array),
    )
    if array.null_count:
        hashed[pc.is_null(array).to_numpy(zero_copy_only=False)] = _MISSING
    return hashed


def _blocks(array: pa.Array) -> np.ndarray:
    """Hash fixed-size rows of numbers by the raw memory of each row."""
    flat = array.flatten().to_numpy(zero_copy_only=False)
    if array.null_count:
        return np.array([_bytes_hash(repr(row).encode()) for row in array.to_pylist()], np.uint64)
    raw = np.ascontiguousarray(flat.reshape(len(array), -1)).view(np.uint8)
    return np.fromiter((_bytes_hash(row) for row in raw), np.uint64, len(raw))


def _image(array: pa.Array) -> np.ndarray:
    if "digest" in array.type.names and not array.field("digest").null_count:
        return _encoded(array.field("digest"))
    data = array.field("bytes")
    return _encoded(array.field("path") if data.null_count == len(data) else data)


def _fields(array: pa.Array) -> np.ndarray:
    total = np.zeros(len(array), np.uint64)
    for part in array.flatten():
        total = _mix(total ^ _chunk(part))
    return total


def _bytes_hash(data) -> int:
    return xxhash.xxh3_64_intdigest(data)


def _is_bytes(kind: pa.DataType) -> bool:
    return pa.types.is_string(kind) or pa.types.is_large_string(kind) or is_binary(kind)


def is_binary(kind: pa.DataType) -> bool:
    """True for a column of bytes."""
    return pa.types.is_binary(kind) or pa.types.is_large_binary(kind)


def _mix(numbers: np.ndarray) -> np.ndarray:
    """Scramble 64-bit numbers (the finalizer of SplitMix64, Steele et al. 2014)."""
    mixed = numbers + _MISSING
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return mixed ^ (mixed >> np.uint64(31))
