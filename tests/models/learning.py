"""What every contract asks of training: that a network can learn one batch by heart."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn


def least_error(
    model: nn.Module, error: Callable[[], Tensor], goal: float, *, lr: float = 0.01, steps: int = 300
) -> float:
    """Train with Adam until an error is below a goal, or for so many steps; return the least there was."""
    optimizer = torch.optim.Adam(model.parameters(), lr=lr)
    found = []
    for _ in range(steps):
        value = error()
        found.append(value.item())
        if found[-1] < goal:
            break
        optimizer.zero_grad()
        value.backward()
        optimizer.step()
    return min(found)
