"""Check the shape of a model's inputs."""

from __future__ import annotations

from torch import Tensor


def check_shape(model: str, kind: str, expected: tuple[int, ...], x: Tensor) -> None:
    """Refuse a batch whose examples do not have the expected shape.

    Args:
        model: name of the model, for the message.
        kind: kind of input, e.g. "images".
        expected: shape of one example.
        x: the batch (B, *expected).

    Raises:
        ValueError: the shapes differ; the message states both.
    """
    if tuple(x.shape[1:]) != expected:
        sides = ", ".join(map(str, expected))
        raise ValueError(f"{model} expects {kind} (B, {sides}), received {tuple(x.shape)}.")
