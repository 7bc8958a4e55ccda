"""Position embeddings: attention by itself ignores the order of tokens.

Shapes: B batch, T tokens, C embed_dim, nh heads, hd head_dim. `start` is the position of the first token;
with a cache it is the number of tokens already processed.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from pellucid.nn.names import lookup


class LearnedPositions(nn.Module):
    """Add a learned vector for each position (Devlin et al. 2019).

    Args:
        max_seq_len: number of positions.
        embed_dim: C.
    """

    def __init__(self, max_seq_len: int, embed_dim: int):
        super().__init__()
        self.weight = nn.Parameter(torch.empty(max_seq_len, embed_dim))
        nn.init.normal_(self.weight, std=0.02)

    def forward(self, x: Float[Tensor, "B T C"], start: int = 0) -> Float[Tensor, "B T C"]:
        return x + self.weight[start : start + x.shape[1]]


class SinusoidalPositions(nn.Module):
    """Add sines and cosines with wavelengths from 2 pi to 20,000 pi (Vaswani et al. 2017, section 3.5).

        p[t, 2i] = sin(t / 10000^(2i / C)),  p[t, 2i + 1] = cos(t / 10000^(2i / C))

    The embeddings are first multiplied by sqrt(C), as in section 3.4 of the paper. Without it the positions
    would be much larger than the embeddings.

    Args:
        max_seq_len: number of positions.
        embed_dim: C, even.
    """

    table: Tensor

    def __init__(self, max_seq_len: int, embed_dim: int):
        super().__init__()
        self.register_buffer("table", _waves(max_seq_len, embed_dim), False)

    def forward(self, x: Float[Tensor, "B T C"], start: int = 0) -> Float[Tensor, "B T C"]:
        return x * x.shape[2] ** 0.5 + self.table[start : start + x.shape[1]]


class PlanePositions(nn.Module):
    """Add sines and cosines of the row to the first half of the features, and of the column to the second.

    Each half is computed as in `SinusoidalPositions` (Beyer et al. 2022, "Better plain ViT baselines").
    Patches are ordered row by row.

    Args:
        height: number of rows.
        width: number of columns.
        embed_dim: C, a multiple of 4.
        before: number of tokens before the first patch, to which nothing is added.
    """

    table: Tensor

    def __init__(self, height: int, width: int, embed_dim: int, before: int = 0):
        super().__init__()
        if embed_dim % 4:
            raise ValueError(f"PlanePositions expects a multiple of 4 features, received {embed_dim}.")
        down, across = (_waves(length, embed_dim // 2) for length in (height, width))
        plane = torch.cat([down.repeat_interleave(width, dim=0), across.repeat(height, 1)], dim=1)
        self.register_buffer("table", torch.cat([plane.new_zeros(before, embed_dim), plane]), False)

    def forward(self, x: Float[Tensor, "B N C"]) -> Float[Tensor, "B N C"]:
        return x + self.table


class NoPositions(nn.Module):
    """Return the embeddings unchanged: the order is unknown, or `Rotary` encodes it."""

    def forward(self, x: Float[Tensor, "B T C"], start: int = 0) -> Float[Tensor, "B T C"]:
        return x


class Rotary(nn.Module):
    """Rotate each pair of features of queries and keys by an angle proportional to the position.

    The product of a query and a key then depends only on the distance between them (Su et al. 2021, RoFormer,
    equation 34). Feature i of the first half is paired with feature i of the second half.

    Args:
        max_seq_len: number of positions.
        head_dim: hd, even.
    """

    cos: Tensor
    sin: Tensor

    def __init__(self, max_seq_len: int, head_dim: int):
        super().__init__()
        angles = _angles(max_seq_len, head_dim)  # (max_seq_len, hd / 2)
        self.register_buffer("cos", angles.cos().repeat(1, 2), persistent=False)  # (max_seq_len, hd)
        self.register_buffer("sin", torch.cat([-angles.sin(), angles.sin()], 1), persistent=False)

    def forward(self, x: Float[Tensor, "B nh T hd"], start: int = 0) -> Float[Tensor, "B nh T hd"]:
        stop = start + x.shape[2]
        cos, sin = self.cos[start:stop], self.sin[start:stop]  # (T, hd)
        return x * cos + x.roll(x.shape[3] // 2, 3) * sin  # (a, b) -> (a cos - b sin, b cos + a sin)


def _waves(max_seq_len: int, features: int) -> Tensor:
    """Return (max_seq_len, features): the sine and cosine of each angle, interleaved."""
    angles = _angles(max_seq_len, features)
    return torch.stack([angles.sin(), angles.cos()], dim=2).flatten(1)


def _angles(max_seq_len: int, features: int) -> Tensor:
    """Return (max_seq_len, features / 2): position / 10000^(2i / features)."""
    if features % 2:
        raise ValueError(f"Sinusoidal positions expect an even number of features, received {features}.")
    frequencies = 10_000 ** -(torch.arange(0, features, 2) / features)
    return torch.outer(torch.arange(max_seq_len), frequencies)


POSITIONS = {"learned": LearnedPositions, "sinusoidal": SinusoidalPositions, "rotary": Rotary}
"""Position embeddings by name."""


def positions(
    name: str | None, max_seq_len: int, embed_dim: int, num_heads: int
) -> tuple[nn.Module, Rotary | None]:
    """Make the module that adds positions to embeddings, and the rotation of queries and keys.

    Args:
        name: one of `POSITIONS`; None for a set without order.
        max_seq_len: number of positions.
        embed_dim: C.
        num_heads: nh.

    Returns:
        The module for the embeddings, and a `Rotary` if the name is rotary, else None.

    Raises:
        ValueError: there is no such name, or the number of features is odd and sines need an even one.
    """
    if name is None:
        return NoPositions(), None
    kind = lookup("positions", name, POSITIONS)
    if kind is Rotary:
        return NoPositions(), Rotary(max_seq_len + 1, embed_dim // num_heads)  # one more for a class token
    return kind(max_seq_len, embed_dim), None
