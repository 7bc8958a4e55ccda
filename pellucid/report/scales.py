"""Scales: from values to pixels (`Axis`), and from values to colors that mean the same everywhere."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from pellucid.report.words import percent

Color = tuple[int, int, int]

POSITIVE = (230, 159, 0)
NEGATIVE = (0, 114, 178)
"""The two ends of the diverging scale, as red, green, blue; zero is the background."""
PAPERS: tuple[Color, Color] = ((255, 255, 255), (16, 19, 23))
"""The background of the light and of the dark theme, as in the style sheet."""

VIRIDIS = ((68, 1, 84), (72, 40, 120), (62, 74, 137), (49, 104, 142), (38, 130, 142))
VIRIDIS += ((31, 158, 137), (53, 183, 121), (109, 205, 89), (180, 222, 44), (253, 231, 37))
"""Ten evenly spaced colors of the viridis scale (Smith and van der Walt, 2015)."""


LARGEST = 1e300
"""Values beyond this are drawn at the edge, so that the range of an axis stays finite."""


@dataclass(frozen=True)
class Axis:
    """Maps values low..high to pixels start..end.

    Attributes:
        low, high: the values at the ends.
        start, end: the pixels of the ends.
        log: whether it is logarithmic.
        shares: whether values are shares of 1, ticked in percent.
        whole: whether only whole numbers are ticked, e.g. epochs.
    """

    low: float
    high: float
    start: float
    end: float
    log: bool = False
    shares: bool = False
    whole: bool = False

    @classmethod
    def fit(cls, values: Sequence[float], start: float, end: float, shares: bool = False) -> Axis:
        """Choose the range that shows the finite `values`; logarithmic where they span more than a decade."""
        values = [min(max(value, -LARGEST), LARGEST) for value in values if math.isfinite(value)]
        low, high = (min(values), max(values)) if values else (0.0, 1.0)
        if not shares and low > 1 / LARGEST and high / low > 12:
            return cls(low / 1.15, high * 1.15, start, end, log=True)
        pad = 0.06 * (high - low) or 0.5 * abs(high) or 0.5
        if shares:
            pad = min(pad, 0.05) or 0.05
            return cls(max(0.0, low - pad), min(1.0, high + pad), start, end, shares=True)
        bottom = 0.0 if 0 <= low < 0.5 * high else low - pad
        return cls(bottom, high + pad, start, end)

    def __call__(self, value: float) -> float:
        """Return the pixel of a value, held within the axis."""
        low, high = self.low, self.high
        if self.log:
            value, low, high = math.log(max(value, low)), math.log(low), math.log(high)
        share = (value - low) / (high - low) if high > low else 0.5
        return self.start + min(max(share, 0.0), 1.0) * (self.end - self.start)

    def ticks(self) -> list[tuple[float, str]]:
        """Return about five round values with their labels."""
        wanted = 5 if abs(self.end - self.start) > 200 else 4
        values = _log_ticks(self.low, self.high) if self.log else _round_ticks(self.low, self.high, wanted)
        if self.whole:
            values = [value for value in values if value == round(value)] or [round(self.high)]
        if self.shares:
            step = 100 * (values[1] - values[0]) if len(values) > 1 else 1.0
            fine = abs(step - round(step)) > 1e-6
            return [(value, percent(value, 1 if fine else 0)) for value in values]
        step = values[1] - values[0] if len(values) > 1 and not self.log else None
        return [(value, _label(value, step)) for value in values]


def _round_ticks(low: float, high: float, wanted: int) -> list[float]:
    if high <= low:
        return [low]
    raw = (high - low) / wanted
    size = 10 ** math.floor(math.log10(raw))
    step = next(size * factor for factor in (1, 2, 2.5, 5, 10) if size * factor >= raw * 0.999)
    first = math.ceil(low / step - 1e-9)
    return [round(i * step, 12) for i in range(first, math.floor(high / step + 1e-9) + 1)]


def _log_ticks(low: float, high: float) -> list[float]:
    """Powers of ten, with 2 and 5 between where there are few decades."""
    factors = (1, 2, 5) if high / low < 300 else (1,)
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    values = [factor * 10.0**power for power in powers for factor in factors]
    inside = [value for value in values if low <= value <= high]
    return inside if len(inside) <= 6 else [value for value in inside if f"{value:e}"[0] == "1"]


def _label(value: float, step: float | None) -> str:
    if abs(value) >= 1e6 or (value and abs(value) < 1e-4):
        return f"{value:.3g}".replace("-", "−")
    if step is None:
        return f"{value:,g}"
    decimals = max(0, -math.floor(math.log10(step) + 1e-9))
    decimals += abs(step * 10**decimals - round(step * 10**decimals)) > 1e-6
    return f"{value:,.{decimals}f}".replace("-", "−")


def viridis(share: float) -> Color:
    """Return the color of a magnitude 0..1."""
    at = min(max(share, 0.0), 1.0) * (len(VIRIDIS) - 1)
    i = min(int(at), len(VIRIDIS) - 2)
    return _mix(VIRIDIS[i], VIRIDIS[i + 1], at - i)


def diverging(share: float, paper: Color) -> Color:
    """Return the color of a signed value -1..1 on a background."""
    end = POSITIVE if share > 0 else NEGATIVE
    return _mix(paper, end, min(abs(share), 1.0))


LEVELS = 12
"""Steps of a scale from nothing to all: cells and words are colored by class, `v0` to `v12` for magnitudes,
`n12` to `n1` and `p1` to `p12` for signed values; a signed zero has no class."""


def magnitude_class(share: float) -> str:
    """Return the class of a magnitude 0..1."""
    return f"v{round(min(max(share, 0.0), 1.0) * LEVELS)}"


def signed_class(share: float) -> str:
    """Return the class of a signed value -1..1; "" for what rounds to nothing."""
    level = round(min(abs(share), 1.0) * LEVELS)
    return f"{'p' if share > 0 else 'n'}{level}" if level else ""


def palette() -> str:
    """Return the style rules of both scales, each color with an ink that can be read on it."""
    rules = []
    for level in range(LEVELS + 1):
        color = viridis(level / LEVELS)
        rules.append(f".v{level}{{background:{_hex(color)};color:{readable_on(color)}}}")
    for level in range(1, LEVELS + 1):
        for name, sign in (("p", 1), ("n", -1)):
            light, dark = (diverging(sign * level / LEVELS, paper) for paper in PAPERS)
            ink = f"light-dark({readable_on(light)},{readable_on(dark)})"
            rules.append(f".{name}{level}{{background:light-dark({_hex(light)},{_hex(dark)});color:{ink}}}")
    return "\n".join(rules)


def readable_on(color: Color) -> str:
    """Return black or white, whichever is easier to read on a color."""
    luminance = sum(
        weight * _linear(part) for weight, part in zip((0.2126, 0.7152, 0.0722), color, strict=True)
    )
    return "#000" if luminance > 0.179 else "#fff"


def _mix(one: Color, other: Color, share: float) -> Color:
    red, green, blue = (round(a + (b - a) * share) for a, b in zip(one, other, strict=True))
    return red, green, blue


def _hex(color: Color) -> str:
    return "#" + "".join(f"{part:02x}" for part in color)


def _linear(part: int) -> float:
    """The light of one 8-bit sRGB part (IEC 61966-2-1)."""
    value = part / 255
    return value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4
