"""Mean and standard deviation, as inputs and targets are standardized by them."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

BLOCK = 4096
"""Rows that are scaled at a time."""


def scale(values: np.ndarray, normalize: bool, axis: int | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Return mean and standard deviation; a deviation of 0 counts as 1. (0, 1) if not `normalize`."""
    mean = np.asarray(np.mean(values, axis=axis, dtype=np.float64))
    std = np.asarray(np.std(values, axis=axis, dtype=np.float64))
    if not normalize:
        return np.zeros_like(mean), np.ones_like(std)
    return mean, np.where(std > 1e-12 * np.maximum(np.abs(mean), 1), std, 1.0)


def channel_scale(parts: Iterable[np.ndarray], unit: float) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return mean and deviation of each channel of arrays (N, C, ...) divided by `unit`, in one pass.

    Sums are taken of the differences from the first block's mean, so that large numbers lose no precision.
    """
    total = squares = middle = np.zeros(0)
    count = 0
    for values in parts:
        axes = (0, *range(2, values.ndim))
        for start in range(0, len(values), BLOCK):
            block = values[start : start + BLOCK].astype(np.float32) / np.float32(unit)
            if not count:
                middle = block.mean(axis=axes, dtype=np.float64)
                total, squares = np.zeros_like(middle), np.zeros_like(middle)
            block = block - middle.astype(np.float32).reshape(-1, *(1,) * (block.ndim - 2))
            total += block.sum(axis=axes, dtype=np.float64)
            squares += np.square(block).sum(axis=axes, dtype=np.float64)
            count += block.size // len(middle)
    offset = total / count
    mean = middle.astype(np.float32) + offset
    std = np.sqrt(np.maximum(squares / count - offset**2, 0))
    least = np.maximum(1e-6, 1e-6 * np.abs(mean))
    return tuple(mean.tolist()), tuple(np.where(std > least, std, 1.0).tolist())
