"""Names that weights had in earlier versions, so that old checkpoints and weight files still load."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import TypeVar

Value = TypeVar("Value")

OLD_NAMES: tuple[tuple[str, str], ...] = (
    (r"(^|\.)ahead\.(?=(?:weight|bias)_[ih]h_l0$)", r"\1forward_rnn."),  # RecurrentLayer, 0.1
    (r"(^|\.)back\.(?=(?:weight|bias)_[ih]h_l0$)", r"\1backward_rnn."),
)
"""Patterns of old names and their replacements; the comment names the module and the last version."""


def current_name(name: str) -> str:
    """Return the name that a weight has today; a name that is not an old one is returned unchanged.

    Example:
        >>> current_name("layers.0.ahead.weight_ih_l0")
        'layers.0.forward_rnn.weight_ih_l0'
    """
    for pattern, replacement in OLD_NAMES:
        name = re.sub(pattern, replacement, name)
    return name


def rename(tensors: Mapping[str, Value], names: Collection[str]) -> dict[str, Value]:
    """Give saved tensors the names that a model uses today.

    Args:
        tensors: saved tensors by name.
        names: the names in the model, e.g. `model.state_dict()`. A tensor whose name is among them keeps it,
            and a name is only changed to one of these.

    Returns:
        The same tensors, in the same order.
    """
    renamed = {}
    for name, tensor in tensors.items():
        today = name if name in names else current_name(name)
        renamed[today if today in names else name] = tensor
    return renamed
