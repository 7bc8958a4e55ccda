"""The time column: whether rows are sorted and evenly spaced, and which cycle they may have."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from pellucid.data.dataset import Column, Dataset
from pellucid.errors import BadDataError, ConfigError

GAP = 1.5
"""A step this many times the usual one is a gap: months differ by 10 %, a missing row by 100 %."""
SHOWN = 5
DAY = 86_400.0
_UNITS = (("day", DAY), ("hour", 3600.0), ("minute", 60.0), ("second", 1.0))


def time_column(dataset: Dataset, asked: str | None) -> Column | None:
    """Return the time column: the one asked for, or the only date; None if there is no date.

    Raises:
        UnknownNameError: there is no column of that name.
        ConfigError: it holds neither dates nor numbers, or there are several dates.
    """
    if asked is not None:
        column = dataset.column(asked)
        if column.kind not in ("date", "number"):
            raise ConfigError(
                f"data.series.time is {asked!r}: expected dates or numbers, received {column.kind}."
            )
        return column
    dates = [column for column in dataset.columns if column.kind == "date"]
    if len(dates) > 1:
        raise ConfigError(
            f"{dataset.name} has {len(dates)} columns of dates: {', '.join(repr(c.name) for c in dates)}.",
            remedy=f"--set data.series.time={dates[0].name}",
        )
    return dates[0] if dates else None


def usual_step(table: pa.Table, time: Column) -> float:
    """Check that rows are sorted by time and evenly spaced, and return the step between them.

    Args:
        table: at least 2 rows.
        time: the time column.

    Returns:
        The usual step: seconds for dates, the column's own unit for numbers.

    Raises:
        BadDataError: a time is missing or repeated, or rows are out of order or missing; says where and
            how many.
    """
    column, dates = table[time.name], time.kind == "date"
    if column.null_count:
        row = column.to_pylist().index(None)
        raise BadDataError(f"Column {time.name!r} has no time in row {row + 1:,}.", remedy="remove the row")
    stamps = column.cast(pa.timestamp("us")).cast(pa.int64()) if dates else column.cast(pa.float64())
    steps = np.diff(stamps.to_numpy()) / (1e6 if dates else 1)
    _check_order(column, time.name, steps)
    usual = float(np.median(steps))
    _check_spacing(column, time.name, steps, usual, dates)
    return usual


def _check_order(column: pa.ChunkedArray, name: str, steps: np.ndarray) -> None:
    for wrong, relation, what, remedy in (
        (steps < 0, "is before", "goes back", f"sort the rows by {name!r}"),
        (steps == 0, "is the same as in", "repeats", "keep one row of each time, or their mean"),
    ):
        if wrong.any():
            row = int(np.flatnonzero(wrong)[0])
            raise BadDataError(
                f"Column {name!r}, row {row + 2:,}: {column[row + 1]} {relation} row {row + 1:,} "
                f"({column[row]}); time {what} in {int(wrong.sum()):,} of {len(column):,} rows.",
                remedy=remedy,
            )


def _check_spacing(column: pa.ChunkedArray, name: str, steps: np.ndarray, usual: float, dates: bool) -> None:
    gaps, crowded = np.flatnonzero(steps > GAP * usual), np.flatnonzero(steps < usual / GAP)
    wrong = gaps if len(gaps) else crowded
    if not len(wrong):
        return
    shown = [
        f"{_length(float(steps[row]), dates)} after row {row + 1:,} ({column[int(row)]})"
        for row in wrong[:SHOWN]
    ]
    missing = int(np.rint(steps[gaps] / usual - 1).sum())
    about = f" About {missing:,} rows are missing." if len(gaps) else ""
    what = ("gap" if len(gaps) else "shorter step") + ("s" if len(wrong) > 1 else "")
    raise BadDataError(
        f"Column {name!r}: expected a row every {_length(usual, dates)}, received {len(wrong):,} {what}: "
        f"{'; '.join(shown)}{' ...' if len(wrong) > SHOWN else ''}.{about}",
        remedy="fill in the rows, or list data.inputs without the time to use rows as they are",
    )


def _length(step: float, dates: bool) -> str:
    return span(step) if dates else f"{step:g}"


def span(seconds: float) -> str:
    """Write a duration, e.g. "1.5 days" or "15 minutes"."""
    unit, length = next((unit for unit in _UNITS if seconds >= unit[1]), _UNITS[-1])
    count = seconds / length
    return unit if count == 1 else f"{count:.4g} {unit}s"


def season(step: float) -> tuple[int, str] | None:
    """Return the number of rows in a cycle, and its name; None if no cycle is expected.

    Args:
        step: seconds from one row to the next. Below a day the cycle is a day, for days it is a week, for
            months and quarters a year.
    """
    if step < DAY and DAY % step == 0:
        return int(DAY / step), "day"
    if step == DAY:
        return 7, "week"
    if 28 * DAY <= step <= 31 * DAY:
        return 12, "year"
    return (4, "year") if 90 * DAY <= step <= 92 * DAY else None
