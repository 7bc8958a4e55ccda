"""Recurrent networks that predict tokens: the next one, or the masked ones.

    RNNLanguageModel: tokens -> vectors (B, T, C) -> layers (B, T, H) -> logits (B, T, V)
    RNNMaskedModel:   tokens -> vectors (B, T, C) -> layers (B, T, 2 H) -> head (B, T, C) -> logits (B, T, V)

Shapes: B batch, T tokens, C embed_dim, H hidden_size, V vocab_size.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from pellucid.models.rnn import SIZES, RNNPlan, recurrent_layers, rnn_plan
from pellucid.nn import LockedDropout, TokenEmbedding, embed_inputs, init_embedding
from pellucid.nn.recurrent import State


class StateCache:
    """The state of a recurrent language model after the tokens it has processed.

    Attributes:
        length: number of tokens processed.
        states: the state of each layer; empty before the first token.
    """

    def __init__(self) -> None:
        self.length = 0
        self.states: list[State] = []

    def reorder(self, rows: Int[Tensor, "N"]) -> None:
        """Replace row n with row rows[n]."""
        self.states = [
            s[:, rows] if isinstance(s, Tensor) else (s[0][:, rows], s[1][:, rows]) for s in self.states
        ]


class RNNLanguageModel(nn.Module):
    """A recurrent language model; returns the logits of the next token at every step.

    Args:
        vocab_size: V.
        cell: see `pellucid.models.rnn.RNN`.
        plan: see `pellucid.models.rnn.RNNPlan`; tied weights require embed_dim and hidden_size to be equal.
        dropout: see `pellucid.models.rnn.RNN`.
        tied: whether the output layer shares the weights of the embedding (Press and Wolf 2017).

    Attributes:
        max_seq_len: None, because sequences may have any length.

    Raises:
        ValueError: tied weights with different widths, or an unknown cell.
    """

    max_seq_len: int | None = None

    def __init__(
        self,
        vocab_size: int,
        *,
        cell: str = "lstm",
        plan: RNNPlan = SIZES["small"],
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
        self.layers = recurrent_layers(cell, plan, bidirectional=False)
        self.locked_dropout = LockedDropout(dropout)
        self.dropout = nn.Dropout(dropout)
        self.output = None if tied else nn.Linear(plan.hidden_size, vocab_size)
        init_embedding(self.embedding)

    def forward(self, tokens: Int[Tensor, "B T"], cache: StateCache | None = None) -> Float[Tensor, "B T V"]:
        """Return the logits of the next token at every step.

        Args:
            tokens: the tokens; with a cache, only the new ones.
            cache: made by `new_cache`; holds the previous tokens, and is extended by these.
        """
        hidden = self.hidden(tokens, cache)  # (B, T, H)
        return self.embedding.logits(hidden) if self.output is None else self.output(hidden)  # (B, T, V)

    def hidden(self, tokens: Int[Tensor, "B T"], cache: StateCache | None = None) -> Float[Tensor, "B T H"]:
        """Return the inputs of the output layer; see `forward`."""
        x = embed_inputs(self.embedding, tokens, self.dropout)  # (B, T, C)
        before = cache.states if cache is not None else []
        after = []
        for number, layer in enumerate(self.layers):
            x, state = layer(self.locked_dropout(x), state=before[number] if before else None)
            after.append(state)
        if cache is not None:
            cache.states, cache.length = after, cache.length + tokens.shape[1]
        return self.locked_dropout(x)

    def output_weights(self) -> tuple[Float[Tensor, "V H"], Float[Tensor, "V"] | None]:
        """Return the weights and biases of the output layer; the biases are None if the weights are tied."""
        if self.output is None:
            return self.embedding.weight, None
        return self.output.weight, self.output.bias

    def new_cache(self) -> StateCache:
        """Make an empty cache."""
        return StateCache()


class RNNMaskedModel(nn.Module):
    """A bidirectional recurrent network that predicts masked tokens, as BERT does; returns logits.

    Args:
        vocab_size: V; the embedding is tied to the output.
        cell: see `pellucid.models.rnn.RNN`.
        plan: see `RNNPlan`.
        dropout: see `pellucid.models.rnn.RNN`.
    """

    def __init__(
        self, vocab_size: int, *, cell: str = "lstm", plan: RNNPlan = SIZES["small"], dropout: float = 0.1
    ):
        super().__init__()
        self.embedding = TokenEmbedding(vocab_size, plan.embed_dim)
        self.layers = recurrent_layers(cell, plan, bidirectional=True)
        self.locked_dropout = LockedDropout(dropout)
        self.dropout = nn.Dropout(dropout)
        wide = nn.Linear(2 * plan.hidden_size, plan.embed_dim)
        self.head = nn.Sequential(wide, nn.GELU(), nn.LayerNorm(plan.embed_dim))
        self.output_bias = nn.Parameter(torch.zeros(vocab_size))
        init_embedding(self.embedding, plan.embed_dim**-0.5)  # logits start with variance 1

    def forward(self, tokens: Int[Tensor, "B T"]) -> Float[Tensor, "B T V"]:
        return F.linear(self.hidden(tokens), *self.output_weights())  # (B, T, V)

    def hidden(self, tokens: Int[Tensor, "B T"]) -> Float[Tensor, "B T C"]:
        """Return the inputs of the output layer."""
        x = embed_inputs(self.embedding, tokens, self.dropout)  # (B, T, C)
        lengths = self.embedding.content(tokens).sum(1)  # (B,)
        for layer in self.layers:
            x, _ = layer(self.locked_dropout(x), lengths)
        return self.head(x)

    def output_weights(self) -> tuple[Float[Tensor, "V C"], Float[Tensor, "V"]]:
        """Return the weights and biases of the output layer."""
        return self.embedding.weight, self.output_bias


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
        input_shape: (T,); texts of other lengths work as well.
        num_outputs: V.
        cell: rnn, lstm or gru.
        size: tiny, small (the default) or base; see `pellucid.models.rnn.SIZES`.
        embed_dim: C, instead of that of the size.
        hidden_size: H, instead of that of the size.
        num_layers: instead of that of the size.
        dropout: see `pellucid.models.rnn.RNN`.
        tied: see `RNNLanguageModel`.

    Raises:
        ValueError: see `RNNLanguageModel`; or the inputs are not tokens.
    """
    _check_tokens("lstm_lm", input_shape)
    plan = rnn_plan(size, embed_dim, hidden_size, num_layers)
    return RNNLanguageModel(num_outputs, cell=cell, plan=plan, dropout=dropout, tied=tied)


def lstm_mlm(
    input_shape: Sequence[int],
    num_outputs: int,
    *,
    cell: str = "lstm",
    size: str | None = None,
    embed_dim: int | None = None,
    hidden_size: int | None = None,
    num_layers: int | None = None,
    dropout: float = 0.1,
) -> RNNMaskedModel:
    """Build a recurrent network that predicts masked tokens; for the other options see `lstm_lm`.

    Args:
        hidden_size: H of each direction.

    Raises:
        ValueError: the inputs are not tokens, or an unknown size or cell.
    """
    _check_tokens("lstm_mlm", input_shape)
    plan = rnn_plan(size, embed_dim, hidden_size, num_layers)
    return RNNMaskedModel(num_outputs, cell=cell, plan=plan, dropout=dropout)


def _check_tokens(name: str, input_shape: Sequence[int]) -> None:
    if len(input_shape) != 1:
        raise ValueError(
            f"{name} expects tokens of shape (T,), received inputs of shape {tuple(input_shape)}."
        )


BUILDERS = {"lstm_lm": lstm_lm, "lstm_mlm": lstm_mlm}
"""Builders of this file by the name that configs use."""
