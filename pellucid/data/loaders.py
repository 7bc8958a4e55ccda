"""Batches from a loader of the user's own: a `DataLoader`, a dataset of PyTorch, or any iterable of batches.

What a loader draws at random, it draws from generators that are seeded by (seed, epoch) and kept apart from
those of the training. So its order is a function of both, and a resumed run sees the same batches again: the
ones it has learned from are drawn once more and skipped.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import torch
from torch.utils import _pytree as pytree
from torch.utils.data import DataLoader, IterableDataset, TensorDataset
from torch.utils.data import Dataset as TorchDataset

from pellucid.batch import to_tensors, with_inputs
from pellucid.errors import DataError, UsageError

Source = Any
"""A `DataLoader`, a `torch.utils.data.Dataset`, an iterable of batches, or a function epoch -> iterable."""


def is_loader(data: Any) -> bool:
    """Whether data gives batches (or samples) by itself, rather than a table of rows."""
    if isinstance(data, (str, bytes, dict, tuple, np.ndarray, torch.Tensor)) or hasattr(data, "columns"):
        return False
    return isinstance(data, (DataLoader, TorchDataset)) or callable(data) or isinstance(data, Iterable)


def held_out_source(split: str, data: Any) -> Source:
    """Return what to measure on as a source of batches; a pair (X, y) of tensors or arrays becomes a dataset.

    Raises:
        UsageError: these are several sources, or something else than batches.
    """
    if isinstance(data, (tuple, list)) and len(data) == 2 and all(map(_is_array, data)):
        X, y = map(torch.as_tensor, data)
        if len(X) != len(y):
            raise UsageError(f"{split}=(X, y) has {len(X):,} rows in X and {len(y):,} in y.")
        return TensorDataset(X, y)
    if isinstance(data, (tuple, list)) and len(data) == 1 and isinstance(data[0], (DataLoader, TorchDataset)):
        return data[0]
    listed = list(data.values()) if isinstance(data, dict) else data
    if isinstance(data, dict) or (
        isinstance(listed, (tuple, list)) and any(isinstance(p, (DataLoader, TorchDataset)) for p in listed)
    ):
        raise UsageError(
            f"{split}= received {len(listed)} sources of batches; several {split} sets are not supported "
            "yet.",
            remedy="pass one of them, and measure the others after training: run.evaluate(loader)",
        )
    if not is_loader(data):
        raise UsageError(
            f"{split}= expects batches, as the training data are, or (X, y); received {type(data).__name__}.",
            remedy=f"{split}=DataLoader(...), a list of batches, or a pair of tensors",
        )
    return data


def _is_array(part: Any) -> bool:
    return isinstance(part, (np.ndarray, torch.Tensor)) and part.ndim > 0


class LoaderBatches:
    """The batches of a loader, the same for the same (seed, epoch); NumPy arrays in them become tensors.

    Args:
        source: see `Source`.
        batch_size: of batches made from a dataset; a loader or an iterable has its own.
        seed: with the epoch, decides what the source draws at random.
        shuffle: whether batches of a dataset are shuffled anew every epoch.
        split: what the batches are for, in messages.
        num_inputs: how many of the first entries of a tuple are inputs; see `pellucid.batch.with_inputs`.

    Raises:
        DataError: the source can be iterated only once; when iterated, it gives no batches.
    """

    def __init__(
        self,
        source: Source,
        *,
        batch_size: int = 32,
        seed: int = 0,
        shuffle: bool = False,
        split: str = "train",
        num_inputs: int | None = None,
    ):
        if isinstance(source, Iterator):
            raise DataError(
                f"Expected batches that can be iterated once per epoch, received {type(source).__name__}, "
                "which can be iterated only once.",
                remedy="a list of batches, a DataLoader, or a function epoch -> iterator",
            )
        if isinstance(source, TorchDataset):
            streamed = isinstance(source, IterableDataset)
            if not streamed and hasattr(source, "__len__") and not len(source):  # type: ignore[arg-type]
                raise self._empty(split, "The dataset has no samples.")
            source = DataLoader(source, batch_size=batch_size, shuffle=shuffle and not streamed)
        self.source, self.seed, self.split, self.num_inputs = source, seed, split, num_inputs
        self._generators = _generators_of(source)

    def __len__(self) -> int:
        return len(self.source) - self._ends_with_one_row()  # a TypeError where the number is not known

    def _ends_with_one_row(self) -> bool:
        """Whether a training batch of one row comes last, which is joined to the one before it.

        Batch norm cannot learn from one row; our own data are joined likewise.
        """
        source = self.source
        if self.split != "train" or not isinstance(source, DataLoader) or not source.batch_size:
            return False
        if source.batch_size == 1 or source.drop_last or isinstance(source.dataset, IterableDataset):
            return False
        try:
            rows = len(source.sampler)  # type: ignore[arg-type]
        except TypeError:
            return False
        return rows > source.batch_size and rows % source.batch_size == 1

    def __iter__(self) -> Iterator[Any]:
        return self.epoch(0)

    def epoch(self, number: int, start: int = 0) -> Iterator[Any]:
        """Yield the batches of an epoch from batch `start` on."""
        state = _Generators.seeded(_mixed(self.seed, number))
        for generator, seed in self._generators:
            generator.manual_seed(_mixed(seed, number))
        with state:
            batches = iter(self._opened(number))
        position, last = 0, len(self) - 1 if self._ends_with_one_row() else None
        while True:
            with state:
                batch = next(batches, _END)
                if position == last:
                    batch = _joined(batch, next(batches))
            if batch is _END and not position:
                raise self._empty(self.split, self._why_empty())
            if batch is _END:
                return
            if position >= start:
                yield with_inputs(to_tensors(batch), self.num_inputs)
            position += 1

    @staticmethod
    def _empty(split: str, reason: str) -> DataError:
        return DataError(
            f"Expected at least one batch for {split}, received none. {reason}".rstrip(),
            remedy="a smaller batch_size or drop_last=False in the DataLoader, or more samples",
        )

    def _why_empty(self) -> str:
        size = getattr(self.source, "batch_size", None)
        if self.rows is None or size is None:
            return ""
        dropped = " and drop_last=True" if getattr(self.source, "drop_last", False) else ""
        return f"The loader has {self.rows:,} samples, batch_size={size}{dropped}."

    def _opened(self, epoch: int) -> Any:
        if callable(self.source) and not isinstance(self.source, Iterable):
            return self.source(epoch)
        for part in (self.source, *(getattr(self.source, name, None) for name in _PARTS)):
            if hasattr(part, "set_epoch"):
                part.set_epoch(epoch)  # type: ignore[union-attr]
        return self.source

    @property
    def rows(self) -> int | None:
        """How many examples there are; None where that is not known."""
        try:
            return len(self.source.dataset)
        except (AttributeError, TypeError):
            return None


def _joined(batch: Any, row: Any) -> Any:
    """Return a batch with one more row; the batch as it is, where they are not similar."""
    batch, row = to_tensors(batch), to_tensors(row)
    leaves, spec = pytree.tree_flatten(batch)
    others, theirs = pytree.tree_flatten(row)
    pairs = list(zip(leaves, others, strict=False))
    if spec != theirs or not all(isinstance(part, torch.Tensor) and part.ndim for part in [*leaves, *others]):
        return batch
    if any(one.shape[1:] != other.shape[1:] for one, other in pairs):
        return batch
    return pytree.tree_unflatten([torch.cat(pair) for pair in pairs], spec)


_END = object()
_PARTS = ("sampler", "batch_sampler", "dataset")


def _generators_of(source: Any) -> list[tuple[torch.Generator, int]]:
    """Generators that a loader and its samplers draw from, each with the seed it was given."""
    found: dict[int, tuple[torch.Generator, int]] = {}
    for part in (source, *(getattr(source, name, None) for name in _PARTS)):
        generator = getattr(part, "generator", None)
        if isinstance(generator, torch.Generator):
            found[id(generator)] = (generator, generator.initial_seed())
    return list(found.values())


def _mixed(seed: int, epoch: int) -> int:
    return int(np.random.SeedSequence([seed % 2**64, epoch]).generate_state(1, np.uint64)[0] >> np.uint64(1))


class _Generators:
    """The global generators of Python, NumPy and torch, in a state of their own while a block runs."""

    def __init__(self, state: tuple[Any, ...]):
        self.state = state

    @classmethod
    def seeded(cls, seed: int) -> _Generators:
        """The state after seeding all of them."""
        outside = _state()
        random.seed(seed)
        np.random.seed(seed % 2**32)
        torch.manual_seed(seed)
        inside = _state()
        _set_state(outside)
        return cls(inside)

    def __enter__(self) -> None:
        self._outside = _state()
        _set_state(self.state)

    def __exit__(self, *_: object) -> None:
        self.state = _state()
        _set_state(self._outside)


def _state() -> tuple[Any, ...]:
    return random.getstate(), np.random.get_state(), torch.get_rng_state()


def _set_state(state: tuple[Any, ...]) -> None:
    python, numpy, cpu = state
    random.setstate(python)
    np.random.set_state(numpy)
    torch.set_rng_state(cpu)
