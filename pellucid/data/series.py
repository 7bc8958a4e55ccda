"""Time series: windows of consecutive rows to forecast from.

A table with a time column and columns of numbers becomes one array (T, C), standardized by its training rows.
A window is L rows and the H rows after them, read from that array by its number. The splits follow each other
in time. A window of validation or test may begin in the previous split, so that all held-out rows are
forecast from what was known then (the protocol of Zhou et al. 2021, Informer, on the ETT series).

Shapes: T rows in all, C channels, L = window, H = horizon, N = T - L - H + 1 windows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import torch

from pellucid.config import SeriesConfig
from pellucid.data.dataset import SPLITS, Column, Dataset
from pellucid.data.encoder import Inputs, with_tuples
from pellucid.data.panel import Panel
from pellucid.data.scaling import scale
from pellucid.data.series_fill import Fill
from pellucid.data.series_splits import given_sizes
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
        targets: K, the number of channels to forecast, which are the first; None: all.
        ids: the columns that name the series, where there are several.
        months: months from one row to the next, where time is a date of every n-th month.
        workdays: whether rows are from Monday to Friday.
        fill: how gaps are filled, see `data.series.fill`.
        time_form: how the dates of the time column are written, as `Column.form`.
    """

    stored_as = "series"

    names: tuple[str, ...]
    window: int
    horizon: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    time: str | None = None
    step: float | None = None
    targets: int | None = None
    ids: tuple[str, ...] = ()
    months: int | None = None
    workdays: bool = False
    fill: Fill | None = None
    time_form: Mapping[str, Any] = field(default_factory=dict, hash=False)

    @classmethod
    def fit(
        cls,
        channels: Sequence[Column],
        train: pa.Table,
        config: SeriesConfig,
        time: str | None = None,
        step: float | None = None,
        **others: Any,
    ) -> SeriesInputs:
        """Measure the channels on the training rows; `others` are further fields."""
        names = tuple(column.name for column in channels)
        mean, std = scale(numbers(train, names), True, axis=0)
        measured = tuple(np.atleast_1d(mean).tolist()), tuple(np.atleast_1d(std).tolist())
        return cls(names, config.window, config.horizon, *measured, time, step, **others)

    @property
    def forecast_names(self) -> tuple[str, ...]:
        """The names of the K channels to forecast."""
        return self.names[: self.targets]

    @property
    def time_column(self) -> Column | None:
        """The column of time: of dates if the step is known in seconds, else of numbers."""
        if self.time is None:
            return None
        return Column(self.time, "number" if self.step is None else "date", form=self.time_form)

    @property
    def target_channels(self) -> int | None:
        return self.targets

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
        """Bring standardized forecasts (..., K) back to the units of the data."""
        return values * np.asarray(self.std[: self.targets]) + np.asarray(self.mean[: self.targets])

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


def channels(
    dataset: Dataset, time: Column | None, ids: Sequence[str] = (), target: str | None = None
) -> tuple[tuple[Column, ...], int | None]:
    """Return the columns of numbers, those to forecast first, and how many these are.

    Args:
        dataset: the columns.
        time: the time column, which is no channel.
        ids: the columns that name the series, which are none either.
        target: the columns to forecast, with commas between them; None: all.

    Returns:
        The channels, and the number of those to forecast; None where it is all of them.

    Raises:
        BadDataError: there is none, or a target is no number.
        UnknownNameError: there is no column of the name of a target.
    """
    found = tuple(
        column
        for column in dataset.columns
        if column.kind in ("number", "boolean") and column != time and column.name not in ids
    )
    if not found:
        kinds = ", ".join(f"{column.name!r} ({column.kind})" for column in dataset.columns)
        raise BadDataError(
            f"{dataset.name} has no column of numbers to forecast: received {kinds}{_left_out(dataset)}.",
            remedy="--set 'data.columns={NAME: number}'",
        )
    if target is None:
        return found, None
    known = [column.name for column in dataset.columns]
    wanted = [target] if target in known else [part.strip() for part in target.split(",")]
    first = []
    for name in wanted:
        if name not in known and f"left out {name!r}" in _left_out(dataset):
            raise BadDataError(
                f"{name!r} cannot be forecast{_left_out(dataset)}.",
                remedy=f"--set 'data.columns={{{name}: number}}' keeps it",
            )
        column = dataset.column(name)
        if column not in found:
            raise BadDataError(
                f"{name!r} cannot be forecast: expected numbers, received {column.kind}.",
                remedy=f"--target {found[0].name}",
            )
        first.append(column)
    rest = [column for column in found if column not in first]
    return (*first, *rest), len(first) if rest else None


def numbers(table: pa.Table, names: Sequence[str]) -> np.ndarray:
    """Stack columns: (T, C) float64.

    Raises:
        BadDataError: a value is missing or infinite; says where, and how many.
    """
    columns = [table[name] for name in names]
    columns = [c.cast(pa.uint8()) if pa.types.is_boolean(c.type) else c for c in columns]
    values = np.stack([column.cast(pa.float64()).to_numpy() for column in columns], axis=1)
    rows, columns = np.nonzero(~np.isfinite(values))
    if len(rows):
        raise BadDataError(
            f"Column {names[columns[0]]!r} has no finite number in row {rows[0] + 1:,}; {len(rows):,} "
            f"of {values.size:,} values are missing or infinite, and a forecast needs every one.",
            remedy="--set data.series.fill=previous (or linear or zero), or leave out the column",
        )
    return values


def _left_out(dataset: Dataset) -> str:
    """Say which columns were left out when the source was read."""
    return "".join(f"; {note}" for note in dataset.notes if note.startswith("left out "))


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


def sizes_of_each(
    panel: Panel, dataset: Dataset, config: SeriesConfig, validation: float, test: float
) -> tuple[list[dict[str, int]], list[str]]:
    """Return the number of rows of each split of every series, and notes.

    The splits of the source are kept. Otherwise a series too short for a window in every split is only
    learned from; one too short for a single window is left out, with no rows in any split.

    Raises:
        BadDataError: no series is long enough.
    """
    given = len(dataset.splits) > 1 and config.rows is None
    if given and (len(panel.tables) > 1 or config.id or config.fill):
        return given_sizes(panel, dataset, config, validation, test), []
    if len(panel.tables) == 1:
        one = dataset.with_splits({"train": panel.tables[0]}) if config.fill or config.id else dataset
        return [split_sizes(one, config, validation, test)], []
    if config.rows is not None:
        raise ConfigError(
            f"data.series.rows are of one series, received {len(panel.tables)} of them.",
            remedy="--set data.series.rows=null splits each by data.validation and data.test",
        )
    sizes, whole, short = [], [], []
    for name, table in zip(panel.names, panel.tables, strict=True):
        total = len(table)
        held_out = [round(total * validation), round(total * test)]
        train = total - sum(held_out)
        if train >= config.window + config.horizon and min(held_out) >= config.horizon:
            sizes.append(dict(zip(SPLITS, [train, *held_out], strict=True)))
        elif total >= config.window + config.horizon:
            sizes.append({"train": total, "validation": 0, "test": 0})
            whole.append(name)
        else:
            sizes.append(dict.fromkeys(SPLITS, 0))
            short.append(name)
    if not any(size["test"] for size in sizes):
        longest = max(map(len, panel.tables))
        raise BadDataError(
            f"{dataset.name}: the longest of {len(sizes):,} series has {longest:,} rows; its share for "
            f"validation and test must be at least the horizon, {config.horizon}, the rest window + horizon, "
            f"{config.window + config.horizon}.",
            remedy="a smaller data.series.window and data.series.horizon",
        )
    notes = []
    if whole:
        notes.append(
            f"{len(whole):,} series are too short to be split, and are only learned from: {_listed(whole)}"
        )
    if short:
        notes.append(
            f"{len(short):,} series are shorter than window + horizon, and are left out: {_listed(short)}"
        )
    return sizes, notes


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:5]) + (" ..." if len(names) > 5 else "")


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
