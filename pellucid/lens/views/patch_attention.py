"""Attention of a Vision Transformer to the patches of an image, as a grid."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from torch import Tensor

from pellucid.errors import UsageError
from pellucid.lens.capture import capture
from pellucid.lens.views.attention_ops import attended
from pellucid.lens.views.catalogue import View
from pellucid.lens.views.rollout import own_attention, rolled
from pellucid.lens.views.seen import Panel, Rows, Seen, flat_picture, mosaic
from pellucid.lens.views.subject import Subject, array, choose_layer

MOST_BEFORE = 8
"""Most tokens that stand before the patches: a class token, registers."""
SHOWN = 4


@dataclass(frozen=True)
class PatchAttention(Seen):
    """Attention to the patches of one image.

    Attributes:
        row: of the batch.
        image: (C, H, W), as the model receives it.
        layers: names of the layers.
        query: the token that attends; None: the mean of all.
        before: tokens before the patches, such as a class token.
        grids: (layers, nh, h, w): the weights of the patches; with those of `before` they add up to 1.
        rollout: (h, w): attention through all layers (Abnar and Zuidema 2020).
    """

    view = "patch-attention"
    row: int
    image: np.ndarray
    layers: list[str]
    query: int | None
    before: int
    grids: np.ndarray
    rollout: np.ndarray

    @property
    def headline(self) -> str:
        _, heads, height, width = self.grids.shape
        of = "all tokens, on average" if self.query is None else f"token {self.query}"
        return (
            f"Row {self.row}: {height} x {width} patches after {self.before} other tokens, "
            f"{len(self.layers)} layers of {heads} heads. Attention of {of}"
        )

    def panels(self) -> list[Panel | Rows]:
        """Return the image, rollout, and the heads of the last layer."""
        return [
            Panel("image", flat_picture(self.image), "picture"),
            Panel("rollout", self.rollout, "magnitude"),
            Panel(
                f"{self.layers[-1]}, heads 0 to {min(SHOWN, self.grids.shape[1]) - 1}",
                mosaic(self.grids[-1:, :SHOWN]),
                "magnitude",
            ),
        ]


def patch_attention(
    subject: Subject, layer: str | None = None, query: int | None = None, row: int = 0
) -> PatchAttention:
    """Return the attention to the patches of an image, in all layers or one.

    Args:
        subject: a Vision Transformer and its batch.
        layer: the name of an attention layer; None: all.
        query: the token that attends; None: the class token where there is one, else the mean of all.
        row: of the batch.

    Raises:
        UsageError: there is no such token.
    """
    row = subject.check_row(row)
    found = own_attention(attended(subject))
    tokens = found[0].weights.shape[-1]
    grid = _grid(subject, tokens)
    assert grid is not None
    height, width = grid
    before = tokens - height * width
    if query is not None and not 0 <= query < tokens:
        raise UsageError(f"query={query} expects a token, 0 to {tokens - 1}.")
    query = 0 if query is None and before else query
    chosen = (
        found
        if layer is None
        else [one for one in found if one.name == choose_layer(layer, [f.name for f in found])]
    )
    weights = [array(one.weights[row]) for one in found]

    def as_grid(values: np.ndarray) -> np.ndarray:
        """(..., T, T) -> (..., h, w)."""
        seen = values.mean(-2) if query is None else values[..., query, :]
        return seen[..., before:].reshape(*seen.shape[:-1], height, width)

    names = [one.name for one in chosen]
    return PatchAttention(
        row,
        array(_image(subject)[row]),
        names,
        query,
        before,
        np.stack([as_grid(array(one.weights[row])) for one in chosen]),
        as_grid(rolled(weights)),
    )


def _image(subject: Subject) -> Tensor:
    return next(leaf for leaf in subject.floats if leaf.ndim == 4)


def _grid(subject: Subject, tokens: int) -> tuple[int, int] | None:
    """Return the patches (down, across): the size of a map that has as many places as there are patches."""
    shape = lambda tensor: tuple(tensor.shape)  # noqa: E731
    with subject.computing(), capture(subject.model, values=shape) as taken:
        subject.forward()
    sizes = [call.output[2:] for call in taken.calls if _is_shape(call.output) and len(call.output) == 4]
    fitting = [(h, w) for h, w in sizes if 0 <= tokens - h * w <= MOST_BEFORE and h * w > MOST_BEFORE // 4]
    return max(fitting, key=lambda size: size[0] * size[1], default=None)


def _is_shape(output: object) -> bool:
    return isinstance(output, tuple) and all(isinstance(size, int) for size in output)


def _unfit(subject: Subject) -> str:
    if not any(leaf.ndim == 4 for leaf in subject.floats):
        return "does not take images (B, C, H, W)"
    found = own_attention(attended(subject))
    if not found:
        return "computes no attention, softmax(q k) v"
    queries, keys = found[0].weights.shape[-2:]
    if queries != keys or _grid(subject, keys) is None:
        return "does not attend to a grid of patches"
    return ""


VIEW = View("patch-attention", "attention to the patches of an image, as a grid", _unfit, patch_attention)
