"""Arrays of images in any of the usual ranges, brought to pixels in 0..1.

    0 to 1            as they are
    0 to 255          divided by 255
    -1 to 1           (x + 1) / 2
    anything else     the range of the training images becomes 0 to 1: 12 or 16 bits, standardized pixels,
                      Hounsfield units; also fractions that use less than a quarter of 0 to 1, since deep
                      images that were divided by 65,535 would be nearly black

Which it is depends on the training images only; new images are brought to 0..1 in the same way.
"""

from __future__ import annotations

import numpy as np

Levels = tuple[float, float]
"""The values that become 0 and 1."""

DARK = 0.25
"""If the brightest of all fractions is below this, they are stretched."""
NEGATIVE = -0.1
"""Fractions with a sign reach below this; less is the overshoot of an interpolation."""
FEW_BITS = 16
"""Whole numbers of at most this are no bytes, such as the 0 to 16 of scikit-learn's digits."""
SAMPLED = 2000
"""Rows of which the range is measured without outliers."""
OUTLIERS = 0.05
"""Percent of the values, at each end, that do not count for the range: dead and hot pixels."""


def unit_levels(values: np.ndarray) -> tuple[Levels, str]:
    """Return which values become 0 and 1, and what is said of it; "" where nothing changes.

    Args:
        values: training images, (N, ...), N at least 1.
    """
    low, high = float(values.min()), float(values.max())
    found = f"pixels from {low:g} to {high:g}"
    if low >= 0 and DARK <= high <= 1:
        return (0.0, 1.0), ""
    if low >= 0 and FEW_BITS < high <= 255:
        return (0.0, 255.0), f"{found} are divided by 255"
    if -1 <= low < NEGATIVE and high <= 1:
        return (-1.0, 1.0), f"{found} become 0 to 1: (x + 1) / 2"
    rows = values[np.linspace(0, len(values) - 1, min(SAMPLED, len(values))).astype(np.int64)]
    ends = np.percentile(rows, (OUTLIERS, 100 - OUTLIERS))
    start, end = (float(ends[0]), float(ends[1])) if ends[1] > ends[0] else (low, high)
    if end <= start:
        return (start, start + 1), f"warning: every pixel of every training image is {low:g}"
    return (start, end), f"{found}: {start:g} to {end:g}, the range of the training images, become 0 to 1"
