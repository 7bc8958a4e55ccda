"""Fill the gaps of a series: rows that are missing, and values that are missing in a row."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
import pyarrow as pa

from pellucid.data import time_index
from pellucid.data.dataset import Column
from pellucid.errors import BadDataError

Fill = Literal["previous", "linear", "zero"]


def fill_gaps(
    table: pa.Table,
    time: Column | None,
    step: float | None,
    months: int | None,
    names: Sequence[str],
    how: Fill,
    workdays: bool = False,
) -> tuple[pa.Table, str]:
    """Return a series with a row at every step and a value in every channel, and a note on what was filled.

    Args:
        table: the rows of one series.
        time: the time column; None: only values are filled.
        step: the time between rows, see `usual_step`.
        months: months between rows, where they are months apart.
        names: the channels to fill; other columns keep the last value before a gap.
        workdays: whether rows are from Monday to Friday.
        how: the value before, a straight line between the values before and after, or 0.

    Raises:
        BadDataError: a time is repeated or goes back, or a channel has no value at all.
    """
    places = np.arange(len(table)) if time is None else _places(table, time, step or 1.0, months, workdays)
    rows = int(places[-1]) + 1 if len(places) else 0
    source = np.searchsorted(places, np.arange(rows), side="right") - 1  # the row at a place, or before it
    made = table.take(pa.array(source))
    missing = np.ones(rows, bool)
    missing[places] = False
    if time is not None and missing.any():
        made = _with(
            made, time.name, time_index.time_at(table, time, np.arange(rows), step or 1.0, months, workdays)
        )
    filled = 0
    for name in names:
        values = np.full(rows, np.nan)
        values[places] = _numbers(table[name])
        holes = ~np.isfinite(values)
        filled += int((holes & ~missing).sum())
        if holes.all():
            raise BadDataError(
                f"Column {name!r} has no value to fill gaps from.", remedy="leave it out of data.inputs"
            )
        if holes.any():
            made = _with(made, name, pa.array(_filled(values, holes, how)))
    said = [f"{int(missing.sum()):,} missing rows"] if missing.any() else []
    said += [f"{filled:,} missing values"] if filled else []
    return made, f"{' and '.join(said)} filled, data.series.fill: {how}" if said else ""


def _places(table: pa.Table, time: Column, step: float, months: int | None, workdays: bool) -> np.ndarray:
    """The number of steps from the first row to each row."""
    if months is not None:
        index = time_index.month_numbers(table, time)
        places = np.rint((index - index[0]) / months)
    else:
        stamps = time_index.stamps(table, time, workdays)
        places = np.rint((stamps - stamps[0]) / step)
    if (np.diff(places) <= 0).any():
        row = int(np.flatnonzero(np.diff(places) <= 0)[0]) + 1
        raise BadDataError(
            f"Column {time.name!r}, row {row + 1:,}: {table[time.name][row]} does not come a step after row "
            f"{row:,} ({table[time.name][row - 1]}).",
            remedy="keep one row of each time, sorted; or --set data.series.id names the series",
        )
    return places.astype(np.int64)


def _numbers(column: pa.ChunkedArray) -> np.ndarray:
    plain = column.cast(pa.uint8()) if pa.types.is_boolean(column.type) else column
    return plain.cast(pa.float64()).to_numpy()


def _filled(values: np.ndarray, holes: np.ndarray, how: Fill) -> np.ndarray:
    known = np.flatnonzero(~holes)
    if how == "zero":
        return np.where(holes, 0.0, values)
    if how == "linear":
        return np.interp(np.arange(len(values)), known, values[known])
    before = np.maximum(np.searchsorted(known, np.arange(len(values)), side="right") - 1, 0)
    return values[known[before]]


def _with(table: pa.Table, name: str, values: pa.Array) -> pa.Table:
    return table.set_column(table.column_names.index(name), name, values)
