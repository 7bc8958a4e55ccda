"""The rows behind a loop's batches: read them, leave some out, order them anew."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader, RandomSampler, Subset, TensorDataset

from pellucid.lens.remedy.parts import Parts, Unfit

MOST = 200_000
"""Rows that are read at most."""


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
    return pair(next(iter(parts.batches)))


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
        batches = DataLoader(dataset, batch_size=256, collate_fn=batches.collate_fn)
    if not isinstance(batches, list | tuple | DataLoader):
        raise Unfit("the batches can be read only once")
    pairs = [pair(batch) for batch in batches]
    return torch.cat([x for x, _ in pairs]), torch.cat([y for _, y in pairs])


def take(parts: Parts, rows: Tensor) -> Parts:
    """Keep only some rows, in this order (a row may come more than once)."""
    batches = parts.batches
    if isinstance(batches, DataLoader):
        parts.batches = _loader(batches, Subset(batches.dataset, rows.tolist()))
        return parts
    x, y = all_rows(parts)
    return put_rows(parts, x[rows], y[rows])


def put_rows(parts: Parts, inputs: Tensor, targets: Tensor) -> Parts:
    """Replace the rows, with the same size of batches."""
    batches = parts.batches
    if is_rows(batches):
        parts.batches = (inputs, targets)
    elif isinstance(batches, DataLoader):
        parts.batches = _loader(batches, TensorDataset(inputs, targets))
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
        parts.batches = _loader(batches, batches.dataset, size)
    elif isinstance(batches, list | tuple) and not is_rows(batches):
        x, y = all_rows(parts)
        parts.batches = list(zip(x.split(size), y.split(size), strict=True))
    else:
        raise Unfit("the loop makes its batches itself")
    return parts


def size_of(parts: Parts) -> int:
    """Return the rows of a batch."""
    return parts.batch_size or len(first_rows(parts)[0])


class Shuffled:
    """Batches made of rows in a new order in each pass."""

    def __init__(self, inputs: Tensor, targets: Tensor, size: int) -> None:
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


class Continuing:
    """Batches that go on where the last reader stopped, so that `next(iter(batches))` gives new rows."""

    def __init__(self, batches: Any) -> None:
        self.batches, self._open = batches, iter(batches)

    def __len__(self) -> int:
        return len(self.batches)

    def __iter__(self) -> Iterator[Any]:
        for _ in range(len(self.batches)):
            try:
                yield next(self._open)
            except StopIteration:
                self._open = iter(self.batches)
                yield next(self._open)


class Repeated:
    """Batches several times over, for a loop that counts its own epochs."""

    def __init__(self, batches: Any, times: int) -> None:
        self.batches, self.times = batches, times

    def __len__(self) -> int:
        return len(self.batches) * self.times

    def __iter__(self) -> Iterator[Any]:
        for _ in range(self.times):
            yield from self.batches


def _loader(old: DataLoader[Any], dataset: Any, size: int | None = None) -> DataLoader[Any]:
    shuffled = isinstance(old.sampler, RandomSampler)
    collate: Callable[..., Any] | None = None if isinstance(dataset, TensorDataset) else old.collate_fn
    return DataLoader(
        dataset,
        batch_size=size or old.batch_size,
        shuffle=shuffled,
        collate_fn=collate,
        drop_last=old.drop_last,
        num_workers=old.num_workers,
    )
