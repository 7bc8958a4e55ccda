"""Data, ready to be trained on: split, fitted, encoded, and handed out in batches."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import torch

from pellucid.config import Config
from pellucid.data.batches import ArrowRows, Augment, Batches, MemoryRows, Rows
from pellucid.data.dataset import Dataset
from pellucid.data.preprocess import Preprocess
from pellucid.evaluation import Trained

TRAIN_SAMPLE_ROWS = 2000
EVAL_BATCH = 512
EVALUATED = {"validation": "val", "test": "test"}
"""The splits that are measured, and the prefix of their metrics."""


@dataclass(frozen=True)
class Prepared:
    """Data, ready to be trained on.

    Attributes:
        config: what was asked for.
        dataset: its splits, as they are.
        preprocess: fitted on the training split.
        rows: encoded, by split.
        where: why they are in memory or streamed.
        augment: random changes to the batches that are learned from.
        corrupt: changes to all batches, also those that are measured, e.g. the masks of a masked model.
        eval_batch: most rows in a batch that is measured.
        needed: models of other runs that the task uses, by role; see `Task.needs`.
    """

    config: Config
    dataset: Dataset
    preprocess: Preprocess
    rows: Mapping[str, Rows]
    where: str
    augment: Augment | None = None
    corrupt: Augment | None = None
    eval_batch: int = EVAL_BATCH
    needed: Mapping[str, Trained] = field(default_factory=dict)

    @property
    def in_memory(self) -> bool:
        return not any(isinstance(source, ArrowRows) for source in self.rows.values())

    @property
    def validation(self) -> str:
        """The split that is measured after every epoch."""
        return "validation" if "validation" in self.rows else "test"

    def batches(self, split: str) -> Batches:
        """The batches to measure on: every row once, always the same."""
        return Batches(self.rows[split], self._measured, augment=self.corrupt)

    def training_batches(self) -> Batches:
        """The batches to learn from: shuffled, and augmented or corrupted anew in every epoch."""
        train = self.config.train
        return Batches(
            self.rows["train"],
            train.batch_size,
            seed=train.seed,
            shuffle=True,
            augment=self.augment or self.corrupt,
        )

    def train_sample(self) -> Iterable[tuple[torch.Tensor, torch.Tensor]]:
        """A fixed sample of the training rows, to measure as validation is: no augmentation, no dropout."""
        seed = self.config.data.split_seed
        rows = self.rows["train"]
        return list(
            Batches(
                rows, self._measured, seed=seed, shuffle=True, limit=TRAIN_SAMPLE_ROWS, augment=self.corrupt
            )
        )

    @property
    def _measured(self) -> int:
        return max(self.eval_batch, self.config.train.batch_size)


def sample(source: Rows, limit: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Return (inputs, targets) of at most `limit` rows, drawn at random but always the same."""
    if isinstance(source, MemoryRows) and len(source) <= limit:
        return source.inputs, source.targets
    chosen = torch.randperm(len(source), generator=torch.Generator().manual_seed(0))[:limit].sort().values
    parts = list(source.batches(list(chosen.split(4096))))
    return torch.cat([part[0] for part in parts]), torch.cat([part[1] for part in parts])
