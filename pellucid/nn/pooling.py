"""Pooling: reduce a sequence to one vector. Padding is ignored; a sequence without content becomes 0.

Shapes: B batch, T positions, C features. `content` (B, T) is True for content and False for the padding at
the end.
"""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn


def no_pool(x: Float[Tensor, "B T C"], content: Bool[Tensor, "B T"]) -> Float[Tensor, "B T C"]:
    """Return every position as it is, for models that answer at every step."""
    return x


def mean_pool(x: Float[Tensor, "B T C"], content: Bool[Tensor, "B T"]) -> Float[Tensor, "B C"]:
    """Return the mean over the content."""
    weights = content.to(x.dtype)  # (B, T)
    total = (x * weights[:, :, None]).sum(1)  # (B, C)
    return total / weights.sum(1, keepdim=True).clamp(min=1)


def max_pool(x: Float[Tensor, "B T C"], content: Bool[Tensor, "B T"]) -> Float[Tensor, "B C"]:
    """Return the largest value of each feature over the content."""
    lowest = torch.finfo(x.dtype).min
    largest = x.masked_fill(~content[:, :, None], lowest).amax(1)  # (B, C)
    return largest.masked_fill(~content.any(1, keepdim=True), 0.0)


def last_pool(
    x: Float[Tensor, "B T C"], content: Bool[Tensor, "B T"], *, bidirectional: bool = False
) -> Float[Tensor, "B C"]:
    """Return the last output of a recurrent layer: at the end of the content; backward, at position 0.

    Args:
        x: the outputs of the layer at every position.
        content: True for content, False for padding.
        bidirectional: whether the second half of the features comes from the backward direction.
    """
    end = (content.sum(1) - 1).clamp(min=0)  # (B,)
    last = x[torch.arange(len(x), device=x.device), end]  # (B, C)
    if bidirectional:
        half = x.shape[2] // 2
        last = torch.cat([last[:, :half], x[:, 0, half:]], dim=1)
    return last.masked_fill(~content.any(1, keepdim=True), 0.0)


def concat_pool(
    x: Float[Tensor, "B T C"], content: Bool[Tensor, "B T"], *, bidirectional: bool = False
) -> Float[Tensor, "B 3C"]:
    """Concatenate last, max and mean pooling (Howard and Ruder 2018, ULMFiT, section 3.2).

    The words that matter may be anywhere in a long text, and the last state may have forgotten them.
    """
    last = last_pool(x, content, bidirectional=bidirectional)  # (B, C)
    return torch.cat([last, max_pool(x, content), mean_pool(x, content)], dim=1)


class AttentionPool(nn.Module):
    """A weighted mean with learned weights: softmax(v . tanh(W x + b)) (Yang et al. 2016, equations 5 to 7).

    Args:
        features: C.

    Attributes:
        attn_weights: (B, T), from the last forward pass.
    """

    def __init__(self, features: int):
        super().__init__()
        self.hidden = nn.Linear(features, features)
        self.score = nn.Linear(features, 1, bias=False)
        self.attn_weights: Tensor | None = None

    def forward(self, x: Float[Tensor, "B T C"], content: Bool[Tensor, "B T"]) -> Float[Tensor, "B C"]:
        scores = self.score(torch.tanh(self.hidden(x))).squeeze(2)  # (B, T)
        weights = scores.masked_fill(~content, torch.finfo(scores.dtype).min).softmax(1)
        weights = weights.masked_fill(~content, 0.0)
        self.attn_weights = weights.detach()
        return (weights[:, :, None] * x).sum(1)
