"""Averaged weights, which can be evaluated and saved instead of the last ones.

EMA updates `average = decay * average + (1 - decay) * weights` after every step; the decay is increased
from zero so that early weights are forgotten (Polyak & Juditsky 1992; the ramp as in TensorFlow's
`ExponentialMovingAverage`). SWA is the plain mean from some epoch on (Izmailov et al. 2018). Running
statistics of batch norm are averaged in the same way; integer buffers are copied.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import torch
from torch import Tensor, nn

from pellucid.train.extra_state import model_tensors


class WeightAverage:
    """An average of a model's weights and buffers.

    Args:
        model: the model; the average starts as a copy of its weights.
        decay: decay of the exponential average, in (0, 1); None for the plain mean.
    """

    def __init__(self, model: nn.Module, decay: float | None):
        self.decay = decay
        self.updates = 0
        self.tensors = {name: tensor.detach().clone() for name, tensor in model_tensors(model).items()}

    @torch.no_grad()
    def update(self, model: nn.Module) -> None:
        """Update the average with the current weights of the model."""
        self.updates += 1
        state = model_tensors(model)
        share = 1 - self._momentum()
        for name, tensor in state.items():
            if tensor.is_floating_point():
                self.tensors[name].lerp_(tensor, share)
            else:
                self.tensors[name].copy_(tensor)

    def _momentum(self) -> float:
        if self.decay is None:
            return 1 - 1 / self.updates
        return min(self.decay, self.updates / (10 + self.updates))

    @contextlib.contextmanager
    def swapped(self, model: nn.Module) -> Iterator[None]:
        """Give the model the averaged weights; restore its own on exit."""
        if not self.updates:
            yield
            return
        state = model_tensors(model)
        own = {name: tensor.clone() for name, tensor in state.items()}
        _copy(state, self.tensors)
        try:
            yield
        finally:
            _copy(state, own)


@torch.no_grad()
def _copy(into: dict[str, Tensor], source: dict[str, Tensor]) -> None:
    for name, tensor in into.items():
        tensor.copy_(source[name])
