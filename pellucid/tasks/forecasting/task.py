"""Forecasting: the next H rows of every channel, or of the target, from the last L.

Errors are measured on standardized channels, as in published comparisons on ETT. The
baselines are three forecasts without a network: the mean, the last value, and the last cycle.

Shapes: N windows, L rows in, H rows ahead, C channels, of which the first K are forecast.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, cast

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor

from pellucid.config import Config, SeriesConfig
from pellucid.data import panel, series, time_index
from pellucid.data.dataset import Dataset
from pellucid.data.preprocess import Preprocess
from pellucid.data.series import SeriesInputs
from pellucid.errors import ConfigError
from pellucid.evaluation import Outcome, Trained, forward
from pellucid.tasks.forecasting import forecast_blocks, windows
from pellucid.tasks.forecasting.forecasts import Forecasts, forecast, inputs_of
from pellucid.tasks.forecasting.intervals import COVERAGE, interval, window_scale
from pellucid.tasks.forecasting.objective import LossName, Options, forecasting
from pellucid.tasks.forecasting.spec import SPEC
from pellucid.tasks.options import read_loss_options, read_options
from pellucid.tasks.prepared import EVALUATED, Prepared
from pellucid.tasks.task import Baselines, Task, answer
from pellucid.train.objective import Objective

EVAL_BATCH = 256


class Forecasting(Task):
    """Forecast the next rows of a series."""

    spec = SPEC
    not_explained = "returns many numbers for every series and not one to explain"

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
                workdays=parts.workdays,
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
        inputs: Tensor = prepared.rows[split].inputs  # type: ignore[attr-defined]
        encoded = inputs_of(prepared.preprocess)
        summary = {"rows": len(preds), "task": self.name, "channels": list(encoded.forecast_names)}
        margin = None
        if split != prepared.validation:
            before: Tensor = prepared.rows[prepared.validation].inputs  # type: ignore[attr-defined]
            known, truth = _forecasts(trained, prepared, prepared.validation)
            quantiles = interval((known - truth) / window_scale(before, encoded))
            margin = quantiles * window_scale(inputs, encoded)  # (N, H, K)
            metrics["coverage"] = (errors.abs() <= margin).double().mean().item()
            summary["interval"] = {"share": COVERAGE, "margins": quantiles.tolist()}
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
        return Outcome(metrics, summary, pa.table(columns), blocks=forecast_blocks.blocks(shown))

    def read(self, trained: Trained, inputs: Any, *, skip_bad: bool = False) -> Any:
        return inputs

    def predict(self, trained: Trained, inputs: Any, **options: Any) -> Forecasts:
        """Forecast from the last L rows of each series of a file, a data frame, or an array (rows, C).

        Options: `horizon`, rows to forecast; more than in training where all channels are forecast.

        Raises:
            ModelError: there are fewer than L rows, or other channels than in training.
            BadDataError: a value cannot be read, or is missing.
        """
        return answer(forecast, trained, inputs, options)


def _fewer(settings: SeriesConfig, fraction: float) -> SeriesConfig:
    """Take the same share of the rows of every split."""
    rows = settings.rows and [int(fraction * count) for count in settings.rows]
    return settings.model_copy(update={"rows": rows})


def naive(inputs: Tensor, encoded: SeriesInputs) -> dict[str, Tensor]:
    """Forecast without a network, (N, L, C) -> (N, H, K): by the mean, the last value, and the last cycle."""
    horizon, inputs = encoded.horizon, inputs[:, :, : encoded.targets]
    last = inputs[:, -1:]
    found = {"prior": torch.zeros_like(last).expand(-1, horizon, -1), "last": last.expand(-1, horizon, -1)}
    cycle = time_index.season(encoded.step, encoded.workdays) if encoded.step else None
    if cycle is not None and cycle[0] <= encoded.window:
        rows = cycle[0]
        found["season"] = inputs[:, encoded.window - rows + torch.arange(horizon) % rows]
    return found


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


TASK = Forecasting()
