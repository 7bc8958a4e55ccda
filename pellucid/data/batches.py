"""Batches whose order and augmentation are a pure function of (seed, epoch), so that a resumed run needs
no replay.

Data that fits in memory is held as tensors and gathered by index; larger data is read from memory-mapped
Arrow, by worker processes where that helps. Both are a `Rows`, and give the same batches for the same seed.
"""

from __future__ import annotations

import ctypes
import functools
import os
import sys
from collections.abc import Callable, Iterator
from typing import Protocol, runtime_checkable

import numpy as np
import psutil
import pyarrow as pa
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from pellucid.data.inputs import TensorInputs, TextInputs
from pellucid.data.preprocess import Preprocess
from pellucid.data.token_rows import RaggedRows

Batch = tuple[Tensor, Tensor]
MADV_DONTNEED = 4  # of Linux' mman.h
Augment = Callable[[Tensor, Tensor, torch.Generator], Batch]


class Rows(Protocol):
    """The rows of one split, encoded."""

    def __len__(self) -> int: ...

    def batches(self, indices: list[Tensor]) -> Iterator[Batch]:
        """Yield (inputs, targets) for each tensor of row numbers."""
        ...


@runtime_checkable
class Planned(Protocol):
    """Rows that decide themselves which of them make a batch, e.g. those of like length."""

    def plan(
        self, batch_size: int, generator: torch.Generator | None, limit: int | None = None
    ) -> list[Tensor]:
        """Return the row numbers of every batch of an epoch.

        Args:
            batch_size: most rows in a batch.
            generator: draws the order of an epoch of learning; None: to measure, every row once, always
                the same.
            limit: use this many rows alone.
        """
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


LARGE_ROW = 4096
"""Bytes from which on rows are copied one by one, straight to where they belong."""
BLOCK_BYTES, GROUP_BYTES = 2**20, 2**28
"""Of rows that are read in one go, and of those that are shuffled among each other."""


class ArrowRows:
    """Rows of a memory-mapped table, encoded batch by batch in `workers` processes; 0: as they are asked for.

    Reading single rows all over a file that memory cannot hold takes a disk hundreds of times as long as
    reading it in a row. So an epoch takes blocks of neighboring rows in random order, and shuffles the rows
    of some hundreds of blocks at a time; a table no larger than these is shuffled as a whole.
    """

    def __init__(self, table: pa.Table, preprocess: Preprocess, workers: int):
        self.table, self.preprocess, self.workers = table, preprocess, workers
        let_go(table.to_batches())  # fitting has read them all

    def __len__(self) -> int:
        return len(self.table)

    def plan(
        self, batch_size: int, generator: torch.Generator | None, limit: int | None = None
    ) -> list[Tensor]:
        """See `Planned`."""
        order = torch.arange(len(self)) if generator is None else self._shuffled(generator)
        return list(order[:limit].split(batch_size))

    def _shuffled(self, generator: torch.Generator) -> Tensor:
        count = len(self)
        row = max(1, self.table.nbytes // max(1, count))
        block, group = max(1, BLOCK_BYTES // row), GROUP_BYTES // BLOCK_BYTES
        if count <= block * group:
            return torch.randperm(count, generator=generator)
        order = []
        for chosen in torch.randperm(-(-count // block), generator=generator).split(group):
            rows = (chosen[:, None] * block + torch.arange(block)).flatten()
            rows = rows[rows < count]
            order.append(rows[torch.randperm(len(rows), generator=generator)])
        return torch.cat(order)

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
        self.read = 0  # bytes, since the pages of the table were let go

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, number: int) -> Batch:
        rows = take(self.chunks, self.starts, self.indices[number].numpy())
        self.read += rows.nbytes
        if self.read > GROUP_BYTES:
            self.read = 0
            let_go(self.chunks)
        return self.preprocess.inputs(rows), self.preprocess.targets(rows)


def let_go(chunks: list[pa.RecordBatch]) -> None:
    """Take the pages of mapped files out of this process; the system still has them, as long as it wants to.

    Otherwise a process that has read a whole file counts as being as large. Memory that is no file's is left
    alone, and so is everything on other systems than Linux.
    """
    if sys.platform != "linux":
        return
    mapped = mapped_files()
    libc, page = ctypes.CDLL(None), os.sysconf("SC_PAGESIZE")
    for chunk in chunks:
        for column in chunk.columns:
            for buffer in filter(None, column.buffers()):
                start = -(-buffer.address // page) * page
                end = (buffer.address + buffer.size) // page * page
                if end > start and any(low <= start and end <= high for low, high in mapped):
                    libc.madvise(ctypes.c_void_p(start), ctypes.c_size_t(end - start), MADV_DONTNEED)


def mapped_files() -> list[tuple[int, int]]:
    """Where files are mapped for reading alone, as (first address, end)."""
    found = []
    with open("/proc/self/maps", encoding="utf-8") as maps:
        for line in maps:
            addresses, rights, *_, inode = line.split(maxsplit=5)[:5]
            if inode != "0" and "w" not in rights:
                low, high = addresses.split("-")
                found.append((int(low, 16), int(high, 16)))
    return found


def take(chunks: list[pa.RecordBatch], starts: np.ndarray, indices: np.ndarray) -> pa.Table:
    """Gather rows from the chunks of a table, touching only what is asked for.

    `pyarrow.Table.take` may join all chunks of a text or binary column first, which on a large file means
    reading all of it for every batch. Arrays, whose rows are large, are copied once.
    """
    owners = np.searchsorted(starts, indices, side="right") - 1
    places = {owner: np.flatnonzero(owners == owner) for owner in np.unique(owners)}
    local = indices - starts[owners]
    order = np.argsort(np.concatenate(list(places.values())))
    columns: dict[str, pa.Array | pa.ChunkedArray] = {}
    for number, field in enumerate(chunks[0].schema):
        parts = {owner: chunks[owner].column(number) for owner in places}
        if isinstance(field.type, pa.FixedShapeTensorType):
            columns[field.name] = _gather(parts, places, local)
        else:
            taken = [part.take(pa.array(local[places[owner]])) for owner, part in parts.items()]
            columns[field.name] = pa.chunked_array(taken).combine_chunks().take(pa.array(order))
    return pa.table(columns, schema=chunks[0].schema)


def _gather(
    parts: dict[int, pa.FixedShapeTensorArray], places: dict[int, np.ndarray], local: np.ndarray
) -> pa.Array:
    arrays = {owner: part.to_numpy_ndarray() for owner, part in parts.items()}
    first = next(iter(arrays.values()))
    made = np.empty((len(local), *first.shape[1:]), first.dtype)
    for owner, array in arrays.items():
        if first[0].nbytes < LARGE_ROW:
            made[places[owner]] = array[local[places[owner]]]
            continue
        for place in places[owner]:
            made[place] = array[local[place]]
    return pa.FixedShapeTensorArray.from_numpy_ndarray(made)


def rows(table: pa.Table, preprocess: Preprocess, share: float) -> tuple[Rows, str]:
    """Return the rows of a table, in memory if they fill less than `share` of it, and the reason.

    Texts are kept as tokens, a byte or a few for each, and so always in memory.
    """
    if isinstance(preprocess.encoded, TextInputs):
        tokens = preprocess.encoded.rows(table)
        words = f"in memory, {len(tokens.ids):,} tokens ({tokens.ids.nbytes / 2**20:,.1f} MiB)"
        texts = preprocess.target_tokens is not None
        return RaggedRows(tokens, (preprocess.target_rows if texts else preprocess.targets)(table)), words
    size = len(table) * int(np.prod(preprocess.input_shape)) * 4
    limit = int(share * psutil.virtual_memory().total)
    words = f"{size / 2**20:,.0f} MiB of {limit / 2**20:,.0f} MiB allowed"
    if size <= limit:
        return MemoryRows(preprocess.inputs(table), preprocess.targets(table)), f"in memory, {words}"
    cores = os.cpu_count() or 1
    copied = (
        isinstance(preprocess.encoded, TensorInputs) and cores <= 2
    )  # a worker would take more than it gives
    workers = max(1, cores - 1) if os.name == "posix" and not copied else 0
    by = f"by {workers} processes" if workers else "as they are asked for"
    return ArrowRows(table, preprocess, workers), f"streamed {by}, {words}"


class Batches:
    """The batches of one split.

    Args:
        rows: where they come from.
        batch_size: rows in each; the last may have fewer.
        seed: with the epoch, decides order and augmentation.
        shuffle: a new order every epoch; otherwise as stored, or as the rows plan it.
        augment: random changes to a batch.
        limit: use this many rows alone, drawn at random where they are shuffled.

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

    def __len__(self) -> int:
        return self._count

    @functools.cached_property
    def _count(self) -> int:
        """Batches in an epoch: as many in every one."""
        return len(self._indices(0))

    def __iter__(self) -> Iterator[Batch]:
        return self.epoch(0)

    def epoch(self, number: int, start: int = 0) -> Iterator[Batch]:
        """Yield the batches of an epoch from batch `start` on."""
        batches = self.rows.batches(self._indices(number)[start:])
        if self.augment is None:
            yield from batches
            return
        for position, (inputs, targets) in enumerate(batches, start):
            yield self.augment(inputs, targets, self._generator(number, position + 1))

    def row_order(self) -> Tensor | None:
        """The numbers of the rows in the order they are measured; None: as stored."""
        if not isinstance(self.rows, Planned) and not self.shuffle:
            return None
        order = torch.cat(self._indices(0))
        return order if (order.diff() < 0).any() else None

    def _indices(self, epoch: int) -> list[Tensor]:
        """The row numbers of every batch."""
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
        """One stream for each (seed, epoch, use): use 0 is the order, use n augments batch n - 1."""
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
