"""Numbers: whole ones as int64, all others as float64."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa

from pellucid.data import parse
from pellucid.data.compute import pc
from pellucid.data.dataset import Column
from pellucid.data.encoder import Encoder
from pellucid.data.kinds.kind import Cells, Kind, Reading, all_bad, compared, describe_range, mostly_fits
from pellucid.data.scaling import scale


def infer(cells: Cells) -> Reading | None:
    if not cells.is_text:
        kind = cells.type
        typed = pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind)
        return read(cells) if typed else None
    if parse.numbers(cells.sample).null_count > 0.5 * len(cells.sample):
        return None
    reading = read(cells)
    reason = "all numbers" if reading.bad is None else "nearly all numbers"
    return replace(reading, reason=reason) if mostly_fits(reading, cells.present) else None


def read(cells: Cells) -> Reading:
    raw = cells.cleaned
    values = parse.numbers(raw) if cells.is_text else _typed(raw)
    if values is None:
        return all_bad(raw)
    if pa.types.is_floating(values.type):
        infinite = pc.is_inf(values)
        if pc.any(infinite).as_py():
            values = pc.if_else(infinite, pa.scalar(None, values.type), values)
    before = parse.without_nan(raw) if pa.types.is_floating(raw.type) else raw
    return compared(before, values, "numbers")


def _typed(raw: pa.ChunkedArray) -> pa.ChunkedArray | None:
    """Typed values as numbers; None where they are something else."""
    if pa.types.is_temporal(raw.type):
        return None
    try:
        return parse.without_nan(raw if pa.types.is_integer(raw.type) else raw.cast(pa.float64()))
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        return None


def fits(kind: pa.DataType) -> bool:
    return pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_null(kind)


@dataclass(frozen=True)
class NumberEncoder(Encoder):
    """(x - mean) / std; a missing value is the median, and 1 in a second number that says it is missing."""

    names: tuple[str, ...]
    mean: float
    std: float
    median: float

    @classmethod
    def fit(cls, column: Column, values: pa.ChunkedArray, normalize: bool) -> NumberEncoder:
        return cls.named(column.name, values, normalize)

    @classmethod
    def named(cls, name: str, column: pa.ChunkedArray, normalize: bool) -> NumberEncoder:
        """Fit on numbers that are not a column of their own, such as the hours of dates."""
        values = column.cast(pa.float64())
        names = (name, f"{name} is missing") if values.null_count else (name,)
        present = values.drop_null().to_numpy()
        median = float(np.median(present)) if len(present) else 0.0
        mean, std = scale(pc.fill_null(values, median).to_numpy(), normalize)
        return cls(names, float(mean), float(std), median)

    def apply(self, column: pa.ChunkedArray) -> np.ndarray:
        values = column.cast(pa.float64())
        filled = pc.fill_null(values, self.median).to_numpy()
        scaled = ((filled - self.mean) / self.std).astype(np.float32)
        if len(self.names) == 1:
            return scaled[:, None]
        return np.stack([scaled, pc.is_null(values).to_numpy().astype(np.float32)], axis=1)

    def notes(self, name: str, missing: int, rows: int) -> list[str]:
        if not missing:
            return []
        return [
            f"{name}: {missing:,} of {rows:,} training values are missing; "
            f"filled with the median {self.median:g} and marked in a number of their own"
        ]


KIND = Kind(
    name="number",
    order=10,
    expected="a finite number",
    infer=infer,
    read=read,
    fits=fits,
    encoder=NumberEncoder,
    empty=pa.float64(),
    describe=describe_range,
    numeric=True,
)
