"""Forecasting: the next H rows of every channel from the last L.

Errors are measured on standardized channels, as in published comparisons on ETT. The
baselines are three forecasts without a network: the mean, the last value, and the last cycle.

Shapes: N windows, L rows in, H rows ahead, C channels.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, ClassVar, cast

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor

from pellucid.config import Config, SeriesConfig
from pellucid.data import prediction_input, series, time_index
from pellucid.data.batches import Batches, MemoryRows
from pellucid.data.dataset import Column, Dataset
from pellucid.data.preprocess import Preprocess
from pellucid.data.series import SeriesInputs
from pellucid.errors import ConfigError, ModelError
from pellucid.evaluation import Outcome, Trained, forward
from pellucid.tasks.forecasting import forecast_blocks
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


class Forecasting(Task):
    """Forecast the next rows of a series."""

    spec = SPEC
    labelled: ClassVar[bool] = False
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
        table = series.in_order(dataset)
        table = table.slice(0, round(len(table) * config.data.fraction))
        if config.data.fraction < 1:
            dataset, settings = dataset.with_splits({"train": table}), _fewer(settings, config.data.fraction)
        time = time_index.time_column(dataset, settings.time)
        channels = series.channels(dataset, time)
        sizes = series.split_sizes(dataset, settings, config.data.validation, config.data.test)
        step = time_index.usual_step(table, time) if time else None
        preprocess = fitted
        if preprocess is None:
            train = table.slice(0, sizes["train"])
            when = (time.name, step if time.kind == "date" else None) if time else (None, None)
            preprocess = Preprocess(channels, SeriesInputs.fit(channels, train, settings, *when))
        encoded = inputs_of(preprocess)
        values = torch.from_numpy(encoded.values(table))
        parts = series.cut(values, sizes, encoded.window)
        rows = {
            name: MemoryRows(*series.windows(part, encoded.window, encoded.horizon))
            for name, part in parts.items()
        }
        where = f"in memory, {values.nbytes / 2**20:,.1f} MiB, of which the windows are views"
        ordered = replace(dataset.with_splits(*_splits(table, sizes, time)), target=None, task=None)
        return Prepared(config, ordered, preprocess, rows, where, eval_batch=EVAL_BATCH)

    def num_outputs(self, preprocess: Preprocess) -> int:
        """H * C."""
        inputs = inputs_of(preprocess)
        return inputs.horizon * len(inputs.names)

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
            count = prepared.rows[split].targets.numel()  # type: ignore[attr-defined]
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
            _starts(prepared, split),
            prepared.config.data.target,
        )
        columns = {
            "row": np.arange(len(preds)),
            "mse": squared.mean((1, 2)).numpy(),
            "mae": errors.abs().mean((1, 2)).numpy(),
        }
        summary = {"rows": len(preds), "task": self.name, "channels": list(encoded.names)}
        return Outcome(metrics, summary, pa.table(columns), blocks=forecast_blocks.blocks(shown))

    def predict(self, trained: Trained, inputs: Any, **options: Any) -> Forecast:
        """Forecast from the last L rows of a CSV or Parquet file, a data frame, or an array (rows, C).

        Raises:
            ModelError: there are fewer than L rows, or other channels than in training.
            BadDataError: a value cannot be read, or is missing.
        """
        encoded = inputs_of(trained.preprocess)
        if len(encoded.names) == 1 and getattr(inputs, "ndim", 2) == 1:
            inputs = inputs.reshape(-1, 1)
        table = _with_times(inputs, trained.preprocess, encoded)
        window = trained.preprocess.inputs(table)
        outputs, _ = forward(trained, Batches(MemoryRows(window, torch.zeros(1)), 1))
        values = encoded.own_units(outputs.reshape(encoded.horizon, -1).double().numpy())
        return Forecast(values, encoded.names, _times(table, encoded))


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
    """Forecast without a network, (N, L, C) -> (N, H, C): by the mean, the last value, and the last cycle."""
    horizon = encoded.horizon
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


def _splits(
    table: pa.Table, sizes: Mapping[str, int], time: Column | None
) -> tuple[dict[str, pa.Table], str]:
    parts, words, start = {}, [], 0
    for name, rows in sizes.items():
        parts[name] = table.slice(start, rows)
        first, last = (table[time.name][row] for row in (start, start + rows - 1)) if time else (0, 0)
        words.append(f"{name} {rows:,} rows" + (f" ({first} to {last})" if time else ""))
        start += rows
    left = f"; the {len(table) - start:,} rows after them are not used" if start < len(table) else ""
    unknown = "" if time else "; no column of time, so rows count as evenly spaced"
    return parts, f"split in the order of time: {', '.join(words)}{left}{unknown}"


def _starts(prepared: Prepared, split: str) -> list[Any]:
    """The time of the first row that each window of a split forecasts; [] where there is no time."""
    encoded, table = inputs_of(prepared.preprocess), prepared.dataset.splits[split]
    if encoded.time is None:
        return []
    first = encoded.window if split == "train" else 0
    return table[encoded.time].slice(first).to_pylist()


def _with_times(source: Any, preprocess: Preprocess, encoded: SeriesInputs) -> pa.Table:
    """Read the channels and, where the source has them, the times."""
    if encoded.time is not None and encoded.step is not None:
        columns = (Column(encoded.time, "date"), *preprocess.columns)
        try:
            return prediction_input.table_from(source, columns, encoded.shape)
        except ModelError:  # no times: an array, or a table without the column
            pass
    return preprocess.table_from(source)


def _times(table: pa.Table, encoded: SeriesInputs) -> tuple[datetime, ...]:
    if encoded.time not in table.column_names or encoded.step is None or encoded.step >= 28 * time_index.DAY:
        return ()
    last = table[encoded.time][-1].as_py()
    if last is None:
        return ()
    return tuple(last + timedelta(seconds=encoded.step * step) for step in range(1, encoded.horizon + 1))


TASK = Forecasting()
