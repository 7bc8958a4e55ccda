"""Rows of a memory-mapped Arrow table that is larger than memory, read and encoded batch by batch.

Reading single rows at random positions takes a disk hundreds of times as long as reading them in order. So an
epoch takes blocks of neighboring rows in random order, shuffles the rows of a group of blocks, and prefetches
the next group while the current one is used.
"""

from __future__ import annotations

import bisect
import ctypes
import functools
import itertools
import mmap
import sys
from collections.abc import Iterator, Sequence

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from pellucid.data.preprocess import Preprocess
from pellucid.data.tensor_column import is_contiguous, torch_values

BLOCK_BYTES = 2**22  # rows that are read at once
GROUP_BYTES = 2**28  # rows that are shuffled together
WINDOW_BYTES = 2**24  # batches that are gathered at once
READ_BYTES = 2**26  # rows after which their pages are released
MADV_WILLNEED = 3  # from mman.h of Linux
MADV_DONTNEED = 4


class ArrowRows:
    """The rows of a table, encoded batch by batch in `workers` processes; 0: in this process.

    A table of at most one group of blocks is shuffled as a whole, and gives the same batches as in memory.
    """

    def __init__(self, table: pa.Table, preprocess: Preprocess, workers: int):
        self.table, self.preprocess, self.workers = table, preprocess, workers
        self.row_bytes = max(1, table.nbytes // max(1, len(table)))
        self.block = max(1, BLOCK_BYTES // self.row_bytes)  # rows
        self.chunks = Chunks(table)
        self.chunks.release()  # fitting has read all of them

    def __len__(self) -> int:
        return len(self.table)

    def plan(
        self, batch_size: int, generator: torch.Generator | None, limit: int | None = None
    ) -> list[Tensor]:
        """See `pellucid.data.batches.Planned`."""
        order = torch.arange(len(self)) if generator is None else self._shuffled(generator)
        return list(order[:limit].split(batch_size))

    def _shuffled(self, generator: torch.Generator) -> Tensor:
        count, block, group = len(self), self.block, GROUP_BYTES // BLOCK_BYTES
        if count <= block * group:
            return torch.randperm(count, generator=generator)
        order = []
        for chosen in torch.randperm(-(-count // block), generator=generator).split(group):
            rows = (chosen[:, None] * block + torch.arange(block)).flatten()
            rows = rows[rows < count]
            order.append(rows[torch.randperm(len(rows), generator=generator)])
        return torch.cat(order)

    def batches(self, indices: list[Tensor]) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield (inputs, targets) for each tensor of row numbers."""
        if self.workers:
            yield from self._by_workers(indices)
            return
        chunks, asked = self.chunks, set[int]()
        chunks.prefetch_cells()
        windows = list(_windows(indices, WINDOW_BYTES // self.row_bytes))
        ahead = iter(windows)
        for number, window in enumerate(windows):
            for soon in itertools.islice(ahead, 1 if number else 1 + GROUP_BYTES // WINDOW_BYTES):
                chunks.prefetch(self._blocks(soon, asked))
            rows = chunks.take(torch.cat(window).numpy())
            sizes = [len(batch) for batch in window]
            yield from zip(
                self.preprocess.inputs(rows).split(sizes),
                self.preprocess.targets(rows).split(sizes),
                strict=True,
            )

    def _blocks(self, window: list[Tensor], asked: set[int]) -> Iterator[tuple[int, int]]:
        """Yield the first row and the end of every block that was not prefetched yet."""
        for block in (torch.cat(window) // self.block).unique().tolist():
            if block not in asked:
                asked.add(block)
                yield block * self.block, min(len(self), (block + 1) * self.block)

    def _by_workers(self, indices: list[Tensor]) -> Iterator[tuple[Tensor, Tensor]]:
        yield from DataLoader(
            _Encoded(self.chunks, self.preprocess, indices),
            batch_size=None,
            num_workers=self.workers,
            generator=torch.Generator(),  # a separate one, so that the generator of training is not used
            prefetch_factor=4,
        )


def _windows(indices: list[Tensor], rows: int) -> Iterator[list[Tensor]]:
    """Yield consecutive batches in groups of about `rows` rows."""
    window, count = list[Tensor](), 0
    for batch in indices:
        window.append(batch)
        count += len(batch)
        if count >= rows:
            yield window
            window, count = [], 0
    if window:
        yield window


class _Encoded(Dataset[tuple[Tensor, Tensor]]):
    """Batches by number, encoded in a worker process."""

    def __init__(self, chunks: Chunks, preprocess: Preprocess, indices: list[Tensor]):
        self.chunks, self.preprocess, self.indices = chunks, preprocess, indices

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, number: int) -> tuple[Tensor, Tensor]:
        rows = self.chunks.take(self.indices[number].numpy())
        return self.preprocess.inputs(rows), self.preprocess.targets(rows)


class Chunks:
    """The record batches of a table, from which rows are gathered without reading anything else.

    `pyarrow.Table.take` may concatenate all chunks of a text or binary column first, which reads a large
    file completely for every batch.
    """

    def __init__(self, table: pa.Table):
        self.schema, self.batches = table.schema, table.to_batches()
        self.starts = np.cumsum([0, *(len(batch) for batch in self.batches)])
        self._mapped = _mapped(self.batches)
        self._read = 0  # bytes, since the pages of the table were released
        self._cells = {
            field.name: [torch_values(batch.column(number)).flatten(1) for batch in self.batches]
            for number, field in enumerate(table.schema)
            if isinstance(field.type, pa.FixedShapeTensorType) and is_contiguous(field.type)
        }

    def take(self, indices: np.ndarray) -> pa.Table:
        """Return the rows with these numbers, in this order."""
        owners = self._owners(indices)
        order = np.argsort(owners, kind="stable")  # sorted by chunk
        local, back = (indices - self.starts[owners])[order], np.argsort(order)
        chunks, first = np.unique(owners[order], return_index=True)
        wanted = dict(zip(chunks.tolist(), np.split(local, first[1:]), strict=True))
        columns: dict[str, pa.Array] = {}
        for number, field in enumerate(self.schema):
            if field.name in self._cells:
                made = _gather(self._cells[field.name], wanted).index_select(0, torch.from_numpy(back))
                arrays = made.numpy().reshape(-1, *field.type.shape)
                columns[field.name] = pa.FixedShapeTensorArray.from_numpy_ndarray(arrays)
            else:
                parts = [
                    self.batches[owner].column(number).take(pa.array(rows)) for owner, rows in wanted.items()
                ]
                columns[field.name] = pa.chunked_array(parts).combine_chunks().take(pa.array(back))
        rows = pa.table(columns, schema=self.schema)
        self._read += rows.nbytes
        if self._read > READ_BYTES:
            self.release()
        return rows

    def prefetch(self, rows: Iterator[tuple[int, int]]) -> None:
        """Prefetch the arrays of neighboring rows (first, end) from disk."""
        for first, end in rows:
            first_owner, last_owner = self._owners(np.array([first, end - 1]))
            for owner in range(first_owner, last_owner + 1):
                start, past = np.clip([first, end], *self.starts[owner : owner + 2]) - self.starts[owner]
                for cells in self._cells.values():
                    asked = cells[owner][start:past]
                    _advise(asked.data_ptr(), asked.nbytes, MADV_WILLNEED)

    def prefetch_cells(self) -> None:
        """Prefetch all small columns that are not arrays; read one by one, each would cause a wait."""
        for batch in self.batches:
            for name, column in zip(self.schema.names, batch.columns, strict=True):
                for buffer in filter(None, column.buffers() if name not in self._cells else []):
                    if buffer.size <= BLOCK_BYTES:
                        _advise(buffer.address, buffer.size, MADV_WILLNEED)

    def release(self) -> None:
        """Release the pages of the files that the table is mapped from; the page cache may keep them.

        Otherwise the memory of a process that has read a whole file includes all of the file. Memory that is
        not mapped from a file is not changed; only Linux does anything. `take` calls this regularly.
        """
        self._read = 0
        for low, high in self._mapped:
            _advise(low, high - low, MADV_DONTNEED)

    def _owners(self, indices: np.ndarray) -> np.ndarray:
        """Return the chunk of each row."""
        return np.searchsorted(self.starts, indices, side="right") - 1


def _gather(chunks: Sequence[Tensor], wanted: dict[int, np.ndarray]) -> Tensor:
    """Copy rows from chunks, chunk by chunk."""
    made = chunks[0].new_empty(sum(map(len, wanted.values())), chunks[0].shape[1])
    start = 0
    for owner, rows in wanted.items():
        end = start + len(rows)
        torch.index_select(chunks[owner], 0, torch.from_numpy(rows), out=made[start:end])
        start = end
    return made


def _advise(start: int, size: int, advice: int) -> None:
    """Call `madvise` for a range of addresses; does nothing on other systems than Linux."""
    if sys.platform != "linux":
        return
    first = start // mmap.PAGESIZE * mmap.PAGESIZE
    _libc().madvise(ctypes.c_void_p(first), ctypes.c_size_t(start + size - first), advice)


@functools.cache
def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None)


def _mapped(batches: list[pa.RecordBatch]) -> set[tuple[int, int]]:
    """Return the address ranges of the files that these are mapped from, as (first address, end)."""
    if sys.platform != "linux":
        return set()
    files = [(0, 0)]
    with open("/proc/self/maps", encoding="utf-8") as maps:
        for line in maps:
            addresses, rights, *_, inode = line.split(maxsplit=5)[:5]
            if inode != "0" and "w" not in rights:
                low, high = addresses.split("-")
                files.append((int(low, 16), int(high, 16)))
    buffers = [b for batch in batches for column in batch.columns for b in column.buffers() if b is not None]
    owners = [(files[bisect.bisect(files, (b.address, sys.maxsize)) - 1], b) for b in buffers]
    return {(low, high) for (low, high), b in owners if b.address + b.size <= high}
