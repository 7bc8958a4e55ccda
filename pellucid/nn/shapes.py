"""The shape of what a model is given, held to the one it was made for."""

from __future__ import annotations

from torch import Tensor


def check_shape(model: str, kind: str, expected: tuple[int, ...], x: Tensor) -> None:
    """Refuse a batch of anything but examples of the expected shape.

    Args:
        model: its name, for the message.
        kind: what it is given, e.g. "images".
        expected: the shape of one example.
        x: the batch.

    Raises:
        ValueError: says both shapes.
    """
    if tuple(x.shape[1:]) != expected:
        sides = ", ".join(map(str, expected))
        raise ValueError(f"{model} expects {kind} (B, {sides}), received {tuple(x.shape)}.")
