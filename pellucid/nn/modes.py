"""Temporary changes of a model's mode."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Protocol

import torch


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
