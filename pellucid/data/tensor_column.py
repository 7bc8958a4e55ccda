"""Columns of arrays of one shape, between NumPy, Arrow and torch."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

if TYPE_CHECKING:
    from torch import Tensor


def tensor(array: np.ndarray) -> pa.ChunkedArray:
    """Make a tensor column from an array (N, ...); uint8 stays, everything else becomes float32."""
    kept = array if array.dtype == np.uint8 else array.astype(np.float32, copy=False)
    plain = np.ascontiguousarray(kept).reshape(-1).reshape(kept.shape)  # strides of axes of 1 may be odd
    rows = pa.FixedShapeTensorArray.from_numpy_ndarray(plain)
    return pa.chunked_array([rows])


def tensor_values(column: pa.ChunkedArray) -> np.ndarray:
    """Return a tensor column as an array (N, ...)."""
    shape = tuple(column.type.shape)
    parts = [chunk.to_numpy_ndarray() for chunk in column.chunks if len(chunk)]
    if not parts:
        return np.zeros((0, *shape), np.float32)
    return parts[0] if len(parts) == 1 else np.concatenate(parts)


def is_contiguous(kind: pa.FixedShapeTensorType) -> bool:
    """Whether the axes of these arrays are in the order in which they lie in memory."""
    return kind.permutation is None or list(kind.permutation) == list(range(len(kind.shape)))


def torch_values(column: pa.FixedShapeTensorArray) -> Tensor:
    """Return a tensor column as a tensor (N, ...) that shares its memory; do not write to it."""
    import torch  # imported here, since inspecting data does not need it

    if not is_contiguous(column.type):
        return torch.from_numpy(column.to_numpy_ndarray().copy())
    return torch.from_dlpack(column.storage.flatten()).view(len(column), *column.type.shape)
