"""Overfitting of one batch, which every model contract requires."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn


def least_error(
    model: nn.Module, error: Callable[[], Tensor], goal: float, *, lr: float = 0.01, steps: int = 300
) -> float:
    """Train with Adam until an error is below a goal, or for n steps; return the smallest error."""
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
