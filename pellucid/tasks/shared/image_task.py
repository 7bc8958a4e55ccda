"""What the tasks on images without targets share: pixels in 0..1."""

from __future__ import annotations

import math
from typing import ClassVar

import pyarrow as pa
import torch
from torch import Tensor

from pellucid.config import Config, ImageFit
from pellucid.data.augment import Augmenter
from pellucid.data.batches import MemoryRows, Rows, encode_splits, rows
from pellucid.data.dataset import Dataset
from pellucid.data.preprocess import Preprocess
from pellucid.errors import BadDataError
from pellucid.tasks.prepared import Prepared, sample
from pellucid.tasks.task import Task

SEED = 0
"""Seed of the noise for samples, the same in every epoch and every run."""


class ImageTask(Task):
    """Base of image tasks: batches are (images in 0..1, classes or zeros).

    Attributes:
        image_fit: how images of other shapes get one size, unless the config says it.
    """

    takes_loss = False
    image_fit: ClassVar[ImageFit] = "pad"

    def prepare(
        self, dataset: Dataset, config: Config, reads_tokens: bool, fitted: Preprocess | None = None
    ) -> Prepared:
        """Decode images without scaling them.

        Pixels are in 0..1, whatever `data.normalize` says, and images keep their shape unless
        `data.image_fit` is stretch.

        Raises:
            BadDataError: the rows are not images.
        """
        data = config.data
        preprocess = fitted or Preprocess.fit(
            dataset,
            image_size=data.image_size,
            normalize=False,
            image_fit=data.image_fit or self.image_fit,
            pixels=True,
        )
        shape = preprocess.input_shape
        if len(shape) != 3:
            raise BadDataError(
                f"{self.name} expects images (C, H, W); {dataset.name} has rows of shape {shape}.",
                remedy=_remedy(shape),
            )
        encoded, held = encode_splits(dataset.splits, preprocess, data.memory, _encoded)
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


def _remedy(shape: tuple[int, ...]) -> str | None:
    """Return how flat rows that may be square images are given their shape."""
    side = math.isqrt(shape[0]) if len(shape) == 1 else 0
    if side * side == math.prod(shape) and side > 3:
        return f"X.reshape(-1, {side}, {side}), if every row is an image of {side} x {side} pixels"
    return "arrays (N, H, W) or (N, C, H, W), or a folder of images"


def few(prepared: Prepared, split: str, count: int) -> Tensor:
    """Return at most `count` images of a split, (N, C, H, W), always the same."""
    return sample(prepared.rows[split], count)[0]


def class_names(preprocess: Preprocess, targets: Tensor) -> list[str]:
    """Return the class of each row; "" where there are none."""
    classes = preprocess.classes
    if not classes or targets.ndim != 1 or targets.is_floating_point():
        return [""] * len(targets)
    return [classes[index] for index in targets.tolist()]
