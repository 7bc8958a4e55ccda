"""Temporary changes of a model's mode."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Protocol, Self

import torch
from torch import nn


class HasTrainingMode(Protocol):
    """An object with two modes, training and evaluation: any `nn.Module`."""

    training: bool

    def train(self, mode: bool = True) -> Any: ...


@contextmanager
def evaluating(model: HasTrainingMode) -> Iterator[None]:
    """Switch a model to evaluation mode and disable gradients; restore the mode of each layer on exit.

    Example:
        >>> model = torch.nn.Dropout()
        >>> with evaluating(model):
        ...     model.training
        False
        >>> model.training
        True
    """
    layers = list(model.modules()) if isinstance(model, nn.Module) else [model]
    training = [layer.training for layer in layers]
    model.train(False)
    try:
        with torch.no_grad():
            yield
    finally:
        model.train(training[0])
        for layer, mode in zip(layers, training, strict=True):
            layer.training = mode


class FrozenInEvaluation(nn.Module):
    """Base of models whose frozen parts stay in evaluation mode during training.

    A part without a parameter that is trained computes what the pretrained model computes: no dropout, and
    batch norm with the statistics it came with, which do not change.
    """

    def train(self, mode: bool = True) -> Self:
        super().train(mode)
        if mode:
            for part in self.modules():
                parameters = list(part.parameters())
                if parameters and not any(parameter.requires_grad for parameter in parameters):
                    for inner in part.modules():
                        inner.training = False
        return self
