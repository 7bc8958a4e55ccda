"""Forecasts of new rows: their times, values and intervals, for each series.

Shapes: L rows in, H rows ahead, C channels, of which the first K are forecast.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
import torch

from pellucid.data import panel, prediction_input, prediction_objects, time_index
from pellucid.data.batches import Batches, MemoryRows
from pellucid.data.dataset import Column
from pellucid.data.preprocess import Preprocess
from pellucid.data.series import SeriesInputs
from pellucid.data.series_fill import fill_gaps
from pellucid.errors import ModelError, UsageError
from pellucid.evaluation import Trained, forward
from pellucid.tasks.forecasting.intervals import Intervals, measured_intervals, window_scale


@dataclass(frozen=True)
class Forecast:
    """Forecast rows of one series.

    Attributes:
        values: (H, K), in the units of the data.
        names: of the channels.
        times: of the rows, where the input had times, dates or numbers; else ().
        low: (H, K) the lower ends of the intervals, NaN where there is none; None: the run has none.
        high: (H, K) the upper ends.
    """

    values: np.ndarray
    names: tuple[str, ...]
    times: tuple[datetime, ...] | tuple[float, ...] = ()
    low: np.ndarray | None = None
    high: np.ndarray | None = None

    def rows(self) -> list[dict[str, Any]]:
        """One dict a row: steps ahead, its time if known, the value of every channel, and its interval."""
        made = []
        for step, row in enumerate(self.values.tolist()):
            time = {"time": _plain(self.times[step])} if self.times else {}
            ends = {}
            if self.low is not None and self.high is not None and np.isfinite(self.low[step]).all():
                ends = {name: self._named(end[step].tolist()) for name, end in self._ends.items()}
            made.append({"step": step + 1, **time, "prediction": self._named(row), **ends})
        return made

    def records(self) -> list[dict[str, Any]]:
        """One dict a number: step, time, target, value, low and high."""
        made = []
        for row in self.rows():
            place = {key: row[key] for key in ("step", "time") if key in row}
            for name, value in row["prediction"].items():
                ends = {end: row[end][name] if end in row else None for end in self._ends}
                made.append({**place, "target": name, "value": value, **ends})
        return made

    def lines(self) -> list[str]:
        """Return a line for each row, in columns."""
        dates = [time for time in self.times if isinstance(time, datetime)]
        whole_days = all(time == time.replace(hour=0, minute=0, second=0) for time in dates)
        form = "%Y-%m-%d" if whole_days else "%Y-%m-%d %H:%M:%S"
        cells = [["", *self.names]] if len(self.names) > 1 else []
        for step, row in enumerate(self.rows()):
            time = dates[step].strftime(form) if dates else str(row.get("time", step + 1))
            cells.append([time, *(self._cell(row, name) for name in self.names)])
        widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
        return [
            "  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)) for row in cells
        ]

    @staticmethod
    def _cell(row: dict[str, Any], name: str) -> str:
        value = f"{row['prediction'][name]:.6g}"
        return f"{value} [{row['low'][name]:.6g}, {row['high'][name]:.6g}]" if "low" in row else value

    @property
    def _ends(self) -> dict[str, np.ndarray]:
        return {} if self.low is None or self.high is None else {"low": self.low, "high": self.high}

    def _named(self, values: list[float]) -> dict[str, float]:
        return dict(zip(self.names, values, strict=True))


@dataclass(frozen=True)
class Forecasts:
    """Forecasts of the series of an input.

    Attributes:
        series: the forecast of each, by its id; "" for a single one.
        notes: what the intervals are, and which series have no forecast.
    """

    series: dict[str, Forecast]
    notes: tuple[str, ...] = ()
    has_names: ClassVar[bool] = True

    @property
    def values(self) -> np.ndarray:
        """(H, K) of a single series, (S, H, K) of several, in the units of the data."""
        return self._of("values")

    @property
    def low(self) -> np.ndarray | None:
        """The lower ends of the intervals, in the shape of `values`; None: the run has none."""
        return None if next(iter(self.series.values())).low is None else self._of("low")

    @property
    def high(self) -> np.ndarray | None:
        """The upper ends of the intervals, in the shape of `values`; None: the run has none."""
        return None if next(iter(self.series.values())).high is None else self._of("high")

    @property
    def times(self) -> tuple[datetime, ...] | tuple[float, ...]:
        """The times of the first series; those of others are in `series`."""
        return next(iter(self.series.values())).times

    @property
    def names(self) -> tuple[str, ...]:
        """Of the channels that are forecast."""
        return next(iter(self.series.values())).names

    def rows(self) -> list[dict[str, Any]]:
        """The rows of every series, each with its id."""
        return [{**named(name), **row} for name, one in self.series.items() for row in one.rows()]

    def records(self) -> list[dict[str, Any]]:
        """The rows of a file: series, step, time, target, value, low and high."""
        return [{**named(name), **row} for name, one in self.series.items() for row in one.records()]

    def text(self) -> str:
        """Return what the terminal shows: a table for each series."""
        parts = ["\n".join([*([name] if name else []), *one.lines()]) for name, one in self.series.items()]
        return "\n\n".join(parts)

    def _of(self, what: str) -> np.ndarray:
        found = np.stack([getattr(one, what) for one in self.series.values()])
        return found[0] if list(self.series) == [""] else found


def named(series: str) -> dict[str, str]:
    """Return the id of a series as an entry of a row; {} for a single one."""
    return {"series": series} if series else {}


# ---- forecasting -----------------------------------------------------------------------------------


def forecast(trained: Trained, inputs: Any, horizon: int | None = None) -> Forecasts:
    """Forecast every series of an input.

    Args:
        trained: the model.
        inputs: at least L rows of each series.
        horizon: rows to forecast; None: H, as in training. More are forecast from forecasts.

    Raises:
        UsageError: the horizon is no positive number, or longer than in training where some channels are only
            read.
        ModelError: all series have fewer than L rows.
    """
    encoded, known = inputs_of(trained.preprocess), measured_intervals(trained)
    steps = _steps(horizon, encoded)
    table = _with_times(_as_table(inputs, encoded), trained.preprocess, encoded)
    made: dict[str, Forecast] = {}
    short: list[str] = []
    found = _newest_rows(table, encoded)
    for name, rows in found:
        if len(found) > 1 and len(rows) < encoded.window:
            short.append(name)
            continue
        with panel.naming(name):
            made[name] = _forecast_of(trained, encoded, rows, steps, known)
    if not made:
        raise ModelError(f"Expected at least {encoded.window} rows of a series to forecast from.")
    return Forecasts(made, tuple(_notes(short, encoded, steps, known)))


def _as_table(inputs: Any, encoded: SeriesInputs) -> Any:
    """Give an index of times, as data frames of series have, and a single column their names."""
    if prediction_objects.is_pandas(inputs, "Series") and len(encoded.names) == 1:
        inputs = inputs.to_frame(encoded.names[0])
    if prediction_objects.is_pandas(inputs, "DataFrame"):
        indexed = prediction_objects.index_of(inputs) is not None
        if indexed and encoded.time is not None and encoded.time not in inputs.columns:
            return inputs.rename_axis(encoded.time).reset_index()
        return inputs
    single = len(encoded.names) == 1 and getattr(inputs, "ndim", 2) == 1
    return np.asarray(inputs).reshape(-1, 1) if single else inputs


def _notes(short: list[str], encoded: SeriesInputs, steps: int, known: Intervals | None) -> list[str]:
    notes = [] if known is None else [known.note]
    if steps > encoded.horizon:
        notes.append(
            f"the run learned to forecast {encoded.horizon} rows: later ones are forecast from forecasts, "
            "and have no intervals"
        )
    if short:
        some = ", ".join(short[:5]) + (" ..." if len(short) > 5 else "")
        notes.append(f"{len(short):,} series have fewer than {encoded.window} rows, and no forecast: {some}")
    return notes


def _steps(horizon: Any, encoded: SeriesInputs) -> int:
    if horizon is None:
        return encoded.horizon
    if not isinstance(horizon, int) or isinstance(horizon, bool) or horizon < 1:
        raise UsageError(f"horizon: expected a whole number of 1 or more rows, received {horizon!r}.")
    if horizon > encoded.horizon and encoded.targets is not None:
        others = ", ".join(encoded.names[encoded.targets :])
        raise UsageError(
            f"horizon is {horizon}, and the run learned to forecast {encoded.horizon} rows; later ones need "
            f"the values of {others}, which it does not forecast.",
            remedy=f"horizon={encoded.horizon}, or train with data.series.horizon={horizon}",
        )
    return horizon


def _forecast_of(
    trained: Trained, encoded: SeriesInputs, rows: pa.Table, steps: int, known: Intervals | None
) -> Forecast:
    window = first = trained.preprocess.inputs(rows)  # (1, L, C)
    parts: list[torch.Tensor] = []
    while sum(part.shape[1] for part in parts) < steps:
        outputs, _ = forward(trained, Batches(MemoryRows(window, torch.zeros(1)), 1))
        parts.append(outputs.reshape(1, encoded.horizon, -1))
        if encoded.targets is None:
            window = torch.cat([window, parts[-1].to(window.dtype)], 1)[:, -encoded.window :]
    scaled = torch.cat(parts, 1)[0, :steps].double().numpy()
    made = Forecast(
        encoded.own_units(scaled), encoded.forecast_names, _times(rows, replace(encoded, horizon=steps))
    )
    if known is None or known.margins.shape != (encoded.horizon, scaled.shape[1]):
        return made
    margin = np.full_like(scaled, np.nan)
    held = min(steps, encoded.horizon)
    margin[:held] = known.margins[:held] * window_scale(first, encoded)[0].double().numpy()
    return replace(made, low=encoded.own_units(scaled - margin), high=encoded.own_units(scaled + margin))


def inputs_of(preprocess: Preprocess) -> SeriesInputs:
    """The series a model was fitted on.

    Raises:
        ModelError: it was fitted on something else.
    """
    if not isinstance(preprocess.encoded, SeriesInputs):
        raise ModelError(f"Expected a model of series, received one of {type(preprocess.encoded).__name__}.")
    return preprocess.encoded


def _newest_rows(table: pa.Table, encoded: SeriesInputs) -> list[tuple[str, pa.Table]]:
    """Return the rows of every series in the order of time, with gaps filled as in training.

    Raises:
        BadDataError: times repeat, or the rows of the window are not as far apart as in training.
    """
    ids = [name for name in encoded.ids if name in table.column_names]
    found, time = panel.series_of(table, ids), encoded.time_column
    if time is not None and time.name in table.column_names:
        found = panel.in_order(found, time)[0]
    else:
        time = None
    made = []
    for name, rows in found:
        with panel.naming(name):
            if time is not None:
                newest = rows if encoded.fill else rows.slice(max(len(rows) - encoded.window, 0))
                time_index.check_as_trained(
                    newest,
                    time,
                    encoded.step,
                    encoded.months,
                    gaps=not encoded.fill,
                    workdays=encoded.workdays,
                )
            if encoded.fill is not None:
                steps = encoded.step, encoded.months
                filled = time if encoded.step is not None else None
                rows, _ = fill_gaps(rows, filled, *steps, encoded.names, encoded.fill, encoded.workdays)
        made.append((name, rows))
    return made


def _with_times(source: Any, preprocess: Preprocess, encoded: SeriesInputs) -> pa.Table:
    """Read the channels and, where the source has them, the times."""
    times = [encoded.time_column] if encoded.time_column is not None else []
    ids = [Column(name, "category") for name in encoded.ids]
    for extra in ([*ids, *times], times, ids, []):
        if extra:
            try:
                return prediction_input.table_from(source, (*extra, *preprocess.columns), encoded.shape)
            except ModelError:  # no times or no ids: an array, or a table without the column
                continue
    return preprocess.table_from(source)


def _plain(time: datetime | float) -> Any:
    """Return a time for JSON: a date as text, a number as it is."""
    return time if isinstance(time, (int, float)) else str(time)


def _numbers_after(table: pa.Table, encoded: SeriesInputs) -> tuple[float, ...]:
    """Return the times after the last row, where times are numbers; () where they are not, or not even."""
    column = encoded.time_column
    if column is None or column.kind != "number" or column.name not in table.column_names or len(table) < 2:
        return ()
    stamps = time_index.stamps(table, column)
    step = float(np.median(np.diff(stamps)))
    if not np.isfinite(stamps).all() or step <= 0:
        return ()
    made = (float(stamps[-1] + step * ahead) for ahead in range(1, encoded.horizon + 1))
    return tuple(int(time) if time.is_integer() else time for time in made)


def _times(table: pa.Table, encoded: SeriesInputs) -> tuple[datetime, ...] | tuple[float, ...]:
    if numbers := _numbers_after(table, encoded):
        return numbers
    if encoded.time not in table.column_names or encoded.step is None:  # a number, or none
        return ()
    if encoded.months is None and encoded.step >= 28 * time_index.DAY:  # of a run before months were known
        return ()
    last = table[encoded.time][-1].as_py()
    if last is None:
        return ()
    steps = range(1, encoded.horizon + 1)
    if encoded.workdays:
        return tuple(time_index.workday_after(last, step) for step in steps)
    if encoded.months is not None:
        at_end = (last + timedelta(days=1)).day == 1
        return tuple(time_index.add_months(last, encoded.months * step, at_end=at_end) for step in steps)
    return tuple(last + timedelta(seconds=encoded.step * step) for step in steps)
