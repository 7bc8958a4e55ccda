"""A weight for each class, by which its part of the loss counts."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor

from pellucid.errors import ConfigError, UnknownNameError


def class_weights(
    asked: bool | Mapping[str, float] | Sequence[float],
    classes: Sequence[str],
    count: Callable[[], Tensor],
) -> Tensor | None:
    """Return the weights that `objective.class_weights` asks for, (K,); None for false.

    Args:
        asked: true for weights by inverse frequency, weights by name (1 for the others), or one for each
            class in their order.
        classes: names of the K classes.
        count: returns how often each class occurs in training, (K,).

    Raises:
        UnknownNameError: there is no class of a name.
        ConfigError: there are more or fewer weights than classes.
    """
    if not asked:
        return None
    if isinstance(asked, Mapping):
        for name in asked:
            if name not in classes:
                raise UnknownNameError("class to weigh", name, classes)
        return torch.tensor([float(asked.get(name, 1.0)) for name in classes])
    if isinstance(asked, Sequence):
        if len(asked) != len(classes):
            raise ConfigError(
                f"objective.class_weights has {len(asked)} values: expected one for each of {len(classes)} "
                f"classes, in the order {', '.join(classes[:10])}."
            )
        return torch.tensor(asked, dtype=torch.float32)
    counts = count()
    return (counts.sum() / (len(counts) * counts.clamp(min=1))).float()
