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
    """Switch a model to evaluation mode and disable gradients; restore its mode on exit.

    Example:
        >>> model = torch.nn.Dropout()
        >>> with evaluating(model):
        ...     model.training
        False
        >>> model.training
        True
    """
    training = model.training
    model.train(False)
    try:
        with torch.no_grad():
            yield
    finally:
        model.train(training)


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
