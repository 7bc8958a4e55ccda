"""The time column: whether rows are sorted and evenly spaced, and which cycle they may have."""

from __future__ import annotations

import calendar
from collections.abc import Sequence
from datetime import datetime, timedelta

import numpy as np
import pyarrow as pa

from pellucid.data.dataset import Column, Dataset
from pellucid.errors import BadDataError, ConfigError

GAP = 1.5
"""A step this many times the usual one is a gap: months differ by 10 %, a missing row by 100 %."""
SHOWN = 5
DAY = 86_400.0
WORKDAYS = 5
MONDAY = 4 * DAY
"""The first Monday after 1970-01-01, in seconds."""
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


def usual_step(table: pa.Table, time: Column, workdays: bool = False) -> float:
    """Check that rows are sorted by time and evenly spaced, and return the step between them.

    Args:
        table: at least 2 rows.
        time: the time column.
        workdays: whether rows are from Monday to Friday, so that weekends are no gaps.

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
    steps = np.diff(stamps(table, time, workdays))
    _check_order(column, time.name, steps)
    usual = float(np.median(steps))
    months = months_between(table, time)
    if months is None or (np.diff(month_numbers(table, time)) != months).any():
        _check_spacing(column, time.name, steps, usual, dates)
    return usual


def check_as_trained(
    table: pa.Table,
    time: Column,
    step: float | None,
    months: int | None,
    *,
    gaps: bool = True,
    workdays: bool = False,
) -> None:
    """Check that the times of a table increase, and by the step of the training rows.

    Args:
        table: the rows to forecast from.
        time: the time column.
        step: seconds from one training row to the next; None: the time is a number, and need only be even.
        months: months from one training row to the next, where they are whole months apart.
        gaps: whether rows must not be missing.
        workdays: see `usual_step`.

    Raises:
        BadDataError: a time is missing or repeated, or the rows are not as far apart as in training.
    """
    column, dates = table[time.name], time.kind == "date"
    if column.null_count:
        row = column.to_pylist().index(None)
        raise BadDataError(f"Column {time.name!r} has no time in row {row + 1:,}.", remedy="remove the row")
    if len(table) < 2:
        return
    steps = np.diff(stamps(table, time, workdays))
    _check_order(column, time.name, steps)
    usual = float(np.median(steps)) if step is None else step
    even = months is not None and (np.diff(month_numbers(table, time)) == months).all()
    wrong = (steps < usual / GAP) | (steps > GAP * usual) if gaps else steps < usual / GAP
    if not even and wrong.any():
        row = int(np.flatnonzero(wrong)[0])
        raise BadDataError(
            f"Column {time.name!r}: expected a row every {_length(usual, dates)}, as in training, received "
            f"{column[row]} and then {column[row + 1]}.",
            remedy="add the rows that are missing, or leave out the column of time to use rows as they are",
        )


def stamps(table: pa.Table, time: Column, workdays: bool = False) -> np.ndarray:
    """Return times as numbers, (T,) float64: seconds for dates, without weekends for working days."""
    column = table[time.name]
    if time.kind != "date":
        return column.cast(pa.float64()).to_numpy()
    seconds = column.cast(pa.timestamp("us")).cast(pa.int64()).to_numpy() / 1e6
    if not workdays:
        return seconds
    week, rest = np.divmod(seconds - MONDAY, 7 * DAY)
    return week * WORKDAYS * DAY + np.minimum(rest, (WORKDAYS - 0.5) * DAY + rest % DAY / 2)


def are_workdays(tables: Sequence[pa.Table], time: Column) -> bool:
    """Return whether series have a row a day, and none at any of several weekends."""
    if time.kind != "date" or any(table[time.name].null_count for table in tables):
        return False
    times = [stamps(table, time) for table in tables]
    if any(((each - MONDAY) // DAY % 7 >= WORKDAYS).any() for each in times):
        return False
    steps = np.concatenate([np.diff(each) for each in times])
    days = np.rint(np.abs(steps) / DAY)
    return len(steps) > 0 and float(np.median(steps)) == DAY and int((days == 3).sum()) >= 2


def workday_after(time: datetime, count: int) -> datetime:
    """Return a time some working days later, Monday to Friday."""
    week, day = divmod(time.weekday() + count, WORKDAYS)
    return time + timedelta(days=7 * week + day - time.weekday())


def median_step(table: pa.Table, time: Column) -> float:
    """Return the usual time from one row to the next, without any check."""
    steps = np.diff(stamps(table, time)) if len(table) > 1 else np.ones(1)
    return float(np.median(steps))


def month_numbers(table: pa.Table, time: Column) -> np.ndarray:
    """Return the number of months since year 0, (T,) int64."""
    return table[time.name].cast(pa.timestamp("s")).to_numpy().astype("datetime64[M]").astype(np.int64)


def months_between(table: pa.Table, time: Column) -> int | None:
    """Return the months from one row to the next, where dates are whole months apart; None elsewhere."""
    if time.kind != "date" or len(table) < 3 or table[time.name].null_count:
        return None
    days = table[time.name].cast(pa.timestamp("s")).to_numpy().astype("datetime64[D]")
    months = days.astype("datetime64[M]")
    in_month = (days - months).astype(int)
    last = ((days + 1).astype("datetime64[M]") != months).all()
    steps = np.diff(months.astype(np.int64))
    usual = int(np.median(steps))
    return usual if usual >= 1 and (last or (in_month == in_month[0]).all()) else None


def time_at(
    table: pa.Table,
    time: Column,
    places: np.ndarray,
    step: float,
    months: int | None,
    workdays: bool = False,
) -> pa.Array:
    """Return the times a number of steps after the first row of a table."""
    if time.kind != "date":
        return pa.array(stamps(table, time)[0] + step * places)
    first = table[time.name][0].as_py()
    if workdays:
        return pa.array([workday_after(first, int(place)) for place in places], pa.timestamp("us"))
    if months is None:
        return pa.array(
            [first + timedelta(seconds=step * int(place)) for place in places], pa.timestamp("us")
        )
    at_end = (
        (first + timedelta(days=1)).day == 1
        and len(table) > 1
        and (table[time.name][1].as_py() + timedelta(days=1)).day == 1
    )
    made = [add_months(first, months * int(place), at_end=at_end) for place in places]
    return pa.array(made, pa.timestamp("us"))


def add_months(time: datetime, months: int, *, at_end: bool = False) -> datetime:
    """Return a time some months later, on the same day, or the last day of a shorter month.

    Args:
        time: to count from.
        months: how many.
        at_end: on the last day of every month.
    """
    year, month = divmod(time.year * 12 + time.month - 1 + months, 12)
    longest = calendar.monthrange(year, month + 1)[1]
    return time.replace(year=year, month=month + 1, day=longest if at_end else min(time.day, longest))


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
        remedy="--set data.series.fill=previous (or linear or zero), or list data.inputs without the time to "
        "use rows as they are",
    )


def _length(step: float, dates: bool) -> str:
    return span(step) if dates else f"{step:g}"


def length(step: float, time: Column) -> str:
    """Write the time from one row to the next."""
    return _length(step, time.kind == "date")


def span(seconds: float) -> str:
    """Write a duration, e.g. "1.5 days" or "15 minutes"."""
    unit, length = next((unit for unit in _UNITS if seconds >= unit[1]), _UNITS[-1])
    count = seconds / length
    return unit if count == 1 else f"{count:.4g} {unit}s"


def season(step: float, workdays: bool = False) -> tuple[int, str] | None:
    """Return the number of rows in a cycle, and its name; None if no cycle is expected.

    Args:
        step: seconds from one row to the next. Below a day the cycle is a day, for days it is a week, for
            months and quarters a year.
        workdays: whether a week has 5 days.
    """
    if step < DAY and DAY % step == 0:
        return int(DAY / step), "day"
    if step == DAY:
        return (WORKDAYS if workdays else 7), "week"
    if 28 * DAY <= step <= 31 * DAY:
        return 12, "year"
    return (4, "year") if 89 * DAY <= step <= 92 * DAY else None
