"""Principal components of vectors (Pearson 1901), by singular value decomposition in float64."""

from __future__ import annotations

import numpy as np


def principal(vectors: np.ndarray, dims: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return the first principal components of vectors.

    Args:
        vectors: (n, D).
        dims: how many components, at most the smaller of n and D.

    Returns:
        The mean (D,), the components (dims, D), each with its largest entry positive, the places of the
        vectors on them (n, dims), and the share of the variance of each (dims,).
    """
    values = vectors.astype(np.float64)
    mean = values.mean(0)
    centered = values - mean
    _, sizes, axes = np.linalg.svd(centered, full_matrices=False)
    axes = axes[:dims]
    signs = np.sign(np.take_along_axis(axes, np.abs(axes).argmax(1)[:, None], 1))
    axes = axes * np.where(signs == 0, 1.0, signs)
    total = (sizes**2).sum()
    shares = sizes[:dims] ** 2 / total if total else np.zeros(len(axes))
    return mean, axes, centered @ axes.T, shares
