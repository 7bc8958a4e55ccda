"""Several series in one table: which rows belong to which, in the order of time, with gaps filled if asked.

Shapes: S series of T_s rows each.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from pellucid.config import SeriesConfig
from pellucid.data import time_index
from pellucid.data.dataset import Column, Dataset
from pellucid.data.series_fill import fill_gaps
from pellucid.errors import BadDataError, ModelError, UnknownNameError

TIME_NAMES = (
    *(
        "t",
        "time",
        "step",
        "timestep",
        "time_step",
        "time_idx",
        "timestamp",
        "date",
        "datetime",
        "ds",
        "ts",
        "unix",
        "unixtime",
        "unix_time",
        "tick",
    ),
    *("day", "week", "month", "year", "hour", "minute", "second", "period"),
)
"""Names of columns of numbers that are the time, where the numbers increase evenly."""
MOST_SERIES = 10_000
FILE = "file"
"""The name in `data.series.id` of the file that a row is from, where the source is a folder."""


@dataclass(frozen=True)
class Panel:
    """The series of a table.

    Attributes:
        names: of the series; ("",) where there is one and no `data.series.id`.
        tables: their rows, in the order of time.
        time: the time column; None: rows are evenly spaced in their order.
        step: the time from one row to the next, as `usual_step` returns it; None without time.
        months: months from one row to the next, where time is a date of every n-th month.
        notes: what was decided.
        workdays: whether rows are from Monday to Friday, so that weekends are no gaps.
    """

    names: tuple[str, ...]
    tables: tuple[pa.Table, ...]
    time: Column | None
    step: float | None
    months: int | None
    notes: tuple[str, ...]
    workdays: bool = False


def id_names(table: pa.Table, asked: str | None) -> tuple[str, ...]:
    """Return the columns that name the series: one, or several with commas between them.

    Raises:
        UnknownNameError: there is no such column.
    """
    if asked is None:
        return ()
    parts = [asked] if asked in table.column_names else [part.strip() for part in asked.split(",")]
    for part in parts:
        if part not in table.column_names:
            raise UnknownNameError("column of data.series.id", part, table.column_names)
    return tuple(parts)


def read_panel(dataset: Dataset, table: pa.Table, config: SeriesConfig, channels: Sequence[str]) -> Panel:
    """Find the series of a table, check their times and fill their gaps.

    Args:
        dataset: the columns.
        table: all rows.
        config: which columns are the id and the time, and how gaps are filled.
        channels: the columns of numbers that will be read.

    Raises:
        BadDataError: times repeat, go back or leave gaps; or the rows seem to be several series.
    """
    ids = id_names(table, config.id)
    named = series_of(table, ids)
    time = time_index.time_column(dataset, config.time) or usual_time(dataset, [t for _, t in named], ids)
    if time is None:
        _refuse_restart(dataset, table, ids)
        return Panel(tuple(n for n, _ in named), tuple(t for _, t in named), None, None, None, ())
    notes: list[str] = []
    if config.time is None and time.kind == "number":
        notes.append(f"{time.name!r} is the time: it has a usual name, and increases evenly")
    if not ids:
        _refuse_several(dataset, table, time)
    named, moved = in_order(named, time)
    if moved:
        notes.append(f"the rows{f' of {moved:,} series' * bool(ids)} are sorted by {time.name!r}")
    first = max((t for _, t in named), key=len)
    months = time_index.months_between(first, time)
    workdays = time_index.are_workdays([t for _, t in named], time)
    notes += ["a row every working day, Monday to Friday: weekends are no gaps"] if workdays else []
    step, tables = time_index.median_step(first, time), []
    _refuse_other_steps(named, time, step)
    for name, rows in named:
        if config.fill is not None:
            rows, said = fill_gaps(rows, time, step, months, channels, config.fill, workdays)
            notes += [f"{name}: {said}" if name else said] if said else []
        elif len(rows) > 1:
            with naming(name):
                time_index.usual_step(rows, time, workdays)
        tables.append(rows)
    names, shown = tuple(n for n, _ in named), tuple(_shortened(notes))
    return Panel(names, tuple(tables), time, step, months, shown, workdays)


def series_of(table: pa.Table, ids: Sequence[str]) -> list[tuple[str, pa.Table]]:
    """Split a table into its series, in the order in which they first occur.

    Raises:
        BadDataError: a row has no id, or there are more series than rows can be windows of.
    """
    if not ids:
        return [("", table)]
    keys = _keys(table, ids)
    names, first, codes = np.unique(keys, return_index=True, return_inverse=True)
    if len(names) > MOST_SERIES:
        raise BadDataError(
            f"data.series.id={','.join(ids)} has {len(names):,} different values in {len(table):,} rows: "
            f"expected at most {MOST_SERIES:,} series.",
            remedy="name the column that tells the series apart",
        )
    rows = np.argsort(codes, kind="stable")
    parts = np.split(rows, np.cumsum(np.bincount(codes))[:-1])
    return [(str(names[code]), table.take(pa.array(parts[code]))) for code in np.argsort(first)]


def _keys(table: pa.Table, ids: Sequence[str]) -> np.ndarray:
    columns = []
    for name in ids:
        if table[name].null_count:
            row = table[name].to_pylist().index(None)
            raise BadDataError(
                f"Column {name!r} names no series in row {row + 1:,}.", remedy="remove the row"
            )
        columns.append([str(value) for value in table[name].to_pylist()])
    if len(columns) > 1:
        columns = [[_quoted(part) for part in column] for column in columns]
    return np.array([" ".join(parts) for parts in zip(*columns, strict=True)])


def _quoted(part: str) -> str:
    """Quote one of several ids where it would run into the next."""
    return json.dumps(part, ensure_ascii=False) if not part or re.search(r'[\s"]', part) else part


def usual_time(dataset: Dataset, tables: Sequence[pa.Table], ids: Sequence[str]) -> Column | None:
    """Return a column of numbers with a usual name of a time that increases evenly in every series."""
    for column in dataset.columns:
        usual = column.kind == "number" and column.name.lower() in TIME_NAMES and column.name not in ids
        if usual and all(_is_even(table[column.name]) for table in tables):
            return column
    return None


def _is_even(values: pa.ChunkedArray) -> bool:
    steps = np.diff(values.cast(pa.float64()).to_numpy())
    return len(steps) > 0 and bool((steps > 0).all() and np.allclose(steps, steps[0]))


# ---- several series without an id -----------------------------------------------------------------


def find_ids(dataset: Dataset, table: pa.Table, time: Column) -> list[str]:
    """Return the columns by which the rows fall into series of strictly increasing times.

    Where times repeat, rows that are not sorted also do, if no time repeats within a series.
    """
    stamps = time_index.stamps(table, time)
    return _ids_of(dataset, table, time, stamps) or (
        _ids_of(dataset, table, time, stamps, sort=True) if len(np.unique(stamps)) < len(stamps) else []
    )


def _ids_of(
    dataset: Dataset, table: pa.Table, time: Column, stamps: np.ndarray, *, sort: bool = False
) -> list[str]:
    found = []
    for column in dataset.columns:
        values = table[column.name]
        if sort and (column.name == dataset.target or column.kind not in ("category", "text")):
            continue  # numbers and classes that differ by chance where times are the same
        if column == time or values.null_count or column.kind in ("date", "tensor", "image"):
            continue
        _, codes = np.unique(np.array([str(value) for value in values.to_pylist()]), return_inverse=True)
        count = int(codes.max()) + 1
        if not 2 <= count <= len(table) / 3:
            continue
        order = np.lexsort((stamps, codes)) if sort else np.argsort(codes, kind="stable")
        same = np.diff(codes[order]) == 0
        if (np.diff(stamps[order])[same] > 0).all():
            found.append((count, column.name))
    return [name for _, name in sorted(found)]


def _refuse_several(dataset: Dataset, table: pa.Table, time: Column) -> None:
    """Refuse times that go back where a column names several series."""
    if table[time.name].null_count or (np.diff(time_index.stamps(table, time)) > 0).all():
        return
    ids = find_ids(dataset, table, time)
    if ids:
        count = len(set(map(str, table[ids[0]].to_pylist())))
        raise BadDataError(
            f"{dataset.name} holds several series: {time.name!r} repeats or goes back, and increases within "
            f"each of the {count:,} values of {ids[0]!r}.",
            remedy=f"--set data.series.id={ids[0]}",
        )

    if Path(dataset.source.name).is_dir():
        raise BadDataError(
            f"{dataset.name} is a folder, and {time.name!r} repeats or goes back in its rows.",
            remedy=f"--set data.series.id={FILE}, if each file is a series; else sort the rows",
        )


def _refuse_other_steps(named: Sequence[tuple[str, pa.Table]], time: Column, step: float) -> None:
    """Refuse series whose rows are not as far apart as those of the longest."""
    for name, rows in named:
        if len(rows) < 3 or rows[time.name].null_count:
            continue
        own = time_index.median_step(rows, time)
        if own > 0 and not 1 / time_index.GAP < own / step < time_index.GAP:
            longest = time_index.length(step, time)
            raise BadDataError(
                f"Series {name!r} has a row every {time_index.length(own, time)}, others every {longest}: "
                "expected the same for all, since a forecast is a number of rows.",
                remedy="train a run for each, or give all series the same step",
            )


def _refuse_restart(dataset: Dataset, table: pa.Table, ids: Sequence[str]) -> None:
    for column in dataset.columns:
        if not ids and column.kind == "number" and column.name.lower() in TIME_NAMES:
            _refuse_several(dataset, table, column)


def in_order(named: Sequence[tuple[str, pa.Table]], time: Column) -> tuple[list[tuple[str, pa.Table]], int]:
    """Sort every series by time; return them, and how many were not sorted."""
    made, moved = [], 0
    for name, table in named:
        if not table[time.name].null_count:
            stamps = time_index.stamps(table, time)
            if (np.diff(stamps) < 0).any():
                table, moved = table.take(pa.array(np.argsort(stamps, kind="stable"))), moved + 1
        made.append((name, table))
    return made, moved


@contextmanager
def naming(series: str) -> Iterator[None]:
    """Name the series in the errors that are raised inside."""
    try:
        yield
    except (BadDataError, ModelError) as error:
        error.message = f"Series {series!r}: {error.message}" if series else error.message
        raise


def _shortened(notes: list[str]) -> list[str]:
    return [*notes[:5], f"... and {len(notes) - 5:,} more notes on series"] if len(notes) > 6 else notes
