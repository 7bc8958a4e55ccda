"""Dates and times, as timestamps in microseconds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa

from pellucid.data import dates
from pellucid.data.compute import pc
from pellucid.data.dataset import Column
from pellucid.data.encoder import Encoder, with_tuples
from pellucid.data.kinds.kind import MOSTLY, Cells, Kind, Reading, all_bad, compared, describe_range
from pellucid.data.kinds.number import NumberEncoder

SAMPLE = 200
"""Cells that show in which form dates are written."""

PARTS = ("time", "year", "month", "weekday", "hour")


def infer(cells: Cells) -> Reading | None:
    if not cells.is_text:
        return read(cells) if _is_date(cells.type) else None
    form = cells.marks.dates or _found(cells)
    if form is None:
        return None
    reading = _read_text(cells, form)
    bad = 0 if reading.bad is None else reading.bad.sum()
    return reading if not bad or bad < (1 - MOSTLY) * cells.present else None


def read(cells: Cells) -> Reading:
    raw = cells.cleaned
    if cells.is_text:
        known = (cells.form or {}).get("format") or cells.marks.dates
        return _read_text(cells, known or _found(cells) or dates.most_common(cells.sample))
    if not _is_date(raw.type):
        return all_bad(raw)
    if pa.types.is_timestamp(raw.type) and raw.type.tz:
        raw = raw.cast(pa.timestamp("us", "UTC"), safe=False)
    return Reading(raw.cast(pa.timestamp("us"), safe=False), "dates")


def _found(cells: Cells) -> str | None:
    return dates.find(cells.sample.slice(0, SAMPLE).to_pylist(), cells.cleaned)


def _read_text(cells: Cells, form: str) -> Reading:
    values = dates.read(cells.cleaned, form)
    unsure = cells.form is None and not cells.marks.dates and dates.is_ambiguous(form, cells.cleaned)
    reading = compared(cells.cleaned, values, f"dates, read as {form}")
    other = {"or": dates.exchanged(form)} if unsure else {}
    return replace(reading, form={"format": form, **other}, expected=f"a date such as {dates.example(form)}")


def _is_date(kind: pa.DataType) -> bool:
    return pa.types.is_timestamp(kind) or pa.types.is_date(kind)


@dataclass(frozen=True)
class DateEncoder(Encoder):
    """Time, year, month, day of the week and hour, each scaled as a number; constant ones are left out."""

    names: tuple[str, ...]
    parts: tuple[NumberEncoder, ...]

    @classmethod
    def fit(cls, column: Column, values: pa.ChunkedArray, normalize: bool) -> DateEncoder:
        parts = [
            NumberEncoder.named(f"{column.name} {part}", numbers, normalize)
            for part, numbers in _parts(values).items()
            if part == "time" or _varies(numbers)
        ]
        return cls(tuple(name for part in parts for name in part.names), tuple(parts))

    def apply(self, column: pa.ChunkedArray) -> np.ndarray:
        values = _parts(column)
        return np.hstack([part.apply(values[_part_name(part.names[0])]) for part in self.parts])

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> DateEncoder:
        parts = tuple(NumberEncoder(**with_tuples(part)) for part in state["parts"])
        return cls(tuple(state["names"]), parts)


def _parts(column: pa.ChunkedArray) -> dict[str, pa.ChunkedArray]:
    seconds = pc.divide(column.cast(pa.int64()).cast(pa.float64(), safe=False), 1e6)
    parts = (seconds, pc.year(column), pc.month(column), pc.day_of_week(column), pc.hour(column))
    return dict(zip(PARTS, parts, strict=True))


def _part_name(name: str) -> str:
    return next(part for part in PARTS if name.endswith(f" {part}"))


def _varies(values: pa.ChunkedArray) -> bool:
    ends = pc.min_max(values).as_py()
    return ends["min"] != ends["max"]


KIND = Kind(
    name="date",
    order=30,
    expected="a date",
    infer=infer,
    read=read,
    fits=lambda kind: pa.types.is_timestamp(kind) or pa.types.is_null(kind),
    encoder=DateEncoder,
    empty=pa.timestamp("us"),
    describe=describe_range,
)
