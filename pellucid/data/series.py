"""Time series: windows of consecutive rows to forecast from.

A table with a time column and columns of numbers becomes one array (T, C), standardized by its training rows.
A window is L rows and the H rows after them, read from that array by its number. The splits follow each other
in time. A window of validation or test may begin in the previous split, so that all held-out rows are
forecast from what was known then (the protocol of Zhou et al. 2021, Informer, on the ETT series).

Shapes: T rows in all, C channels, L = window, H = horizon, N = T - L - H + 1 windows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import torch

from pellucid.config import SeriesConfig
from pellucid.data.dataset import SPLITS, Column, Dataset
from pellucid.data.encoder import Inputs, with_tuples
from pellucid.data.scaling import scale
from pellucid.errors import BadDataError, ConfigError, ModelError


@dataclass(frozen=True)
class SeriesInputs(Inputs):
    """The last L rows of C channels, each channel standardized by its training rows.

    Attributes:
        names: of the channels.
        window: L.
        horizon: H.
        mean: of each channel, in its own unit.
        std: of each channel, in its own unit.
        time: the time column; None: rows are evenly spaced in their order.
        step: seconds from one row to the next, where time is a date.
    """

    stored_as = "series"

    names: tuple[str, ...]
    window: int
    horizon: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    time: str | None = None
    step: float | None = None

    @classmethod
    def fit(
        cls,
        channels: Sequence[Column],
        train: pa.Table,
        config: SeriesConfig,
        time: str | None = None,
        step: float | None = None,
    ) -> SeriesInputs:
        """Measure the channels on the training rows."""
        names = tuple(column.name for column in channels)
        mean, std = scale(numbers(train, names), True, axis=0)
        measured = tuple(np.atleast_1d(mean).tolist()), tuple(np.atleast_1d(std).tolist())
        return cls(names, config.window, config.horizon, *measured, time, step)

    @property
    def shape(self) -> tuple[int, int]:
        """The shape of one window: (L, C)."""
        return (self.window, len(self.names))

    def values(self, table: pa.Table) -> np.ndarray:
        """Return every row, standardized: (T, C) float32."""
        return ((numbers(table, self.names) - np.asarray(self.mean)) / np.asarray(self.std)).astype(
            np.float32
        )

    def apply(self, table: pa.Table) -> np.ndarray:
        """Return the last window: (1, L, C) float32.

        Raises:
            ModelError: there are fewer than L rows.
            BadDataError: a value is missing.
        """
        if len(table) < self.window:
            raise ModelError(
                f"Expected at least {self.window} rows to forecast from, received {len(table)}.",
                remedy=f"pass the last {self.window} rows, the newest at the end",
            )
        return self.values(table.slice(len(table) - self.window))[None]

    def own_units(self, values: np.ndarray) -> np.ndarray:
        """Bring standardized values (..., C) back to the units of the data."""
        return values * np.asarray(self.std) + np.asarray(self.mean)

    def state(self) -> dict[str, Any]:
        return {"kind": self.stored_as, **asdict(self)}

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> SeriesInputs:
        """Restore from `state()`."""
        return cls(**with_tuples(state))


def windows(values: torch.Tensor, window: int, horizon: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Return all windows of a series (T, C) as views: inputs (N, L, C) and targets (N, H, C).

    Example:
        >>> inputs, targets = windows(torch.arange(10.0)[:, None], window=3, horizon=2)
        >>> len(inputs), inputs[-1, :, 0].tolist(), targets[-1, :, 0].tolist()
        (6, [5.0, 6.0, 7.0], [8.0, 9.0])
    """
    count = len(values) - window - horizon + 1
    inputs = values.unfold(0, window, 1)[:count].transpose(1, 2)
    return inputs, values[window:].unfold(0, horizon, 1).transpose(1, 2)


def channels(dataset: Dataset, time: Column | None) -> tuple[Column, ...]:
    """Return the columns of numbers, all of which are forecast.

    Raises:
        BadDataError: there is none.
    """
    found = tuple(column for column in dataset.columns if column.kind == "number" and column != time)
    if not found:
        kinds = ", ".join(f"{column.name!r} ({column.kind})" for column in dataset.columns)
        raise BadDataError(
            f"{dataset.name} has no column of numbers to forecast: received {kinds}.",
            remedy="--set 'data.columns={NAME: number}'",
        )
    return found


def numbers(table: pa.Table, names: Sequence[str]) -> np.ndarray:
    """Stack columns: (T, C) float64.

    Raises:
        BadDataError: a value is missing or infinite; says where, and how many.
    """
    values = np.stack([table[name].cast(pa.float64()).to_numpy() for name in names], axis=1)
    rows, columns = np.nonzero(~np.isfinite(values))
    if len(rows):
        raise BadDataError(
            f"Column {names[columns[0]]!r} has no finite number in row {rows[0] + 1:,}; {len(rows):,} "
            f"of {values.size:,} values are missing or infinite, and a forecast needs every one.",
            remedy="fill them, for example with the value before, or leave the column out of data.inputs",
        )
    return values


# ---- splits ----------------------------------------------------------------------------------------


def in_order(dataset: Dataset) -> pa.Table:
    """Return all splits of a dataset, concatenated."""
    return pa.concat_tables([dataset.splits[name] for name in SPLITS if name in dataset.splits])


def split_sizes(dataset: Dataset, config: SeriesConfig, validation: float, test: float) -> dict[str, int]:
    """Return the number of rows of each split, in the order of time.

    They are `config.rows`; otherwise the splits of the source, and the shares for those it lacks: the newest
    rows for test, those before them for validation.

    Raises:
        ConfigError: `config.rows` are not three numbers, or exceed the rows there are.
        BadDataError: a split is too short for a single window.
    """
    total = sum(len(table) for table in dataset.splits.values())
    if config.rows is not None:
        if len(config.rows) != 3 or min(config.rows) < 1 or sum(config.rows) > total:
            raise ConfigError(
                f"data.series.rows: expected the rows of train, validation and test, at most {total:,} in "
                f"all; received {config.rows}.",
                remedy="--set data.series.rows=null, which splits by data.validation and data.test",
            )
        counts = list(config.rows)
    else:
        shares = {"validation": validation, "test": test}
        held_out = [
            len(dataset.splits[name]) if name in dataset.splits else round(total * share)
            for name, share in shares.items()
        ]
        counts = [total - sum(held_out), *held_out]
    sizes: dict[str, int] = dict(zip(SPLITS, counts, strict=True))
    for name, rows in sizes.items():
        _check_length(dataset.name, name, rows, total, config)
    return sizes


def _check_length(dataset: str, split: str, rows: int, total: int, config: SeriesConfig) -> None:
    first = split == "train"
    needed = config.horizon + (config.window if first else 0)
    if rows < needed:
        what = f"window {config.window} + horizon {config.horizon}" if first else "the horizon"
        raise BadDataError(
            f"{dataset}: {split} has {rows:,} of {total:,} rows, expected at least {needed:,} ({what}).",
            remedy="more rows, or a smaller data.series.window or data.series.horizon",
        )


def cut(values: torch.Tensor, sizes: Mapping[str, int], window: int) -> dict[str, torch.Tensor]:
    """Cut the series (T, C) into splits, as views; all but the first also hold the L rows before them."""
    parts, start = {}, 0
    for name, rows in sizes.items():
        parts[name] = values[max(0, start - window) : start + rows]
        start += rows
    return parts
