"""How findings write numbers and names: plain text, for terminals and pages."""

from __future__ import annotations

import math
from collections.abc import Sequence

from pellucid.record.measures import in_words


def figure(value: float) -> str:
    """Write a number with three significant digits: 0.0412, 1.23, 1,240."""
    if not math.isfinite(value):
        return in_words(value)
    if value == 0:
        return "0"
    if abs(value) >= 1e9:
        return f"{value:.2e}"
    digits = max(0, 2 - math.floor(math.log10(abs(value))))
    return f"{value:,.{digits}f}" if digits <= 6 else f"{value:.2e}"


def percent(share: float) -> str:
    """Write a share of 0..1 as a percentage with one decimal, of very small and large ones fewer digits."""
    if share and (abs(share) < 5e-4 or abs(share) >= 100):
        return f"{100 * share:.2g} %"
    return f"{100 * share:.1f} %"


def listed(names: Sequence[str], most: int = 3) -> str:
    """Return names in words: "a, b, c and 3 more"."""
    shown = ", ".join(names[:most])
    return shown if len(names) <= most else f"{shown} and {len(names) - most} more"
