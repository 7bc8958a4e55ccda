"""Suggest how to forecast a time series, and notice that a table is one."""

from __future__ import annotations

import shlex
from typing import NamedTuple

import numpy as np

from pellucid.config import DataConfig, SeriesConfig
from pellucid.data import panel, series, time_index
from pellucid.data.contents import Contents
from pellucid.data.dataset import Column, Dataset
from pellucid.data.offers import Suggestion
from pellucid.data.sources.open_source import open_source
from pellucid.data.suggest import suggestion
from pellucid.errors import PellucidError

LONGEST = 96
"""Most rows of a window or a horizon that are suggested."""
SHORTEST = 30
"""Fewer rows are not suggested to be a series."""
UNSET = SeriesConfig()


def suggest_series(contents: Contents) -> Suggestion:
    """Suggest a linear model, with a window and a horizon that fit the length of the series.

    Args:
        contents: of the data; a window and a horizon of its settings that differ from the defaults stay.

    Raises:
        BadDataError: its times repeat, go back or leave gaps.
    """
    data = contents.config
    hint = find_series(contents.dataset, data)
    if hint and hint.ids and data.series.id is None:
        data = data.model_copy(update={"series": data.series.model_copy(update={"id": hint.ids[0]})})
    dataset = contents.dataset if contents.fixed else open_source(data, labelled=False, form="series")
    settings = data.series
    table = series.in_order(dataset)
    dated = time_index.time_column(dataset, settings.time)
    channels = series.channels(dataset, dated, panel.id_names(table, settings.id), data.target)[0]
    found = panel.read_panel(dataset, table, settings, [column.name for column in channels])
    rows = int(np.median([len(part) for part in found.tables]))
    season = (
        time_index.season(found.step, found.workdays)
        if found.step and found.time and found.time.kind == "date"
        else None
    )
    window, horizon = _lengths(rows, season[0] if season else 0, data)
    changes = {
        "window": settings.window if settings.window != UNSET.window else window,
        "horizon": settings.horizon if settings.horizon != UNSET.horizon else horizon,
    }
    few = sum(map(len, found.tables)) < 5000
    return suggestion(
        contents,
        "forecasting",
        f"the next {changes['horizon']} rows of {data.target or 'all channels'} from the last "
        f"{changes['window']}, a linear model",
        data={"series": {**settings.model_dump(), **changes}},
        model={"name": "nlinear"},
        optimizer={"name": "adam", "lr": 2e-3},
        schedule={"name": "cosine"},
        train={"epochs": 30 if few else 10, "batch_size": 16 if few else 32},
        reasons=(
            "a linear model of the window, which is hard to beat on series (Zeng et al. 2023)",
            f"{changes['horizon']} rows ahead from {changes['window']}"
            + (f", by the season of {season[0]} rows" if season else f", by the {rows:,} rows of a series"),
        ),
    )


def _lengths(rows: int, season: int, data: DataConfig) -> tuple[int, int]:
    """Return a window and a horizon: a season ahead from two, if the splits are long enough for it."""
    held_out = int(rows * min(data.validation, data.test or data.validation))
    horizon = max(1, min(season or LONGEST, held_out // (1 if season else 2), LONGEST))
    left = rows - 2 * held_out - horizon
    return max(1, min(max(2 * season, 2 * horizon), left // 2, LONGEST)), horizon


class SeriesHint(NamedTuple):
    """Where rows follow each other in time: how, in words, and the columns that may name several series."""

    every: str
    ids: tuple[str, ...]


def find_series(dataset: Dataset, data: DataConfig) -> SeriesHint | None:
    """Return how the rows of a dataset follow each other in time; None if they do not.

    Args:
        dataset: before it is split.
        data: how it was opened.
    """
    table = dataset.splits["train"]
    numeric = [column for column in dataset.columns if column.kind in ("number", "category")]
    if len(dataset.splits) > 1 or len(table) < SHORTEST or len(numeric) < 1:
        return None
    for time in _times(dataset):
        try:
            ids = _ids(dataset, time)
            named = panel.series_of(table, ids[:1]) if ids is not None else []
            parts = [rows for _, rows in panel.in_order(named, time)[0]]
            if ids is None or not all(len(rows) > 2 for rows in parts):
                continue
            step = time_index.median_step(parts[0], time)
            workdays = time_index.are_workdays(parts, time)
            if not all(_mostly_even(time_index.stamps(rows, time, workdays)) for rows in parts):
                continue
        except PellucidError:
            continue
        months = time_index.months_between(parts[0], time)
        unit = "working day" if workdays else time_index.span(step) if months is None else _in_months(months)
        every = f"a row every {unit}" if time.kind == "date" else f"in the order of {time.name!r}"
        return SeriesHint(every, tuple(ids))
    return None


def _in_months(months: int) -> str:
    unit, count = ("year", months // 12) if months % 12 == 0 else ("month", months)
    return unit if count == 1 else f"{count} {unit}s"


def series_hint(dataset: Dataset, data: DataConfig) -> str | None:
    """Return a note on how to forecast, if the rows of a dataset follow each other in time; else None."""
    found = find_series(dataset, data)
    if found is None:
        return None
    several = f" --set {shlex.quote(f'data.series.id={found.ids[0]}')}" if found.ids else ""
    return (
        f"this looks like {'several time series' if found.ids else 'a time series'}, {found.every}; to "
        f"forecast it: pellucid train {shlex.quote(data.source)} --task forecast{several} --target NAME"
    )


def _times(dataset: Dataset) -> list[Column]:
    dates = [column for column in dataset.columns if column.kind == "date"]
    named = [c for c in dataset.columns if c.kind == "number" and c.name.lower() in panel.TIME_NAMES]
    return [column for column in (*dates, *named) if column.name != dataset.target]


def _ids(dataset: Dataset, time: Column) -> list[str] | None:
    """Return the columns that may name several series, [] for one series; None if the rows are none."""
    table = dataset.splits["train"]
    if table[time.name].null_count:
        return None
    stamps = time_index.stamps(table, time)
    if (np.diff(stamps) > 0).all():
        return []
    differ = len(np.unique(stamps)) == len(stamps)  # one series, not sorted
    return panel.find_ids(dataset, table, time) or ([] if differ else None)


def _mostly_even(stamps: np.ndarray) -> bool:
    steps = np.diff(stamps)
    usual = np.median(steps)
    return bool(usual > 0 and np.mean(np.abs(steps / usual - 1) < 0.2) > 0.9)
