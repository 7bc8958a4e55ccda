"""What the tasks on images without targets share: pixels in 0..1."""

from __future__ import annotations

from typing import ClassVar

import pyarrow as pa
import torch
from torch import Tensor, nn

from pellucid.config import Config
from pellucid.data.augment import Augmenter
from pellucid.data.batches import MemoryRows, Rows, encode_splits, rows
from pellucid.data.dataset import Dataset
from pellucid.data.preprocess import Preprocess
from pellucid.errors import BadDataError, ConfigError
from pellucid.tasks.prepared import Prepared, sample
from pellucid.tasks.task import Task

SEED = 0
"""Seed of the noise for samples, the same in every epoch and every run."""


class ImageTask(Task):
    """Base of image tasks: batches are (images in 0..1, classes or zeros)."""

    labelled: ClassVar[bool] = False
    takes_loss = False

    def prepare(
        self, dataset: Dataset, config: Config, reads_tokens: bool, fitted: Preprocess | None = None
    ) -> Prepared:
        """Decode images without scaling them.

        Raises:
            ConfigError: pixels would be scaled.
            BadDataError: the rows are not images, or their pixels lie outside 0..1.
        """
        data = config.data
        if data.normalize:
            raise ConfigError(
                f"{self.name} needs pixels in 0..1, and data.normalize would scale them.",
                remedy="--set data.normalize=false",
            )
        preprocess = fitted or Preprocess.fit(dataset, image_size=data.image_size, normalize=False)
        shape = preprocess.input_shape
        if len(shape) != 3:
            raise BadDataError(
                f"{self.name} expects images (C, H, W); {dataset.name} has rows of shape {shape}."
            )
        encoded, held = encode_splits(dataset.splits, preprocess, data.memory, _encoded)
        _check_range(encoded["train"], dataset.name)
        augment = Augmenter(data.augment, preprocess.num_outputs)
        return Prepared(
            config,
            dataset,
            preprocess,
            encoded,
            held,
            augment or None,
        )


def _encoded(table: pa.Table, preprocess: Preprocess, share: float) -> tuple[Rows, str]:
    """Encode the rows of a table; without a target, classes are zeros."""
    if preprocess.target is not None:
        return rows(table, preprocess, share)
    inputs = preprocess.inputs(table)
    return MemoryRows(inputs, torch.zeros(len(inputs), dtype=torch.long)), "in memory"


def _check_range(source: Rows, name: str) -> None:
    """Arrays may hold anything; what is streamed was decoded from images."""
    if not isinstance(source, MemoryRows):
        return
    low, high = (value.item() for value in source.inputs.aminmax())
    if low < 0 or high > 1:
        raise BadDataError(
            f"Expected pixels in 0..1, received values from {low:g} to {high:g} in {name}.",
            remedy="divide them by their largest value",
        )


def device_of(model: nn.Module) -> torch.device:
    """Return the device of a model's first parameter; the CPU if it has none."""
    return next((parameter.device for parameter in model.parameters()), torch.device("cpu"))


def few(prepared: Prepared, split: str, count: int) -> Tensor:
    """Return at most `count` images of a split, (N, C, H, W), always the same."""
    return sample(prepared.rows[split], count)[0]


def class_names(preprocess: Preprocess, targets: Tensor) -> list[str]:
    """Return the class of each row; "" where there are none."""
    classes = preprocess.classes
    if not classes or targets.ndim != 1 or targets.is_floating_point():
        return [""] * len(targets)
    return [classes[index] for index in targets.tolist()]
