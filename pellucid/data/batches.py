"""Batches whose order and augmentation are a pure function of (seed, epoch): resuming needs no replay.

Data that fits in memory is held as tensors and gathered by index; larger data is read from memory-mapped
Arrow (`pellucid.data.arrow_rows`). Both are `Rows`, and give the same batches for the same seed.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Protocol, runtime_checkable

import numpy as np
import psutil
import pyarrow as pa
import torch
from torch import Tensor

from pellucid.batch import Batch
from pellucid.data.arrow_rows import ArrowRows
from pellucid.data.preprocess import Preprocess
from pellucid.data.text.token_rows import RaggedRows

Pair = tuple[Tensor, Tensor]
Augment = Callable[[Tensor, Tensor, torch.Generator], Pair]


class Rows(Protocol):
    """The rows of one split, encoded."""

    def __len__(self) -> int: ...

    def batches(self, indices: list[Tensor]) -> Iterator[Pair]:
        """Yield (inputs, targets) for each tensor of row numbers."""
        ...


@runtime_checkable
class Planned(Protocol):
    """Rows that decide which of them make a batch, e.g. those of similar length."""

    def plan(
        self, batch_size: int, generator: torch.Generator | None, limit: int | None = None
    ) -> list[Tensor]:
        """Return the row numbers of every batch of an epoch.

        Args:
            batch_size: maximum number of rows in a batch.
            generator: draws the order of an epoch for training; None: every row once, in a fixed order, for
                evaluation.
            limit: use only this many rows.
        """
        ...


class MemoryRows:
    """Rows held as tensors: inputs (N, ...) and targets (N, ...)."""

    def __init__(self, inputs: Tensor, targets: Tensor):
        self.inputs, self.targets = inputs, targets

    def __len__(self) -> int:
        return len(self.inputs)

    def batches(self, indices: list[Tensor]) -> Iterator[Pair]:
        for chosen in indices:
            yield self.inputs.index_select(0, chosen), self.targets.index_select(0, chosen)


def rows(table: pa.Table, preprocess: Preprocess, share: float) -> tuple[Rows, str]:
    """Return the rows of a table, in memory if they fill less than `share` of it, and the reason.

    Texts are stored as tokens of a few bytes each, and so always in memory.
    """
    tokens = preprocess.encoded.rows(table)
    if tokens is not None:
        words = f"in memory, {len(tokens.ids):,} tokens ({tokens.ids.nbytes / 2**20:,.1f} MiB)"
        return RaggedRows(tokens, preprocess.target_rows(table)), words
    size = len(table) * int(np.prod(preprocess.input_shape)) * 4
    limit = int(share * psutil.virtual_memory().total)
    words = f"{size / 2**20:,.0f} MiB of {limit / 2**20:,.0f} MiB allowed"
    if size <= limit:
        return MemoryRows(preprocess.inputs(table), preprocess.targets(table)), f"in memory, {words}"
    cores = os.cpu_count() or 1
    alone = preprocess.encoded.light and cores <= 2  # a worker would cost more time than it saves
    workers = max(1, cores - 1) if os.name == "posix" and not alone else 0
    by = f"by {workers} processes" if workers else "on demand"
    return ArrowRows(table, preprocess, workers), f"streamed {by}, {words}"


def encode_splits(
    splits: Mapping[str, pa.Table],
    preprocess: Preprocess,
    share: float,
    encode: Callable[[pa.Table, Preprocess, float], tuple[Rows, str]] = rows,
) -> tuple[dict[str, Rows], str]:
    """Encode every split; also return where the rows of each are held, and why.

    Args:
        splits: tables by name.
        preprocess: how rows are encoded.
        share: of the memory that the rows of a split may fill.
        encode: encodes one table; see `rows`.
    """
    encoded = {name: encode(table, preprocess, share) for name, table in splits.items()}
    reasons = "; ".join(f"{name} {reason}" for name, (_, reason) in encoded.items())
    return {name: found for name, (found, _) in encoded.items()}, reasons


class Batches:
    """The batches of one split.

    Args:
        rows: where they come from.
        batch_size: rows in each; the last may have fewer.
        seed: determines order and augmentation, together with the epoch.
        shuffle: a new order every epoch; otherwise as stored, or as the rows plan it.
        augment: random changes to a batch.
        limit: use only this many rows, drawn at random if they are shuffled.

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
        limit: int | None = None,
    ):
        self.rows, self.batch_size, self.seed = rows, batch_size, seed
        self.shuffle, self.augment, self.limit = shuffle, augment, limit
        self._last: tuple[int, list[Tensor]] | None = None  # the order of an epoch

    def __len__(self) -> int:
        return self._count

    @functools.cached_property
    def _count(self) -> int:
        """Number of batches in every epoch."""
        return len(self._indices(0))

    def __iter__(self) -> Iterator[Any]:
        return self.epoch(0)

    def epoch(self, number: int, start: int = 0) -> Iterator[Any]:
        """Yield the batches of an epoch from batch `start` on."""
        batches = self.rows.batches(self.row_numbers_of(number)[start:])
        if self.augment is None:
            yield from batches
            return
        for position, batch in enumerate(batches, start):
            inputs, targets = batch
            changed = self.augment(inputs, targets, self._generator(number, position + 1))
            yield Batch(*changed, batch.extra) if isinstance(batch, Batch) else changed

    def row_numbers(self, epoch: int, batch: int) -> Tensor:
        """Return the numbers of the rows in a batch, (B,), in its order."""
        return self.row_numbers_of(epoch)[batch]

    def row_numbers_of(self, epoch: int) -> list[Tensor]:
        """Return the numbers of the rows in every batch of an epoch."""
        if self._last is None or self._last[0] != epoch:
            self._last = (epoch, self._indices(epoch))
        return self._last[1]

    def row_order(self) -> Tensor | None:
        """Return the row numbers in the order of evaluation; None: as stored."""
        if not isinstance(self.rows, Planned) and not self.shuffle:
            return None
        order = torch.cat(self._indices(0))
        return order if (order.diff() < 0).any() else None

    def _indices(self, epoch: int) -> list[Tensor]:
        """Return the row numbers of every batch."""
        generator = self._generator(epoch, 0) if self.shuffle else None
        if isinstance(self.rows, Planned):
            made = self.rows.plan(self.batch_size, generator, self.limit)
        elif generator is not None:
            made = list(
                torch.randperm(len(self.rows), generator=generator)[: self.limit].split(self.batch_size)
            )
        else:
            made = list(torch.arange(len(self.rows))[: self.limit].split(self.batch_size))
        return _without_lone_rows(made) if self.shuffle and self.batch_size > 1 else made

    def _generator(self, epoch: int, use: int) -> torch.Generator:
        """Return a generator for each (seed, epoch, use): use 0 is the order, use n augments batch n - 1."""
        entropy = np.random.SeedSequence([self.seed, epoch, use]).generate_state(1, np.uint64)[0]
        return torch.Generator().manual_seed(int(entropy >> np.uint64(1)))


def _without_lone_rows(batches: list[Tensor]) -> list[Tensor]:
    """Join a training batch of one row to the one before it: batch norm cannot learn from one row."""
    joined: list[Tensor] = []
    for batch in batches:
        if joined and 1 in (len(batch), len(joined[-1])):
            joined[-1] = torch.cat([joined[-1], batch])
        else:
            joined.append(batch)
    return joined
