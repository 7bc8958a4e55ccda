"""Batches of the user's own in the place of encoded rows."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

from pellucid.batch import describe, tensors
from pellucid.config import Config
from pellucid.data.loaders import LoaderBatches


class LoaderData:
    """Data of a training run from loaders; see `PreparedData`.

    Args:
        config: of the training.
        train: what to learn from.
        held_out: what to measure on, by split: "validation", "test".
    """

    augment = None
    preprocess: Any = None
    in_memory = False
    same_shapes = True
    where = "batches of a loader"

    def __init__(self, config: Config, train: Any, held_out: Mapping[str, Any]):
        self.config, seed = config, config.train.seed
        size = config.train.batch_size
        self.train = LoaderBatches(train, batch_size=size, seed=seed, shuffle=True)
        self.held_out = {
            split: LoaderBatches(source, batch_size=size, seed=seed) for split, source in held_out.items()
        }

    @property
    def validation(self) -> str | None:
        return next(iter(self.held_out), None)

    def with_needed(self, needed: Mapping[str, Any]) -> LoaderData:
        """Return itself: no task of loaders uses the models of other runs."""
        return self

    def has(self, split: str) -> bool:
        return split == "train" or split in self.held_out

    def batches(self, split: str) -> LoaderBatches:
        return self.train if split == "train" else self.held_out[split]

    def training_batches(self) -> LoaderBatches:
        return self.train

    def train_sample(self) -> None:
        """None: what a loader yields may be augmented, so that nothing is measured as validation is."""

    def size_of(self, split: str) -> dict[str, Any]:
        rows = self.batches(split).rows
        return {} if rows is None else {"rows": rows}

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


def _named(source: Any) -> str:
    dataset = getattr(source, "dataset", None)
    kind = type(source).__name__ if not callable(source) else getattr(source, "__name__", "function")
    return f"{type(source).__name__} of {type(dataset).__name__}" if dataset is not None else kind


def _fingerprint(batch: Any) -> str:
    """Of the first batch, which tells other data from these."""
    digest = hashlib.sha256()
    for tensor in tensors(batch):
        digest.update(str((tensor.dtype, tuple(tensor.shape))).encode())
        digest.update(tensor.detach().cpu().contiguous().flatten().view(-1).numpy().tobytes())
    return digest.hexdigest()[:32]
