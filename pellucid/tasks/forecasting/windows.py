"""The windows of one series or of several: none crosses from one series into another.

Shapes: T rows of all series, C channels, of which the first K are forecast; L = window, H = horizon.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pyarrow as pa
import torch
from torch import Tensor

from pellucid.data import series
from pellucid.data.batches import MemoryRows, Pair, Rows
from pellucid.data.dataset import SPLITS
from pellucid.data.panel import Panel, series_of
from pellucid.data.series import SeriesInputs
from pellucid.data.series_splits import windows_in

Sizes = Sequence[Mapping[str, int]]
"""Rows of each split, for every series."""


class SeriesRows:
    """Windows of several series, gathered by where they start.

    Args:
        values: the rows of all series, (T, C).
        starts: the first row of every window, (N,).
        encoded: window, horizon and targets.
    """

    def __init__(self, values: Tensor, starts: Tensor, encoded: SeriesInputs):
        self.values, self.starts, self.encoded = values, starts, encoded
        self.views = values.unfold(0, encoded.window + encoded.horizon, 1)  # (T - L - H + 1, C, L + H)

    def __len__(self) -> int:
        return len(self.starts)

    @property
    def inputs(self) -> Tensor:
        """(N, L, C)."""
        return self._gathered(self.starts)[0]

    @property
    def targets(self) -> Tensor:
        """(N, H, K)."""
        return self._gathered(self.starts)[1]

    def batches(self, indices: list[Tensor]) -> Iterator[Pair]:
        for chosen in indices:
            yield self._gathered(self.starts[chosen])

    def _gathered(self, starts: Tensor) -> Pair:
        found = self.views.index_select(0, starts).transpose(1, 2)  # (B, L + H, C)
        window = self.encoded.window
        return found[:, :window].contiguous(), found[:, window:, : self.encoded.targets].contiguous()


def rows_of(panel: Panel, sizes: Sizes, encoded: SeriesInputs) -> tuple[dict[str, Rows], int]:
    """Return the windows of every split, and the bytes of the series."""
    made: dict[str, Rows] = {}
    values = [torch.from_numpy(encoded.values(table)) for table in panel.tables]
    if len(values) == 1:
        parts = series.cut(values[0], sizes[0], encoded.window)
        for name, part in parts.items():
            inputs, targets = series.windows(part, encoded.window, encoded.horizon)
            made[name] = MemoryRows(inputs, targets[:, :, : encoded.targets])
        return made, values[0].nbytes
    joined, starts, offset = torch.cat(values), {name: [] for name in SPLITS}, 0
    for own, table in zip(sizes, panel.tables, strict=True):
        begin = 0
        for name in SPLITS:
            first = begin if name == "train" else max(begin - encoded.window, 0)
            count = windows_in(own, name, encoded.window, encoded.horizon)
            if count:
                starts[name].append(torch.arange(count) + offset + first)
            begin += own[name]
        offset += len(table)
    made |= {name: SeriesRows(joined, torch.cat(found), encoded) for name, found in starts.items() if found}
    return made, joined.nbytes


def split_tables(panel: Panel, sizes: Sizes) -> dict[str, pa.Table]:
    """Return the rows of every split, those of one series after those of another."""
    parts: dict[str, list[pa.Table]] = {name: [] for name in SPLITS}
    for own, table in zip(sizes, panel.tables, strict=True):
        start = 0
        for name, rows in own.items():
            parts[name].append(table.slice(start, rows))
            start += rows
    return {name: pa.concat_tables(tables) for name, tables in parts.items()}


def starts(splits: Mapping[str, pa.Table], encoded: SeriesInputs, split: str) -> list[Any]:
    """The time of the first row that each window of a split forecasts; [] where there is no time."""
    if encoded.time is None:
        return []
    before: Counter[str] = Counter()
    for earlier in SPLITS[: SPLITS.index(split)]:
        before.update({name: len(rows) for name, rows in series_of(splits[earlier], encoded.ids)})
    found: list[Any] = []
    for name, rows in series_of(splits[split], encoded.ids):
        first, times = max(encoded.window - before[name], 0), rows[encoded.time].to_pylist()
        found += times[first : max(len(times) - encoded.horizon + 1, 0)]
    return found


def describe(panel: Panel, sizes: Sizes) -> str:
    """Say how the rows are split."""
    if len(sizes) > 1:
        totals = [f"{name} {sum(own[name] for own in sizes):,} rows" for name in SPLITS]
        return f"{len(sizes):,} series, each split in the order of time: {', '.join(totals)}"
    table = panel.tables[0]
    words: list[str] = []
    start = 0
    time: Any = table[panel.time.name] if panel.time else None
    for name, rows in sizes[0].items():
        ends = f" ({time[start]} to {time[start + rows - 1]})" if time is not None else ""
        words.append(f"{name} {rows:,} rows{ends}")
        start += rows
    left = f"; the {len(table) - start:,} rows after them are not used" if start < len(table) else ""
    unknown = "" if panel.time else "; no column of time, so rows count as evenly spaced"
    return f"split in the order of time: {', '.join(words)}{left}{unknown}"
