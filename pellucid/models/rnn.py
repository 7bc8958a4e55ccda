"""Recurrent networks: a classifier of texts and series, and a language model.

    RNN:              inputs -> vectors (B, T, C) -> layers (B, T, D H) -> pool (B, P) -> logits (B, K)
    RNNLanguageModel: tokens -> vectors (B, T, C) -> layers (B, T, H) -> logits (B, T, V)

Shapes: B batch, T steps, C embed_dim, H hidden_size, D directions, P features after pooling, K classes,
V vocab_size. The two share the names `embedding.` and `layers.`, so that what a language model has learned
can begin a classifier.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

from jaxtyping import Float, Int
from torch import Tensor, nn

from pellucid.nn import (
    PAD,
    AttentionPool,
    LockedDropout,
    RecurrentLayer,
    TokenEmbedding,
    concat_pool,
    input_layer,
    last_pool,
    max_pool,
    mean_pool,
)
from pellucid.nn.init import init_output
from pellucid.nn.names import lookup
from pellucid.nn.recurrent import State

EMBEDDING_STD = 0.1


@dataclass(frozen=True)
class Plan:
    """What a size is made of.

    Attributes:
        embed_dim: C.
        hidden_size: H, of every layer.
        num_layers: recurrent layers, one on top of the other.
    """

    embed_dim: int
    hidden_size: int
    num_layers: int


SIZES = {"tiny": Plan(32, 32, 1), "small": Plan(128, 128, 1), "base": Plan(256, 256, 2)}
"""Plans by size."""

POOLINGS = {
    "last": last_pool,
    "mean": mean_pool,
    "max": max_pool,
    "concat": concat_pool,
    "attention": AttentionPool,
}
"""What makes one vector of a sequence, by name."""


def plan_of(size: str | None, embed_dim: int | None, hidden_size: int | None, num_layers: int | None) -> Plan:
    """Return the plan of a size, small by default, with what is given put in its place."""
    given = {"embed_dim": embed_dim, "hidden_size": hidden_size, "num_layers": num_layers}
    changes = {name: value for name, value in given.items() if value is not None}
    return replace(lookup("rnn size", size or "small", SIZES), **changes)


class RNN(nn.Module):
    """A recurrent classifier of token sequences or series; returns logits. Padding changes nothing.

    Args:
        input_shape: of one example: (T,) for tokens, (T, F) for series. Other T are taken as well.
        num_classes: K.
        vocab_size: the number of tokens; None for series.
        cell: rnn, lstm or gru; see `pellucid.nn.RecurrentLayer`.
        plan: see `Plan`.
        bidirectional: whether to read from both ends.
        dropout: in training, the probability of zeroing a word wherever it stands in the batch (Gal and
            Ghahramani 2016), a feature of what a layer reads, for all steps of a sequence, and a feature
            before the logits.
        pooling: of the last layer: last, mean, max, concat (the three of them) or attention.

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
        plan: Plan = SIZES["small"],
        bidirectional: bool = True,
        dropout: float = 0.3,
        pooling: str = "max",
    ):
        super().__init__()
        pool = lookup("pooling", pooling, POOLINGS)
        features = plan.hidden_size * (2 if bidirectional else 1)
        self.embedding = input_layer(tuple(input_shape), vocab_size, plan.embed_dim)
        self.layers = _layers(cell, plan, bidirectional=bidirectional)
        if pooling in ("last", "concat"):
            pool = partial(pool, bidirectional=bidirectional)
        self.pool = pool(features) if pool is AttentionPool else pool
        self.locked_dropout = LockedDropout(dropout)
        self.dropout = nn.Dropout(dropout)
        pooled = features * (3 if pooling == "concat" else 1)
        self.output = nn.Linear(pooled, num_classes)
        _init_embedding(self.embedding)
        init_output(self.output)

    def forward(self, inputs: Int[Tensor, "B T"] | Float[Tensor, "B T F"]) -> Float[Tensor, "B K"]:
        hidden = self.encode(inputs)  # (B, T, D H)
        pooled = self.pool(hidden, self.embedding.content(inputs))  # (B, P)
        return self.output(self.dropout(pooled))  # (B, K)

    def encode(self, inputs: Int[Tensor, "B T"] | Float[Tensor, "B T F"]) -> Float[Tensor, "B T DH"]:
        """Return what the last layer says at every step."""
        x = _embed(self.embedding, inputs, self.dropout)  # (B, T, C)
        lengths = self.embedding.content(inputs).sum(1)  # (B,)
        for layer in self.layers:
            x, _ = layer(self.locked_dropout(x), lengths)
        return x


class StateCache:
    """What a recurrent language model remembers of the tokens it has seen.

    Attributes:
        length: the number of tokens seen.
        states: of each layer; empty before the first token.
    """

    def __init__(self) -> None:
        self.length = 0
        self.states: list[State] = []

    def reorder(self, rows: Int[Tensor, "N"]) -> None:
        """Let row n be what row rows[n] was."""
        self.states = [
            s[:, rows] if isinstance(s, Tensor) else (s[0][:, rows], s[1][:, rows]) for s in self.states
        ]


class RNNLanguageModel(nn.Module):
    """A recurrent language model; the logits at a step are those of the next token.

    Args:
        vocab_size: V.
        cell: see `RNN`.
        plan: see `Plan`; tied weights want embed_dim and hidden_size to be the same.
        dropout: see `RNN`.
        tied: whether the output layer has the weights of the embedding (Press and Wolf 2017).

    Attributes:
        max_seq_len: None: sequences may be of any length.

    Raises:
        ValueError: tied weights of different widths, or an unknown cell.
    """

    max_seq_len: int | None = None

    def __init__(
        self,
        vocab_size: int,
        *,
        cell: str = "lstm",
        plan: Plan = SIZES["small"],
        dropout: float = 0.2,
        tied: bool = True,
    ):
        super().__init__()
        if tied and plan.embed_dim != plan.hidden_size:
            raise ValueError(
                f"Tied weights expect embed_dim and hidden_size to be the same, received "
                f"{plan.embed_dim} and {plan.hidden_size}. Try tied=False."
            )
        self.embedding = TokenEmbedding(vocab_size, plan.embed_dim)
        self.layers = _layers(cell, plan, bidirectional=False)
        self.locked_dropout = LockedDropout(dropout)
        self.dropout = nn.Dropout(dropout)
        self.output = None if tied else nn.Linear(plan.hidden_size, vocab_size)
        _init_embedding(self.embedding)

    def forward(self, tokens: Int[Tensor, "B T"], cache: StateCache | None = None) -> Float[Tensor, "B T V"]:
        """Score every token as the next.

        Args:
            tokens: the tokens; with a cache, only those it has not seen.
            cache: made by `new_cache`; goes on from what it remembers, and remembers these tokens.
        """
        hidden = self.hidden(tokens, cache)  # (B, T, H)
        return self.embedding.logits(hidden) if self.output is None else self.output(hidden)  # (B, T, V)

    def hidden(self, tokens: Int[Tensor, "B T"], cache: StateCache | None = None) -> Float[Tensor, "B T H"]:
        """Return what the logits are made of; see `forward`."""
        x = _embed(self.embedding, tokens, self.dropout)  # (B, T, C)
        before = cache.states if cache is not None else []
        after = []
        for number, layer in enumerate(self.layers):
            x, state = layer(self.locked_dropout(x), state=before[number] if before else None)
            after.append(state)
        if cache is not None:
            cache.states, cache.length = after, cache.length + tokens.shape[1]
        return self.locked_dropout(x)

    def scorer(self) -> tuple[Float[Tensor, "V H"], Float[Tensor, "V"] | None]:
        """Return the weights and biases that make logits of `hidden`; None: no biases."""
        if self.output is None:
            return self.embedding.weight, None
        return self.output.weight, self.output.bias

    def new_cache(self) -> StateCache:
        """An empty memory."""
        return StateCache()


def _layers(cell: str, plan: Plan, *, bidirectional: bool) -> nn.ModuleList:
    wide = plan.hidden_size * (2 if bidirectional else 1)
    widths = [plan.embed_dim] + [wide] * (plan.num_layers - 1)
    return nn.ModuleList(
        RecurrentLayer(cell, width, plan.hidden_size, bidirectional=bidirectional) for width in widths
    )


def _init_embedding(embedding: nn.Module) -> None:
    if isinstance(embedding, TokenEmbedding):
        nn.init.normal_(embedding.weight, std=EMBEDDING_STD)
        nn.init.zeros_(embedding.weight[PAD].detach())


def _embed(embedding: nn.Module, inputs: Tensor, dropout: nn.Dropout) -> Tensor:
    """Embed; in training, drop words, each everywhere in the batch."""
    x = embedding(inputs)  # (B, T, C)
    if not dropout.training or not dropout.p or not isinstance(embedding, TokenEmbedding):
        return x
    kept = dropout(x.new_ones(embedding.num_embeddings))  # (V,)
    return x * kept[inputs][:, :, None]


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
        vocab_size: the number of tokens; None for series.
        embed_dim: in place of that of the size.
        hidden_size: in place of that of the size.
        num_layers: in place of that of the size.
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
        plan=plan_of(size, embed_dim, hidden_size, num_layers),
        bidirectional=bidirectional,
        dropout=dropout,
        pooling=pooling,
    )


rnn = partial(recurrent, cell="rnn")
lstm = partial(recurrent, cell="lstm")
gru = partial(recurrent, cell="gru")


def lstm_lm(
    input_shape: Sequence[int],
    num_outputs: int,
    *,
    cell: str = "lstm",
    size: str | None = None,
    embed_dim: int | None = None,
    hidden_size: int | None = None,
    num_layers: int | None = None,
    dropout: float = 0.2,
    tied: bool = True,
) -> RNNLanguageModel:
    """Build a recurrent language model.

    Args:
        input_shape: (T,); texts of other lengths are taken as well.
        num_outputs: V.
        cell: rnn, lstm or gru.
        size: tiny, small (the default) or base; see `SIZES`.
        embed_dim: in place of that of the size.
        hidden_size: in place of that of the size.
        num_layers: in place of that of the size.
        dropout: see `RNN`.
        tied: see `RNNLanguageModel`.

    Raises:
        ValueError: see `RNNLanguageModel`; or the inputs are not tokens.
    """
    if len(input_shape) != 1:
        raise ValueError(
            f"lstm_lm expects tokens of shape (T,), received inputs of shape {tuple(input_shape)}."
        )
    plan = plan_of(size, embed_dim, hidden_size, num_layers)
    return RNNLanguageModel(num_outputs, cell=cell, plan=plan, dropout=dropout, tied=tied)
