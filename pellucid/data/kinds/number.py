"""Numbers: whole ones as int64, all others as float64."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa

from pellucid.data import dates, numerals, parse
from pellucid.data.compute import pc
from pellucid.data.dataset import Column
from pellucid.data.encoder import Encoder
from pellucid.data.kinds import category
from pellucid.data.kinds.kind import (
    MOSTLY,
    Cells,
    Kind,
    Reading,
    all_bad,
    compared,
    describe_range,
    mostly_fits,
)
from pellucid.data.numerals import PLAIN, Numerals
from pellucid.data.scaling import scale

SAMPLE = 50
"""Cells that show whether a column may be days such as 20200325."""

MOST_CELLS = 500
"""Cells that show how a column writes numbers."""


def infer(cells: Cells) -> Reading | None:
    if not cells.is_text:
        kind = cells.type
        typed = pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind)
        reading = read(cells) if typed else None
        return None if reading is not None and category.are_too_large(cells, reading.values) else reading
    if cells.first is None or dates.are_compact(cells.cleaned.slice(0, SAMPLE)):
        return None
    form = _numerals(cells)
    if form is None:
        return None
    if form is not PLAIN and form.read(cells.sample).null_count > 0.5 * len(cells.sample):
        return None
    reading = read(cells, form)
    if (
        not mostly_fits(reading, cells.present)
        or category.is_code(cells)
        or category.are_too_large(cells, reading.values)
    ):
        return None
    reason = "all numbers" if reading.bad is None else "nearly all numbers"
    words = Numerals.from_state(reading.form).words
    more = f", with {words}" if words else ""
    return replace(reading, reason=reason + more)


def read(cells: Cells, form: Numerals | None = None) -> Reading:
    form = form or _numerals(cells) or PLAIN
    reading = _read_as(cells, form)
    return _with_rest(cells, form, reading) if cells.is_text else reading


def _read_as(cells: Cells, form: Numerals) -> Reading:
    raw = cells.cleaned
    values = form.read(raw) if cells.is_text else _typed(raw)
    if values is None:
        return all_bad(raw)
    if pa.types.is_floating(values.type):
        infinite = pc.is_inf(values)
        if pc.any(infinite).as_py():
            values = pc.if_else(infinite, pa.scalar(None, values.type), values)
    before = parse.without_nan(raw) if pa.types.is_floating(raw.type) else raw
    if not cells.is_text and cells.missing:
        values = before = _without(values, cells.missing)
    known = cells.form is not None and form.words
    expected = f"a finite number with {form.words}, as in training" if known else ""
    return replace(compared(before, values, "numbers"), form=form.state(), expected=expected)


def _numerals(cells: Cells, odd: Sequence[str] = ()) -> Numerals | None:
    """How text cells write numbers: as in training, as the user said, or as most of a sample do.

    Args:
        cells: of the column.
        odd: cells that are no numbers as most of a sample writes them; () is not known.
    """
    if not cells.is_text:
        return PLAIN
    if cells.form is not None:
        return Numerals.from_state(cells.form)
    decimal, thousands = cells.marks.decimal, cells.marks.thousands
    if decimal is None and thousands is None and not cells.marks.commas and not odd:
        plain = parse.numbers(cells.sample)
        if plain.null_count < (1 - MOSTLY) * len(cells.sample):
            return PLAIN
    likely = "," if cells.marks.commas or cells.marks.semicolons else "."
    step = -(-len(cells.sample) // MOST_CELLS)
    few = [*cells.sample.to_pylist()[::step], *odd]
    return numerals.find(few, decimal=decimal, thousands=thousands, likely=likely)


def _with_rest(cells: Cells, form: Numerals, reading: Reading) -> Reading:
    """Read cells again if those that did not fit show other marks, such as 1.234,50 after many 12,50."""
    if cells.form is not None or reading.bad is None:
        return reading
    odd = parse.distinct(cells.cleaned.filter(pa.chunked_array([reading.bad]))).slice(0, MOST_CELLS)
    other = _numerals(cells, odd.to_pylist())
    if other is None or other == form or other.unit != form.unit:
        return reading
    again = _read_as(cells, other)
    return again if again.bad is None or again.bad.sum() < reading.bad.sum() else reading


def _without(values: pa.ChunkedArray, words: Sequence[str]) -> pa.ChunkedArray:
    """Turn the numbers that mean a missing value, such as -999, into missing values."""
    marks = parse.numbers(pa.chunked_array([pa.array(words, pa.string())])).drop_null()
    found = pc.is_in(values.cast(pa.float64(), safe=False), value_set=marks.cast(pa.float64()))
    return pc.if_else(found, pa.scalar(None, values.type), values)


def _typed(raw: pa.ChunkedArray) -> pa.ChunkedArray | None:
    """Typed values as numbers; None where they are something else."""
    if pa.types.is_temporal(raw.type):
        return None
    try:
        return parse.without_nan(raw if pa.types.is_integer(raw.type) else raw.cast(pa.float64(), safe=False))
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
        values = column.cast(pa.float64(), safe=False)
        names = (name, f"{name} is missing") if values.null_count else (name,)
        present = values.drop_null().to_numpy()
        median = float(np.median(present)) if len(present) else 0.0
        mean, std = scale(pc.fill_null(values, median).to_numpy(), normalize)
        return cls(names, float(mean), float(std), median)

    def apply(self, column: pa.ChunkedArray) -> np.ndarray:
        values = column.cast(pa.float64(), safe=False)
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
