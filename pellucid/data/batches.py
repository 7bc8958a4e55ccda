"""Batches whose order and augmentation are a pure function of (seed, epoch), so that a resumed run needs
no replay.

Data that fits in memory is held as tensors and gathered by index; larger data is read from memory-mapped
Arrow by worker processes. Both are a `Rows`, and give the same batches for the same seed.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from typing import Protocol

import numpy as np
import psutil
import pyarrow as pa
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from pellucid.data.preprocess import Preprocess

Batch = tuple[Tensor, Tensor]
Augment = Callable[[Tensor, Tensor, torch.Generator], Batch]


class Rows(Protocol):
    """The rows of one split, encoded."""

    def __len__(self) -> int: ...

    def batches(self, indices: list[Tensor]) -> Iterator[Batch]:
        """Yield (inputs, targets) for each tensor of row numbers."""
        ...


class MemoryRows:
    """Rows held as tensors: inputs (N, ...) and targets (N, ...)."""

    def __init__(self, inputs: Tensor, targets: Tensor):
        self.inputs, self.targets = inputs, targets

    def __len__(self) -> int:
        return len(self.inputs)

    def batches(self, indices: list[Tensor]) -> Iterator[Batch]:
        for chosen in indices:
            yield self.inputs.index_select(0, chosen), self.targets.index_select(0, chosen)


class ArrowRows:
    """Rows of a memory-mapped table, encoded batch by batch in `workers` processes."""

    def __init__(self, table: pa.Table, preprocess: Preprocess, workers: int):
        self.table, self.preprocess, self.workers = table, preprocess, workers

    def __len__(self) -> int:
        return len(self.table)

    def batches(self, indices: list[Tensor]) -> Iterator[Batch]:
        loader = DataLoader(
            _Encoded(self.table, self.preprocess, indices),
            batch_size=None,
            num_workers=self.workers,
            generator=torch.Generator(),  # its own, so that the training's generator is left alone
            prefetch_factor=4 if self.workers else None,
        )
        yield from loader


class _Encoded(Dataset[Batch]):
    def __init__(self, table: pa.Table, preprocess: Preprocess, indices: list[Tensor]):
        self.chunks = table.to_batches()
        self.starts = np.cumsum([0, *(len(chunk) for chunk in self.chunks)])
        self.preprocess, self.indices = preprocess, indices

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, number: int) -> Batch:
        rows = take(self.chunks, self.starts, self.indices[number].numpy())
        return self.preprocess.inputs(rows), self.preprocess.targets(rows)


def take(chunks: list[pa.RecordBatch], starts: np.ndarray, indices: np.ndarray) -> pa.Table:
    """Gather rows from the chunks of a table, touching only what is asked for.

    `pyarrow.Table.take` may join all chunks of a text or binary column first, which on a large file means
    reading all of it for every batch.
    """
    order = np.argsort(indices, kind="stable")
    owners = np.searchsorted(starts, indices[order], side="right") - 1
    parts = [
        chunks[owner].take(pa.array(indices[order][owners == owner] - starts[owner]))
        for owner in np.unique(owners)
    ]
    return pa.Table.from_batches(parts).combine_chunks().take(pa.array(np.argsort(order)))


def rows(table: pa.Table, preprocess: Preprocess, share: float) -> tuple[Rows, str]:
    """Return the rows of a table, in memory if they fill less than `share` of it, and the reason."""
    size = len(table) * int(np.prod(preprocess.input_shape)) * 4
    limit = int(share * psutil.virtual_memory().total)
    words = f"{size / 2**20:,.0f} MiB of {limit / 2**20:,.0f} MiB allowed"
    if size <= limit:
        return MemoryRows(preprocess.inputs(table), preprocess.targets(table)), f"in memory, {words}"
    workers = max(1, (os.cpu_count() or 1) - 1) if os.name == "posix" else 0
    return ArrowRows(table, preprocess, workers), f"streamed by {workers} processes, {words}"


class Batches:
    """The batches of one split.

    Args:
        rows: where they come from.
        batch_size: rows in each; the last may have fewer.
        seed: with the epoch, decides order and augmentation.
        shuffle: a new order every epoch; otherwise as stored.
        augment: random changes to a batch.

    Example:
        >>> batches = Batches(MemoryRows(torch.arange(5.0), torch.arange(5)), 2)
        >>> [len(inputs) for inputs, targets in batches]
        [2, 2, 1]
    """

    def __init__(
        self,
        rows: Rows,
        batch_size: int,
        *,
        seed: int = 0,
        shuffle: bool = False,
        augment: Augment | None = None,
    ):
        self.rows, self.batch_size, self.seed = rows, batch_size, seed
        self.shuffle, self.augment = shuffle, augment

    def __len__(self) -> int:
        whole, rest = divmod(len(self.rows), self.batch_size)
        return whole + (rest > 0) - self._joins_last

    @property
    def _joins_last(self) -> bool:
        """A last training batch of one row joins the one before it: batch norm cannot learn from one row."""
        return self.shuffle and len(self.rows) % self.batch_size == 1 < self.batch_size < len(self.rows)

    def __iter__(self) -> Iterator[Batch]:
        return self.epoch(0)

    def epoch(self, number: int, start: int = 0) -> Iterator[Batch]:
        """Yield the batches of an epoch from batch `start` on."""
        indices = list(self._order(number).split(self.batch_size))
        if self._joins_last:
            indices[-2:] = [torch.cat(indices[-2:])]
        batches = self.rows.batches(indices[start:])
        if self.augment is None:
            yield from batches
            return
        for position, (inputs, targets) in enumerate(batches, start):
            yield self.augment(inputs, targets, self._generator(number, position + 1))

    def _order(self, epoch: int) -> Tensor:
        if not self.shuffle:
            return torch.arange(len(self.rows))
        return torch.randperm(len(self.rows), generator=self._generator(epoch, 0))

    def _generator(self, epoch: int, use: int) -> torch.Generator:
        """One stream for each (seed, epoch, use): use 0 is the order, use n augments batch n - 1."""
        entropy = np.random.SeedSequence([self.seed, epoch, use]).generate_state(1, np.uint64)[0]
        return torch.Generator().manual_seed(int(entropy >> np.uint64(1)))
