"""How findings write numbers: plain text, for terminals and pages."""

from __future__ import annotations

import math


def figure(value: float) -> str:
    """Write a number with three significant digits: 0.0412, 1.23, 1,240."""
    if value == 0 or not math.isfinite(value):
        return f"{value:g}"
    digits = max(0, 2 - math.floor(math.log10(abs(value))))
    return f"{value:,.{digits}f}" if digits <= 6 else f"{value:.2e}"


def percent(share: float) -> str:
    return f"{100 * share:.1f} %"
