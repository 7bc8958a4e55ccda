"""The rows behind a loop's batches: read them, leave some out, order them anew."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import (
    DataLoader,
    IterableDataset,
    RandomSampler,
    SequentialSampler,
    Subset,
    TensorDataset,
)

from pellucid.lens.remedy.parts import Parts, Unfit, is_iterator

MOST = 200_000
"""Rows that are read at most."""
MOST_BYTES = 2_000_000_000
"""Of the inputs of rows that are read into memory."""


def is_rows(batches: Any) -> bool:
    """Whether the batches are all rows as one pair of tensors."""
    return isinstance(batches, tuple) and len(batches) == 2 and all(isinstance(b, Tensor) for b in batches)


def pair(batch: Any) -> tuple[Tensor, Tensor]:
    """Return inputs and targets of a batch.

    Raises:
        Unfit: it is no pair of tensors of equal length.
    """
    if isinstance(batch, tuple | list) and len(batch) == 2 and all(isinstance(b, Tensor) for b in batch):
        return batch[0], batch[1]
    raise Unfit("batches are not pairs of tensors")


def first_rows(parts: Parts) -> tuple[Tensor, Tensor]:
    """Return the inputs and targets of one batch."""
    if is_rows(parts.batches):
        count = parts.batch_size or 32
        return parts.batches[0][:count], parts.batches[1][:count]
    try:
        batch = next(iter(parts.batches))
    except StopIteration:
        raise Unfit("there is no batch") from None
    if is_iterator(parts.batches):
        parts.batches = itertools.chain([batch], parts.batches)
    return pair(batch)


def all_rows(parts: Parts) -> tuple[Tensor, Tensor]:
    """Return all inputs and targets, in the order of the data set.

    Raises:
        Unfit: they are not pairs of tensors, or too many.
    """
    batches = parts.batches
    if is_rows(batches):
        return batches
    if isinstance(batches, DataLoader):
        dataset: Any = batches.dataset
        if not hasattr(dataset, "__len__") or len(dataset) > MOST:
            raise Unfit("the data set has no length, or too many rows")
        if len(dataset) * first_rows(parts)[0][0].nbytes > MOST_BYTES:
            raise Unfit("the data set is too large to be read into memory")
        batches = DataLoader(dataset, batch_size=256, collate_fn=batches.collate_fn)
    if not isinstance(batches, list | tuple | DataLoader):
        raise Unfit("the batches can be read only once")
    pairs = [pair(batch) for batch in batches]
    return torch.cat([x for x, _ in pairs]), torch.cat([y for _, y in pairs])


def take(parts: Parts, rows: Tensor) -> Parts:
    """Keep only some rows, in this order (a row may come more than once)."""
    batches = parts.batches
    if isinstance(batches, DataLoader):
        parts.batches = loader_of(batches, Subset(batches.dataset, rows.tolist()))
        return parts
    x, y = all_rows(parts)
    return put_rows(parts, x[rows], y[rows])


def put_rows(parts: Parts, inputs: Tensor, targets: Tensor) -> Parts:
    """Replace the rows, with the same size of batches."""
    batches = parts.batches
    if is_rows(batches):
        parts.batches = (inputs, targets)
    elif isinstance(batches, DataLoader):
        parts.batches = loader_of(batches, TensorDataset(inputs, targets))
    else:
        size = len(pair(batches[0])[0])
        parts.batches = list(zip(inputs.split(size), targets.split(size), strict=True))
    return parts


def resize(parts: Parts, size: int) -> Parts:
    """Make batches of another size."""
    batches = parts.batches
    if parts.batch_size is not None:
        parts.batch_size = size
    elif isinstance(batches, DataLoader):
        parts.batches = loader_of(batches, batches.dataset, size)
    elif isinstance(batches, list | tuple) and not is_rows(batches):
        x, y = all_rows(parts)
        parts.batches = list(zip(x.split(size), y.split(size), strict=True))
    else:
        raise Unfit("the loop makes its batches itself")
    return parts


def size_of(parts: Parts) -> int:
    """Return the rows of a batch."""
    return parts.batch_size or len(first_rows(parts)[0])


class Around:
    """Batches in place of a loader's, which have its attributes, such as `dataset`."""

    def __init__(self, batches: Any) -> None:
        self.batches = batches

    def __getattr__(self, name: str) -> Any:
        if name == "batches":  # not there yet, in a copy that is being made
            raise AttributeError(name)
        return getattr(self.batches, name)

    def __len__(self) -> int:
        return len(self.batches)


class Shuffled(Around):
    """Batches made of rows in a new order in each pass."""

    def __init__(self, batches: Any, inputs: Tensor, targets: Tensor, size: int) -> None:
        super().__init__(batches)
        self.inputs, self.targets, self.size = inputs, targets, size

    def __len__(self) -> int:
        return -(-len(self.inputs) // self.size)

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        for rows in torch.randperm(len(self.inputs)).split(self.size):
            yield self.inputs[rows], self.targets[rows]


class Turning:
    """Rows in which an index names others at each call, so that a loop that asks again sees new ones."""

    def __init__(self, values: Tensor) -> None:
        self.values, self.calls = values, 0
        self.shape, self.dtype = values.shape, values.dtype

    def __len__(self) -> int:
        return len(self.values)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.values, name)

    def __getitem__(self, rows: Any) -> Tensor:
        if not isinstance(rows, Tensor) or rows.dtype != torch.int64:
            return self.values[rows]
        order = torch.randperm(len(self.values), generator=torch.Generator().manual_seed(self.calls))
        self.calls += 1
        return self.values[order[rows % len(self.values)]]


class Continuing(Around):
    """Batches that go on where the last reader stopped, so that `next(iter(batches))` gives new rows."""

    def __init__(self, batches: Any) -> None:
        super().__init__(batches)
        self._open = iter(batches)

    def __iter__(self) -> Iterator[Any]:
        for _ in range(len(self.batches)):
            try:
                yield next(self._open)
            except StopIteration:
                self._open = iter(self.batches)
                yield next(self._open)


class Repeated(Around):
    """Batches several times over, for a loop that counts its own epochs."""

    def __init__(self, batches: Any, times: int) -> None:
        super().__init__(batches)
        self.times = times

    def __len__(self) -> int:
        return len(self.batches) * self.times

    def __iter__(self) -> Iterator[Any]:
        for _ in range(self.times):
            yield from self.batches


def loader_of(
    old: DataLoader[Any], dataset: Any, size: int | None = None, shuffle: bool | None = None
) -> DataLoader[Any]:
    """Return a loader as another, of other rows, with another size of batches or in random order.

    Raises:
        Unfit: the old one has an order of its own.
    """
    if old.batch_size is None:
        raise Unfit("the loader has a sampler of its own")
    given: dict[str, Any] = {}
    if isinstance(old.sampler, RandomSampler | SequentialSampler) or shuffle is not None:
        given["shuffle"] = isinstance(old.sampler, RandomSampler) if shuffle is None else shuffle
    elif dataset is not old.dataset:
        raise Unfit("the loader has a sampler of its own")
    elif not isinstance(dataset, IterableDataset):
        given["sampler"] = old.sampler
    return DataLoader(
        dataset,
        batch_size=size or old.batch_size,
        collate_fn=None if isinstance(dataset, TensorDataset) else old.collate_fn,
        drop_last=old.drop_last,
        num_workers=old.num_workers,
        pin_memory=old.pin_memory,
        worker_init_fn=old.worker_init_fn,
        generator=old.generator,
        **given,
    )
