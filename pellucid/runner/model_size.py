"""Estimate the size of a model and of its batches before they are allocated."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import psutil
import torch
from torch import nn

from pellucid.config import Config
from pellucid.data.preprocess import Preprocess
from pellucid.errors import ConfigError
from pellucid.runner.model_builder import PRETRAINED, make_model

MANY_PIXELS = 128 * 128
"""Values of an image of which linear layers are slow."""
CONV_OR_DENSE = ("autoencoder", "vae")
"""Models with the option `kind`."""
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


def size_notes(model: nn.Module, config: Config, prepared: Any) -> tuple[str, ...]:
    """Say so where linear layers read all pixels of large images, which is slow."""
    shape = tuple(getattr(prepared.preprocess, "input_shape", ()))
    pixels = math.prod(shape)
    layers = [module for module in model.modules() if isinstance(module, nn.Linear)]
    dense = [layer for layer in layers if pixels in (layer.in_features, layer.out_features)]
    if len(shape) != 3 or pixels <= MANY_PIXELS or not dense:
        return ()
    weights = sum(layer.weight.numel() for layer in dense)
    smaller = "--set data.image_size=64" if config.data.image_size is None else "a smaller data.image_size"
    convolutions = " or --set model.options.kind=conv" if config.model.name in CONV_OR_DENSE else ""
    return (
        f"Linear layers with {weights:,} weights see all {pixels:,} values of an image of "
        f"{shape[2]} x {shape[1]}, which is slow. Try: {smaller}{convolutions}",
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
