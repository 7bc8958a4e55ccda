"""Batches of the user's own in the place of encoded rows."""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader
from torch.utils.data import Dataset as TorchDataset

from pellucid.batch import (
    Arguments,
    as_batch,
    describe,
    num_rows,
    parameters_of,
    tensors,
    to_tensors,
    with_inputs,
)
from pellucid.config import Config
from pellucid.data.loaders import LoaderBatches, held_out_source


class FirstBatches:
    """The first batches of others, with at least n rows.

    Args:
        batches: all of them.
        rows: n.
    """

    def __init__(self, batches: Any, rows: int):
        self.batches, self.rows = batches, rows

    def __iter__(self) -> Iterator[Any]:
        left = self.rows
        for batch in self.batches:
            yield batch
            left -= num_rows(batch)
            if left <= 0:
                return


class LoaderData:
    """Data of a training run from loaders; see `PreparedData`.

    Args:
        config: of the training.
        train: what to learn from.
        held_out: what to measure on, by split: "validation", "test".

    Raises:
        UsageError: there are several sources for one split, or they give no batches.
        DataError: a source can be iterated only once, or is empty.
    """

    augment = None
    preprocess: Any = None
    in_memory = False
    same_shapes = True
    where = "batches of a loader"

    def __init__(self, config: Config, train: Any, held_out: Mapping[str, Any]):
        self.config = config
        make = partial(
            LoaderBatches,
            batch_size=config.train.batch_size,
            seed=config.train.seed,
            num_inputs=config.data.num_inputs,
        )
        self.train = make(train, shuffle=True)
        self.held_out: dict[str, Any] = {
            split: make(held_out_source(split, source), split=split) for split, source in held_out.items()
        }

    @property
    def validation(self) -> str | None:
        return next(iter(self.held_out), None)

    def with_needed(self, needed: Mapping[str, Any]) -> LoaderData:
        """Return itself: no task of loaders uses the models of other runs."""
        return self

    def has(self, split: str) -> bool:
        return split == "train" or split in self.held_out

    def batches(self, split: str) -> Any:
        return self.train if split == "train" else self.held_out[split]

    def training_batches(self) -> LoaderBatches:
        return self.train

    def train_sample(self) -> None:
        """None: what a loader yields may be augmented, so that nothing is measured as validation is."""

    def size_of(self, split: str) -> dict[str, Any]:
        rows = self.batches(split).rows
        return {} if rows is None else {"rows": rows}

    def fewer(self, split: str, rows: int) -> LoaderData:
        """Return the same data with the first rows of a held-out split, as whole batches."""
        made = copy.copy(self)
        made.held_out = {**self.held_out, split: FirstBatches(self.held_out[split], rows)}
        return made

    def state(self) -> dict[str, Any] | None:
        return None

    def facts(self) -> dict[str, Any]:
        first = next(iter(self.train))
        splits = {"train": self.train, **self.held_out}
        return {
            "name": _named(self.train.source),
            "task": None,
            "target": None,
            "classes": [],
            "input_shape": [],
            "inputs": [],
            "batch": describe(first),
            "class_targets": are_classes(as_batch(first).targets),
            "splits": {
                name: {"rows": batches.rows, "fingerprint": _fingerprint(next(iter(batches)))}
                for name, batches in splits.items()
            },
            "source": {
                "name": _named(self.train.source),
                "kind": "loader",
                "licence": "",
                "note": "",
                "looked": [],
            },
            "skipped": [],
            "notes": [],
        }


def own_inputs(model: nn.Module, source: Any, num_inputs: int | None = None) -> list[Any]:
    """Return the inputs to predict for, batch by batch, in the form that `call_model` takes.

    Args:
        model: the model that predicts.
        source: inputs of the model (tensors, arrays, lists of numbers); or batches of them, with or without
            targets: a `DataLoader`, a dataset of PyTorch, or a list of tensors or batches.
        num_inputs: how many of the first entries of a batch are inputs; None: see `as_batch`.
    """
    if not has_batches(source):
        if isinstance(source, list) and _are_inputs(model, source):
            source = tuple(source)
        if isinstance(source, list):
            rows = all(isinstance(part, Tensor) for part in source)
            source = torch.stack(source) if rows else torch.as_tensor(np.asarray(source))
        inputs = to_tensors(source)
        return [Arguments(inputs) if type(inputs) is tuple and _fits(model, inputs) else inputs]
    batches = list(LoaderBatches(source, split="predict"))
    if num_inputs is not None:
        return [_first_inputs(batch, num_inputs) for batch in batches]
    return [batch if _are_all_inputs(model, batch) else as_batch(batch).inputs for batch in batches]


def _are_inputs(model: nn.Module, source: list[Any]) -> bool:
    """Whether a list holds one array for each input of a model, rather than rows."""
    arrays = all(len(getattr(part, "shape", ())) > 1 for part in source)
    return len(source) > 1 and arrays and _fits(model, tuple(source))


def _first_inputs(batch: Any, count: int) -> Any:
    return as_batch(with_inputs(batch, count)).inputs if isinstance(batch, (tuple, list)) else batch


def has_batches(source: Any) -> bool:
    """Whether prediction inputs are batches, rather than the inputs of one batch."""
    if isinstance(source, list):
        rows = all(isinstance(part, Tensor) and part.ndim < 2 for part in source)
        return not rows and any(bool(tensors(to_tensors(part))) for part in source if _structured(part))
    return isinstance(source, (DataLoader, TorchDataset))


def _structured(part: Any) -> bool:
    """Whether part of a list may be a batch: an array by itself is one row."""
    return not isinstance(part, (np.ndarray, np.generic, int, float, str))


def _fits(model: nn.Module, inputs: tuple[Any, ...]) -> bool:
    parameters = parameters_of(model)
    return len(parameters.required) <= len(inputs) <= parameters.positional and len(inputs) > 1


def _are_all_inputs(model: nn.Module, batch: Any) -> bool:
    """Whether a batch without targets holds one input for each parameter of the model."""
    several = (
        isinstance(batch, (tuple, list)) and len(batch) > 1 and all(isinstance(p, Tensor) for p in batch)
    )
    return several and len(batch) == len(parameters_of(model).required)


def are_classes(targets: Any) -> bool:
    """Whether targets are one class index for each row."""
    return isinstance(targets, Tensor) and targets.ndim == 1 and not targets.is_floating_point()


def _named(source: Any) -> str:
    dataset = getattr(source, "dataset", None)
    kind = type(source).__name__ if not callable(source) else getattr(source, "__name__", "function")
    return f"{type(source).__name__} of {type(dataset).__name__}" if dataset is not None else kind


def _fingerprint(batch: Any) -> str:
    """Of the first batch, which tells other data from these."""
    digest = hashlib.sha256()
    for tensor in tensors(batch):
        digest.update(str((tensor.dtype, tuple(tensor.shape))).encode())
        values = tensor.detach().cpu().contiguous().flatten()
        digest.update(values.view(torch.uint8).numpy().tobytes())  # NumPy does not know every dtype
    return digest.hexdigest()[:32]
