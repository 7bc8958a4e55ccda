"""Data prepared for training: split, encoded, and served in batches."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

import torch

from pellucid.config import Config
from pellucid.data.batches import ArrowRows, Augment, Batches, MemoryRows, Rows, encode_splits
from pellucid.data.dataset import FILE_SOURCES, Dataset, Source
from pellucid.data.preprocess import Preprocess
from pellucid.data.row_weights import weighted_rows
from pellucid.data.text.token_rows import RaggedRows
from pellucid.errors import worded
from pellucid.evaluation import Trained

TRAIN_SAMPLE_ROWS = 2000
SHORT = 5.0
"""Minutes of a training run up to which fewer and shorter samples are drawn."""
EVAL_BATCH = 512
EVALUATED = {"validation": "val", "test": "test"}
"""The splits that are evaluated, and the prefix of their metrics."""


class PreparedData(Protocol):
    """What the runner needs of its data: `Prepared` for encoded rows, `LoaderData` for the user's batches.

    Attributes:
        config: the config.
        preprocess: how rows become tensors; None where batches come as they are.
        where, in_memory: where the rows are, and why.
        same_shapes: whether all batches but the last have the same shapes, so that they can be compiled.
        augment: random changes to training batches, if any.
    """

    @property
    def config(self) -> Config: ...
    @property
    def preprocess(self) -> Any: ...
    @property
    def where(self) -> str: ...
    @property
    def in_memory(self) -> bool: ...
    @property
    def same_shapes(self) -> bool: ...
    @property
    def augment(self) -> Any: ...
    @property
    def validation(self) -> str | None: ...

    def with_needed(self, needed: Mapping[str, Trained]) -> Any: ...

    def has(self, split: str) -> bool: ...

    def batches(self, split: str) -> Any: ...

    def training_batches(self) -> Any: ...

    def train_sample(self) -> Iterable[Any] | None: ...

    def size_of(self, split: str) -> dict[str, Any]: ...

    def state(self) -> dict[str, Any] | None: ...

    def facts(self) -> dict[str, Any]: ...


@dataclass(frozen=True)
class Prepared:
    """Data prepared for training.

    Attributes:
        config: the config.
        dataset: its splits, as they are.
        preprocess: fitted on the training split.
        rows: encoded, by split.
        where: why the rows are in memory or streamed.
        augment: random changes to training batches.
        corrupt: changes to all batches, evaluation batches too, e.g. masking.
        eval_batch: rows of an evaluation batch.
        needed: models of other runs that the task uses, by role; see `Task.needs`.
        measured_rows: most rows, or images to generate, that the time allows to evaluate; None: no limit.
        weights: of the training rows, (N,) with a mean of 1; None: all weigh the same.
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
    weights: torch.Tensor | None = None
    measured_rows: int | None = None

    def with_needed(self, needed: Mapping[str, Trained]) -> Prepared:
        """Return the same data with the models of other runs that the task uses."""
        return replace(self, needed=needed)

    @property
    def same_shapes(self) -> bool:
        """Whether all batches but the last have the same shapes."""
        return not isinstance(self.rows["train"], RaggedRows)

    @property
    def short(self) -> bool:
        """Whether the time asked for is so short that samples must not take much of it."""
        minutes = self.config.train.minutes
        return minutes is not None and minutes <= SHORT

    def has(self, split: str) -> bool:
        """Whether there is a split."""
        return split in self.rows

    def size_of(self, split: str) -> dict[str, Any]:
        """How many rows a split has, as an entry for its results."""
        return {"rows": len(self.rows[split])}

    def state(self) -> dict[str, Any]:
        """What goes into `preprocess.json`."""
        return {**self.preprocess.state(), "features": self.preprocess.feature_names}

    def facts(self) -> dict[str, Any]:
        """What `run.json` records about the data."""
        dataset, source = self.dataset, self.dataset.source
        return {
            "name": dataset.name,
            "task": dataset.task,
            "target": dataset.target,
            "classes": list(self.preprocess.classes),
            "input_shape": list(self.preprocess.input_shape),
            "inputs": [{"name": column.name, "kind": column.kind} for column in dataset.inputs],
            "splits": {
                name: {"rows": len(table), "fingerprint": dataset.fingerprint[name]}
                for name, table in dataset.splits.items()
            },
            "source": {
                "name": _absolute(source),
                "kind": source.kind,
                "licence": source.licence,
                "note": source.note,
                "looked": list(source.looked),
            },
            "skipped": list(dataset.skipped),
            "notes": [worded(note) for note in (*dataset.notes, *self.preprocess.notes)],
        }

    @property
    def in_memory(self) -> bool:
        """Whether all splits are held in memory."""
        return not any(isinstance(source, ArrowRows) for source in self.rows.values())

    @property
    def validation(self) -> str:
        """The split that is evaluated after every epoch."""
        return "validation" if "validation" in self.rows else "test"

    def batches(self, split: str) -> Batches:
        """Return the evaluation batches: every row once, always the same."""
        return Batches(self.rows[split], self._measured, augment=self.corrupt)

    def training_batches(self) -> Batches:
        """Return the training batches: shuffled, and augmented or corrupted differently in every epoch."""
        train, rows = self.config.train, self.rows["train"]
        return Batches(
            rows if self.weights is None else weighted_rows(rows, self.weights),
            train.batch_size,
            seed=train.seed,
            shuffle=True,
            augment=self.augment or self.corrupt,
        )

    def train_sample(self) -> Iterable[tuple[torch.Tensor, torch.Tensor]]:
        """Return a fixed sample of the training rows, without augmentation."""
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


def _absolute(source: Source) -> str:
    """Return the name of a source; of a file or folder its path from the root."""
    is_path = source.kind in FILE_SOURCES and Path(source.name).exists()
    return str(Path(source.name).resolve()) if is_path else source.name


def encode_rows(
    dataset: Dataset, config: Config, reads_tokens: bool, fitted: Preprocess | None
) -> tuple[Preprocess, dict[str, Rows], str]:
    """Encode all rows, with a preprocessing that is fitted on the training rows as the config says.

    Args:
        dataset: with its splits made.
        config: the whole config.
        reads_tokens: whether the model reads texts as tokens, rather than as counts of words.
        fitted: the preprocessing of an earlier run, which is used as it is.

    Returns:
        The preprocessing, the rows by split, and where they are held and why.
    """
    data = config.data
    preprocess = fitted or Preprocess.fit(
        dataset,
        image_size=data.image_size,
        normalize=data.normalize,
        text=data.text if reads_tokens else None,
        image_fit=data.image_fit,
        images_of=data.images_of,
    )
    return preprocess, *encode_splits(dataset.splits, preprocess, data.memory)


def sample(source: Rows, limit: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Return (inputs, targets) of at most `limit` rows, drawn at random but always the same."""
    if isinstance(source, MemoryRows) and len(source) <= limit:
        return source.inputs, source.targets
    chosen = torch.randperm(len(source), generator=torch.Generator().manual_seed(0))[:limit].sort().values
    parts = list(source.batches(list(chosen.split(4096))))
    return torch.cat([part[0] for part in parts]), torch.cat([part[1] for part in parts])
