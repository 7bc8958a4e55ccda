"""The splits that a source of several series already has, as rows of each series."""

from __future__ import annotations

import itertools
from collections.abc import Mapping

import numpy as np
import pyarrow as pa

from pellucid.config import SeriesConfig
from pellucid.data import time_index
from pellucid.data.dataset import SPLITS, Column, Dataset
from pellucid.data.panel import Panel, id_names, in_order, naming, series_of
from pellucid.errors import BadDataError

Sizes = dict[str, int]


def given_sizes(
    panel: Panel, dataset: Dataset, config: SeriesConfig, validation: float, test: float
) -> list[Sizes]:
    """Return the rows of each split of every series, where the source has splits.

    A split that the source lacks is taken from the end of the training rows of each series. A series may be
    in only some of the splits.

    Args:
        panel: the series, with gaps filled.
        dataset: the splits of the source.
        config: window, horizon and the columns of the ids.
        validation: share of the rows for validation, if the source has none.
        test: share of the rows for test, likewise.

    Raises:
        BadDataError: in a series, a later split begins before an earlier one ends, or no series has a window
            in one of the splits.
    """
    ids = id_names(next(iter(dataset.splits.values())), config.id)
    parts = {name: _by_name(table, ids, panel.time) for name, table in dataset.splits.items()}
    shares = {"test": test, "validation": validation}
    missing = {name: share for name, share in shares.items() if name not in dataset.splits}
    made = []
    for name, table in zip(panel.names, panel.tables, strict=True):
        own = {split: found[name] for split, found in parts.items() if name in found}
        with naming(name):
            sizes = _cut(table, own, panel.time)
        made.append(_with_shares(sizes, missing, config))
    _check_windows(dataset, made, config)
    return made


def _by_name(table: pa.Table, ids: tuple[str, ...], time: Column | None) -> dict[str, pa.Table]:
    named = series_of(table, ids)
    return dict(in_order(named, time)[0] if time else named)


def _cut(table: pa.Table, own: Mapping[str, pa.Table], time: Column | None) -> Sizes:
    """Count the rows of a series in each split; a row filled into a gap belongs to the split before it."""
    present = [split for split in SPLITS if split in own]
    if time is None:
        return {split: len(own[split]) if split in own else 0 for split in SPLITS}
    for before, after in itertools.pairwise(present):
        last, first = own[before][time.name][-1], own[after][time.name][0]
        if first.as_py() <= last.as_py():
            raise BadDataError(
                f"{after} begins at {first}, before {before} ends, at {last}: expected the splits in the "
                "order of time.",
                remedy="put all rows into one file; they are then split in the order of time",
            )
    stamps, starts = time_index.stamps(table, time), {}
    for split in present:
        starts[split] = int(np.searchsorted(stamps, time_index.stamps(own[split], time)[0]))
    ends = [*[starts[split] for split in present[1:]], len(table)]
    counted = {split: end - starts[split] for split, end in zip(present, ends, strict=True)}
    return {split: counted.get(split, 0) for split in SPLITS}


def _with_shares(sizes: Sizes, missing: Mapping[str, float], config: SeriesConfig) -> Sizes:
    """Take shares of the rows of a series from the end of its training rows, if they are long enough."""
    total = sum(sizes.values())
    held_out = {split: round(total * share) for split, share in missing.items()}
    left = sizes["train"] - sum(held_out.values())
    if left < config.window + config.horizon or min(held_out.values(), default=0) < config.horizon:
        return sizes
    return {**sizes, **held_out, "train": left}


def _check_windows(dataset: Dataset, made: list[Sizes], config: SeriesConfig) -> None:
    """Refuse splits in which no series has a window."""
    for split in SPLITS:
        if not any(windows_in(sizes, split, config.window, config.horizon) > 0 for sizes in made):
            raise BadDataError(
                f"{dataset.name}: no series has a window in {split}: expected at least {config.horizon} rows "
                f"of it after {config.window} earlier ones.",
                remedy="a smaller data.series.window and data.series.horizon",
            )


def windows_in(sizes: Mapping[str, int], split: str, window: int, horizon: int) -> int:
    """Return the number of windows of a series in a split; they may begin in an earlier split."""
    before = sum(sizes[name] for name in SPLITS[: SPLITS.index(split)])
    context = 0 if split == "train" else min(before, window)
    return max(sizes[split] + context - window - horizon + 1, 0) if sizes[split] else 0
