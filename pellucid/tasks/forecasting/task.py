"""Forecasting: the next H rows of every channel, or of the target, from the last L.

Errors are measured on standardized channels, as in published comparisons on ETT. The
baselines are three forecasts without a network: the mean, the last value, and the last cycle.

Shapes: N windows, L rows in, H rows ahead, C channels, of which the first K are forecast.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, ClassVar, cast

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor

from pellucid.config import Config, SeriesConfig
from pellucid.data import panel, prediction_input, series, time_index
from pellucid.data.batches import Batches, MemoryRows
from pellucid.data.dataset import Column, Dataset
from pellucid.data.preprocess import Preprocess
from pellucid.data.series import SeriesInputs
from pellucid.data.series_fill import fill_gaps
from pellucid.errors import ConfigError, ModelError
from pellucid.evaluation import Outcome, Trained, forward
from pellucid.tasks.forecasting import forecast_blocks, windows
from pellucid.tasks.forecasting.objective import LossName, Options, forecasting
from pellucid.tasks.forecasting.spec import SPEC
from pellucid.tasks.options import read_loss_options, read_options
from pellucid.tasks.prepared import EVALUATED, Prepared
from pellucid.tasks.task import Baselines, Task
from pellucid.train.objective import Objective

EVAL_BATCH = 256
COVERAGE = 0.9
"""Share of validation errors that an interval holds."""


@dataclass(frozen=True)
class Forecast:
    """Forecast rows.

    Attributes:
        values: (H, C), in the units of the data.
        names: of the channels.
        times: of the rows, where the input had times; else ().
    """

    values: np.ndarray
    names: tuple[str, ...]
    times: tuple[datetime, ...] = ()

    def rows(self) -> list[dict[str, Any]]:
        """One dict a row: how many steps ahead, its time if known, and the value of every channel."""
        made = []
        for step, row in enumerate(self.values.tolist()):
            time = {"time": str(self.times[step])} if self.times else {}
            made.append({"step": step + 1, **time, "prediction": dict(zip(self.names, row, strict=True))})
        return made


@dataclass(frozen=True)
class Forecasts:
    """Forecasts of several series.

    Attributes:
        series: the forecast of each, by its id.
    """

    series: dict[str, Forecast]

    @property
    def values(self) -> np.ndarray:
        """Those of all series, (S, H, K), in the units of the data."""
        return np.stack([forecast.values for forecast in self.series.values()])

    def rows(self) -> list[dict[str, Any]]:
        """The rows of every series, each with its id."""
        return [{"series": name, **row} for name, one in self.series.items() for row in one.rows()]


class Forecasting(Task):
    """Forecast the next rows of a series."""

    spec = SPEC
    labelled: ClassVar[bool] = False
    form = "series"
    ordered: ClassVar[bool] = True

    def prepare(
        self, dataset: Dataset, config: Config, reads_tokens: bool, fitted: Preprocess | None = None
    ) -> Prepared:
        settings = config.data.series
        if not config.data.normalize:
            raise ConfigError(
                "data.normalize is false: forecasts are made and measured on standardized channels.",
                remedy="--set data.normalize=true",
            )
        table, fraction = series.in_order(dataset), config.data.fraction
        target, ids = config.data.target, panel.id_names(table, settings.id)
        if fraction < 1:
            named = panel.series_of(table, ids)
            table = pa.concat_tables([rows.slice(0, round(len(rows) * fraction)) for _, rows in named])
            dataset, settings = dataset.with_splits({"train": table}), _fewer(settings, fraction)
        dated = time_index.time_column(dataset, settings.time)
        found = series.channels(dataset, dated, ids, target)[0]
        parts = panel.read_panel(dataset, table, settings, [column.name for column in found])
        channels, targets = series.channels(dataset, parts.time, ids, target)
        shares = config.data.validation, config.data.test
        sizes, notes = series.sizes_of_each(parts, dataset, settings, *shares)
        splits = windows.split_tables(parts, sizes)
        preprocess = fitted
        if preprocess is None:
            dates = parts.time is not None and parts.time.kind == "date"
            encoded = SeriesInputs.fit(
                channels,
                splits["train"],
                settings,
                parts.time.name if parts.time else None,
                parts.step if dates else None,
                targets=targets,
                ids=ids,
                months=parts.months,
                fill=settings.fill,
                time_form=dict(parts.time.form) if parts.time else {},
            )
            preprocess = Preprocess(channels, encoded)
        encoded = inputs_of(preprocess)
        rows, size = windows.rows_of(parts, sizes, encoded)
        where = f"in memory, {size / 2**20:,.1f} MiB, of which the windows are views"
        notes = [
            *parts.notes,
            *_roles(encoded),
            *_unread(dataset, encoded),
            *notes,
            windows.describe(parts, sizes),
        ]
        ordered = replace(dataset.with_splits(splits, *notes), target=None, task=None)
        return Prepared(config, ordered, preprocess, rows, where, eval_batch=EVAL_BATCH)

    def num_outputs(self, preprocess: Preprocess) -> int:
        """H * K."""
        inputs = inputs_of(preprocess)
        return inputs.horizon * len(inputs.forecast_names)

    def objective(self, config: Config, prepared: Prepared | None = None) -> Objective:
        options = read_options(Options, config)
        loss = cast(LossName, config.objective.loss) or options.loss
        return forecasting(loss, read_loss_options(config, loss))

    def baselines(self, prepared: Prepared) -> Baselines:
        """The mean ("prior"), the last value ("last") and the last cycle ("season")."""
        found: Baselines = {}
        for split, prefix in EVALUATED.items():
            totals: dict[str, Tensor] = {}
            for inputs, targets in prepared.batches(split):
                for name, preds in naive(inputs, inputs_of(prepared.preprocess)).items():
                    errors = (preds - targets).double()
                    sums = torch.stack([errors.square().sum(), errors.abs().sum()])
                    totals[name] = totals.get(name, torch.zeros(2, dtype=torch.double)) + sums
            per_window = self.num_outputs(prepared.preprocess)
            count = len(prepared.rows[split]) * per_window
            for name, sums in totals.items():
                mse, mae = (sums / count).tolist()
                measures = {f"{prefix}/loss": mse, f"{prefix}/mse": mse, f"{prefix}/mae": mae}
                found[name] = {**found.get(name, {}), **measures}
        return found

    def evaluate(self, trained: Trained, prepared: Prepared, split: str) -> Outcome:
        preds, targets = _forecasts(trained, prepared, split)
        errors = preds - targets
        squared = errors.square()
        mse, mae = squared.mean(dtype=torch.float64).item(), errors.abs().mean(dtype=torch.float64).item()
        metrics = {"loss": mse, "mse": mse, "mae": mae}
        margin = None
        if split != prepared.validation:
            margin = interval(*_forecasts(trained, prepared, prepared.validation))
            metrics["coverage"] = (errors.abs() <= margin).double().mean().item()
        inputs: Tensor = prepared.rows[split].inputs  # type: ignore[attr-defined]
        encoded = inputs_of(prepared.preprocess)
        shown = forecast_blocks.SplitForecasts(
            encoded,
            {"forecast": preds, **naive(inputs, encoded)},
            inputs,
            targets,
            margin,
            windows.starts(prepared.dataset.splits, encoded, split),
            prepared.config.data.target,
        )
        columns = {
            "row": np.arange(len(preds)),
            "mse": squared.mean((1, 2)).numpy(),
            "mae": errors.abs().mean((1, 2)).numpy(),
        }
        summary = {"rows": len(preds), "task": self.name, "channels": list(encoded.forecast_names)}
        return Outcome(metrics, summary, pa.table(columns), blocks=forecast_blocks.blocks(shown))

    def read(self, trained: Trained, inputs: Any, *, skip_bad: bool = False) -> Any:
        return inputs

    def predict(self, trained: Trained, inputs: Any, **options: Any) -> Forecast | Forecasts:
        """Forecast from the last L rows of a CSV or Parquet file, a data frame, or an array (rows, C).

        Raises:
            ModelError: there are fewer than L rows, or other channels than in training.
            BadDataError: a value cannot be read, or is missing.
        """
        encoded = inputs_of(trained.preprocess)
        if len(encoded.names) == 1 and getattr(inputs, "ndim", 2) == 1:
            inputs = inputs.reshape(-1, 1)
        table = _with_times(inputs, trained.preprocess, encoded)
        made: dict[str, Forecast] = {}
        for name, rows in _newest_rows(table, encoded):
            with panel.naming(name):
                window = trained.preprocess.inputs(rows)
            outputs, _ = forward(trained, Batches(MemoryRows(window, torch.zeros(1)), 1))
            values = encoded.own_units(outputs.reshape(encoded.horizon, -1).double().numpy())
            made[name] = Forecast(values, encoded.forecast_names, _times(rows, encoded))
        return next(iter(made.values())) if list(made) == [""] else Forecasts(made)


def _fewer(settings: SeriesConfig, fraction: float) -> SeriesConfig:
    """Take the same share of the rows of every split."""
    rows = settings.rows and [int(fraction * count) for count in settings.rows]
    return settings.model_copy(update={"rows": rows})


def inputs_of(preprocess: Preprocess) -> SeriesInputs:
    """The series a model was fitted on.

    Raises:
        ModelError: it was fitted on something else.
    """
    if not isinstance(preprocess.encoded, SeriesInputs):
        raise ModelError(f"Expected a model of series, received one of {type(preprocess.encoded).__name__}.")
    return preprocess.encoded


def naive(inputs: Tensor, encoded: SeriesInputs) -> dict[str, Tensor]:
    """Forecast without a network, (N, L, C) -> (N, H, K): by the mean, the last value, and the last cycle."""
    horizon, inputs = encoded.horizon, inputs[:, :, : encoded.targets]
    last = inputs[:, -1:]
    found = {"prior": torch.zeros_like(last).expand(-1, horizon, -1), "last": last.expand(-1, horizon, -1)}
    cycle = time_index.season(encoded.step) if encoded.step else None
    if cycle is not None and cycle[0] <= encoded.window:
        rows = cycle[0]
        found["season"] = inputs[:, encoded.window - rows + torch.arange(horizon) % rows]
    return found


def interval(preds: Tensor, targets: Tensor) -> Tensor:
    """Half the width of an interval that held `COVERAGE` of the errors at each step: (H, C).

    The ceil((N + 1) coverage)-th smallest of N absolute errors, as in split conformal prediction (Lei et al.
    2018). Its guarantee asks for exchangeable errors, which those of a series are not: how many it holds on
    later rows is measured.
    """
    errors = (preds - targets).abs()
    rank = min(len(errors), int(np.ceil((len(errors) + 1) * COVERAGE)))
    return errors.kthvalue(rank, dim=0).values


# ---- parts -----------------------------------------------------------------------------------------


def _forecasts(trained: Trained, prepared: Prepared, split: str) -> tuple[Tensor, Tensor]:
    """Return forecasts and truth, (N, H, C)."""
    outputs, targets = forward(trained, prepared.batches(split))
    return outputs.reshape(targets.shape), targets


def _roles(encoded: SeriesInputs) -> list[str]:
    """Say which channels are forecast, where it is not all of them."""
    if encoded.targets is None:
        return []
    others = ", ".join(encoded.names[encoded.targets :])
    return [f"forecast and measured: {', '.join(encoded.forecast_names)}; only read: {others}"]


def _unread(dataset: Dataset, encoded: SeriesInputs) -> list[str]:
    """Say which columns are not read, since they hold no numbers."""
    read = {*encoded.names, *encoded.ids, encoded.time}
    others = [f"{column.name!r} ({column.kind})" for column in dataset.columns if column.name not in read]
    return [f"not read, since forecasts read only numbers: {', '.join(others)}"] if others else []


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
                time_index.check_as_trained(newest, time, encoded.step, encoded.months, gaps=not encoded.fill)
            if encoded.fill is not None:
                steps = encoded.step, encoded.months
                filled = time if encoded.step is not None else None
                rows, _ = fill_gaps(rows, filled, *steps, encoded.names, encoded.fill)
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


def _times(table: pa.Table, encoded: SeriesInputs) -> tuple[datetime, ...]:
    if encoded.time not in table.column_names or encoded.step is None:  # a number, or none
        return ()
    if encoded.months is None and encoded.step >= 28 * time_index.DAY:  # of a run before months were known
        return ()
    last = table[encoded.time][-1].as_py()
    if last is None:
        return ()
    steps = range(1, encoded.horizon + 1)
    if encoded.months is not None:
        at_end = (last + timedelta(days=1)).day == 1
        return tuple(time_index.add_months(last, encoded.months * step, at_end=at_end) for step in steps)
    return tuple(last + timedelta(seconds=encoded.step * step) for step in steps)


TASK = Forecasting()
