"""Recurrent networks that classify texts and series.

    inputs -> vectors (B, T, C) -> layers (B, T, D H) -> pool (B, P) -> logits (B, K)

Shapes: B batch, T steps, C embed_dim, H hidden_size, D directions, P features after pooling, K classes. The
language models in `rnn_language` use the same weight names `embedding.` and `layers.`, so a classifier can
start from their weights.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

from jaxtyping import Float, Int
from torch import Tensor, nn

from pellucid.nn import (
    AttentionPool,
    LockedDropout,
    RecurrentLayer,
    concat_pool,
    embed_inputs,
    init_embedding,
    input_layer,
    last_pool,
    max_pool,
    mean_pool,
    no_pool,
)
from pellucid.nn.init import init_output
from pellucid.nn.names import lookup


@dataclass(frozen=True)
class RNNPlan:
    """The dimensions of a size.

    Attributes:
        embed_dim: C.
        hidden_size: H, the same for every layer.
        num_layers: number of stacked recurrent layers.
    """

    embed_dim: int
    hidden_size: int
    num_layers: int


SIZES = {"tiny": RNNPlan(32, 32, 1), "small": RNNPlan(128, 128, 1), "base": RNNPlan(256, 256, 2)}
"""Dimensions by size."""

POOLINGS = {
    "last": last_pool,
    "mean": mean_pool,
    "max": max_pool,
    "concat": concat_pool,
    "attention": AttentionPool,
    "none": no_pool,
}
"""Pooling functions by name."""


def rnn_plan(
    size: str | None, embed_dim: int | None, hidden_size: int | None, num_layers: int | None
) -> RNNPlan:
    """Return the plan of a size, small by default, with the given dimensions replaced."""
    given = {"embed_dim": embed_dim, "hidden_size": hidden_size, "num_layers": num_layers}
    changes = {name: value for name, value in given.items() if value is not None}
    return replace(lookup("rnn size", size or "small", SIZES), **changes)


class RNN(nn.Module):
    """A recurrent classifier of token sequences or series; returns logits and ignores padding.

    Args:
        input_shape: the shape of one example: (T,) for tokens, (T, F) for series. Other T work as well.
        num_classes: K.
        vocab_size: number of tokens; None for series.
        cell: rnn, lstm or gru; see `pellucid.nn.RecurrentLayer`.
        plan: see `RNNPlan`.
        bidirectional: whether to read in both directions.
        dropout: in training, the probability of zeroing a word everywhere in the batch (Gal and Ghahramani
            2016), an input feature of a layer at all steps of a sequence, and a feature before the logits,
            0..1.
        pooling: pooling of the last layer: last, mean, max, concat (all three) or attention; none answers at
            every step, with logits (B, T, K).

    Raises:
        ValueError: an unknown cell or pooling, or a shape that does not fit the vocab_size.

    Example:
        >>> import torch
        >>> RNN((200,), 2, vocab_size=1000)(torch.ones(8, 50, dtype=torch.long)).shape
        torch.Size([8, 2])
    """

    def __init__(
        self,
        input_shape: Sequence[int],
        num_classes: int,
        *,
        vocab_size: int | None = None,
        cell: str = "lstm",
        plan: RNNPlan = SIZES["small"],
        bidirectional: bool = True,
        dropout: float = 0.3,
        pooling: str = "max",
    ):
        super().__init__()
        pool = lookup("pooling", pooling, POOLINGS)
        features = plan.hidden_size * (2 if bidirectional else 1)
        self.embedding = input_layer(tuple(input_shape), vocab_size, plan.embed_dim)
        self.layers = recurrent_layers(cell, plan, bidirectional=bidirectional)
        if pooling in ("last", "concat"):
            pool = partial(pool, bidirectional=bidirectional)
        self.pool = pool(features) if pool is AttentionPool else pool
        self.locked_dropout = LockedDropout(dropout)
        self.dropout = nn.Dropout(dropout)
        pooled = features * (3 if pooling == "concat" else 1)
        self.output = nn.Linear(pooled, num_classes)
        init_embedding(self.embedding)
        init_output(self.output)

    def forward(self, inputs: Int[Tensor, "B T"] | Float[Tensor, "B T F"]) -> Float[Tensor, "B *T K"]:
        hidden = self.encode(inputs)  # (B, T, D H)
        pooled = self.pool(hidden, self.embedding.content(inputs))  # (B, P), or (B, T, P) without pooling
        return self.output(self.dropout(pooled))  # (B, K) or (B, T, K)

    def encode(self, inputs: Int[Tensor, "B T"] | Float[Tensor, "B T F"]) -> Float[Tensor, "B T DH"]:
        """Return the outputs of the last layer at every step."""
        x = embed_inputs(self.embedding, inputs, self.dropout)  # (B, T, C)
        lengths = self.embedding.content(inputs).sum(1)  # (B,)
        for layer in self.layers:
            x, _ = layer(self.locked_dropout(x), lengths)
        return x


def recurrent_layers(cell: str, plan: RNNPlan, *, bidirectional: bool) -> nn.ModuleList:
    """Make the stacked recurrent layers of a plan."""
    wide = plan.hidden_size * (2 if bidirectional else 1)
    widths = [plan.embed_dim] + [wide] * (plan.num_layers - 1)
    return nn.ModuleList(
        RecurrentLayer(cell, width, plan.hidden_size, bidirectional=bidirectional) for width in widths
    )


def recurrent(
    input_shape: Sequence[int],
    num_outputs: int,
    *,
    cell: str = "lstm",
    size: str | None = None,
    vocab_size: int | None = None,
    embed_dim: int | None = None,
    hidden_size: int | None = None,
    num_layers: int | None = None,
    bidirectional: bool = True,
    dropout: float = 0.3,
    pooling: str = "max",
) -> RNN:
    """Build a recurrent classifier for sequences of a shape.

    Args:
        input_shape: (T,) for tokens, (T, F) for series.
        num_outputs: K.
        cell: rnn, lstm or gru.
        size: tiny, small (the default) or base; see `SIZES`.
        vocab_size: number of tokens; None for series.
        embed_dim: C, instead of that of the size.
        hidden_size: H, instead of that of the size.
        num_layers: instead of that of the size.
        bidirectional: see `RNN`.
        dropout: see `RNN`.
        pooling: see `RNN`.

    Raises:
        ValueError: see `RNN`.
    """
    return RNN(
        input_shape,
        num_outputs,
        vocab_size=vocab_size,
        cell=cell,
        plan=rnn_plan(size, embed_dim, hidden_size, num_layers),
        bidirectional=bidirectional,
        dropout=dropout,
        pooling=pooling,
    )


rnn = partial(recurrent, cell="rnn")
"""Build an `RNN` of plain tanh cells; takes what `recurrent` takes."""
lstm = partial(recurrent, cell="lstm")
"""Build an `RNN` of LSTM cells; takes what `recurrent` takes."""
gru = partial(recurrent, cell="gru")
"""Build an `RNN` of GRU cells; takes what `recurrent` takes."""

BUILDERS = {"rnn": rnn, "lstm": lstm, "gru": gru}
"""Builders of this file by the name that configs use."""
