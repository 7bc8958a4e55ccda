"""Normalization layers by name, for vectors and for feature maps."""

from __future__ import annotations

from collections.abc import Callable

from torch import nn

from pellucid.nn.names import lookup

NORMS: dict[str, tuple[Callable[[int], nn.Module], Callable[[int], nn.Module]]] = {
    "batch": (nn.BatchNorm1d, nn.BatchNorm2d),
    "layer": (nn.LayerNorm, lambda channels: nn.GroupNorm(1, channels)),
}
"""Constructors by name: one for vectors (B, F), one for feature maps (B, C, H, W).

`batch` (Ioffe and Szegedy 2015) normalizes each feature over the batch and behaves differently in
evaluation mode; `layer` (Ba, Kiros and Hinton 2016) normalizes each example over its features.
"""


def norm(name: str | None, features: int, *, maps: bool = False) -> nn.Module:
    """Make a normalization layer.

    Args:
        name: one of `NORMS`; None makes the identity.
        features: number of features or channels.
        maps: whether inputs are feature maps (B, C, H, W) instead of vectors (B, F).

    Raises:
        ValueError: there is no norm of that name.
    """
    if name is None:
        return nn.Identity()
    for_vectors, for_maps = lookup("norm", name, NORMS)
    return (for_maps if maps else for_vectors)(features)
