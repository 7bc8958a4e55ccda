"""Data, ready to be trained on: split, fitted, encoded, and handed out in batches."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch

from pellucid.config import Config
from pellucid.data.augment import Augmenter
from pellucid.data.batches import Batches, MemoryRows, Rows, rows
from pellucid.data.dataset import Dataset
from pellucid.data.preprocess import Preprocess
from pellucid.data.sources import open_data, ready

PROBE_ROWS = 2000
EVAL_BATCH = 512
EVALUATED = {"validation": "val", "test": "test"}
"""The splits that are measured, and the prefix of their metrics."""


@dataclass(frozen=True)
class Prepared:
    """Data, ready to be trained on.

    Attributes:
        dataset: its splits, as they are.
        preprocess: fitted on the training split.
        rows: encoded, by split.
        where: why they are in memory or streamed.
    """

    dataset: Dataset
    preprocess: Preprocess
    rows: Mapping[str, Rows]
    where: str

    @property
    def in_memory(self) -> bool:
        return all(isinstance(source, MemoryRows) for source in self.rows.values())

    def batches(self, split: str, config: Config) -> Batches:
        """The batches to measure on: in order, unchanged."""
        return Batches(self.rows[split], max(EVAL_BATCH, config.train.batch_size))

    def training_batches(self, config: Config) -> Batches:
        """The batches to learn from: shuffled and augmented."""
        augment = config.data.augment
        active = any(augment.model_dump().values())
        return Batches(
            self.rows["train"],
            config.train.batch_size,
            seed=config.train.seed,
            shuffle=True,
            augment=Augmenter(augment, self.preprocess.num_outputs) if active else None,
        )

    def probe(self, config: Config) -> Batches:
        """A fixed sample of the training rows, to measure as validation is: no augmentation, no dropout."""
        generator = torch.Generator().manual_seed(config.data.split_seed)
        chosen = torch.randperm(len(self.rows["train"]), generator=generator)[:PROBE_ROWS]
        inputs, targets = next(self.rows["train"].batches([chosen.sort().values]))
        return Batches(MemoryRows(inputs, targets), EVAL_BATCH)


def prepare(config: Config, dataset: Dataset | None = None) -> Prepared:
    """Load, split and encode the data of a config; with `dataset`, use that instead of `data.source`."""
    dataset = open_data(config.data) if dataset is None else ready(dataset, config.data)
    preprocess = Preprocess.fit(dataset, image_size=config.data.image_size, normalize=config.data.normalize)
    encoded = {name: rows(table, preprocess, config.data.memory) for name, table in dataset.splits.items()}
    where = "; ".join(f"{name} {reason}" for name, (_, reason) in encoded.items())
    return Prepared(dataset, preprocess, {name: pair[0] for name, pair in encoded.items()}, where)


def sample(source: Rows, limit: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Return (inputs, targets) of at most `limit` rows, drawn at random but always the same."""
    if isinstance(source, MemoryRows) and len(source) <= limit:
        return source.inputs, source.targets
    chosen = torch.randperm(len(source), generator=torch.Generator().manual_seed(0))[:limit].sort().values
    parts = list(source.batches(list(chosen.split(4096))))
    return torch.cat([part[0] for part in parts]), torch.cat([part[1] for part in parts])
