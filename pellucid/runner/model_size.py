"""Estimate the size of a model and of its batches before they are allocated."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import psutil
import torch

from pellucid.config import Config
from pellucid.data.preprocess import Preprocess
from pellucid.errors import ConfigError
from pellucid.runner.model_builder import PRETRAINED, make_model

SMALL = 10**9
"""Product of the largest three numbers below which a model is small. torch needs a second to prepare for
tensors without memory, so small models are not estimated."""


def check_model_size(config: Config, preprocess: Preprocess) -> None:
    """Refuse a model whose weights and gradients are larger than the memory.

    Raises:
        ConfigError: with the number of parameters and the sizes.
    """
    numbers = [*_numbers(config.model.options), *preprocess.input_shape, preprocess.vocab_size or 1]
    if config.model.name == PRETRAINED or math.prod(sorted(numbers)[-3:]) < SMALL:
        return
    try:
        with torch.device("meta"), torch.random.fork_rng(devices=[]):
            model = make_model(config, preprocess)
    except (RuntimeError, NotImplementedError):  # not every model can be built without values
        return
    count = sum(parameter.numel() for parameter in model.parameters())
    needed, memory = 2 * 4 * count, psutil.virtual_memory().total
    if needed > memory:
        raise ConfigError(
            f"model: {count:,} parameters and their gradients take {needed / 2**30:,.1f} GiB: expected less "
            f"than the memory of this machine, {memory / 2**30:,.1f} GiB.",
            remedy="--set model.size=tiny, or smaller numbers in model.options",
        )


def check_batch_size(config: Config, preprocess: Preprocess, rows: int | None) -> None:
    """Refuse batches whose inputs are larger than the memory.

    Args:
        config: the config.
        preprocess: knows the shape of an input.
        rows: of the training split, which a batch cannot exceed; None if that is not known.

    Raises:
        ConfigError: with the sizes.
    """
    batch = min(config.train.batch_size, rows or config.train.batch_size)
    needed, memory = 4 * batch * math.prod(preprocess.input_shape), psutil.virtual_memory().total
    if needed > memory:
        shape = " x ".join(map(str, preprocess.input_shape))
        raise ConfigError(
            f"train.batch_size: {batch:,} inputs of {shape} numbers take {needed / 2**30:,.1f} GiB: expected "
            f"less than the memory of this machine, {memory / 2**30:,.1f} GiB.",
            remedy="a smaller --set data.image_size=N or train.batch_size=N",
        )


def _numbers(values: Any) -> Iterator[int]:
    if isinstance(values, dict):
        values = list(values.values())
    if isinstance(values, (list, tuple)):
        for value in values:
            yield from _numbers(value)
    elif isinstance(values, int):
        yield values
