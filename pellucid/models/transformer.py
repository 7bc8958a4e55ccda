"""Transformers: an encoder with two heads, and a decoder.

    TransformerEncoder (classifier): inputs -> encoder (B, T, C) -> pool (B, C) -> logits (B, K)
    BERT (fills in hidden tokens):   tokens -> encoder (B, T, C) -> head -> logits (B, T, V)
    GPT (tells the next token):      tokens -> causal blocks (B, T, C) -> logits (B, T, V)

Shapes: B batch, T tokens, C embed_dim, K classes, V vocab_size. The first two share the names `encoder.`,
so that what BERT has learned can begin a classifier.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from pellucid.nn import (
    KVCache,
    TokenEmbedding,
    TransformerBlock,
    init_transformer,
    input_layer,
    max_pool,
    mean_pool,
    positions,
)
from pellucid.nn.init import init_output
from pellucid.nn.names import lookup


@dataclass(frozen=True)
class Plan:
    """What a size is made of.

    Attributes:
        embed_dim: C.
        num_layers: blocks, one on top of the other.
        num_heads: attention heads of each.
    """

    embed_dim: int
    num_layers: int
    num_heads: int


ENCODER_SIZES = {"tiny": Plan(64, 2, 4), "small": Plan(128, 4, 4), "base": Plan(256, 6, 8)}
DECODER_SIZES = {"tiny": Plan(64, 2, 4), "small": Plan(128, 4, 4), "base": Plan(384, 6, 6)}
"""Plans by size; the base of decoders is that of nanoGPT's model of Shakespeare's characters."""


def class_token_pool(x: Float[Tensor, "B S C"], content: Bool[Tensor, "B S"]) -> Float[Tensor, "B C"]:
    """The vector of the class token."""
    return x[:, 0]


POOLINGS = {"mean": mean_pool, "max": max_pool, "cls": class_token_pool}
"""What makes one vector of a sequence, by name; cls reads a token of its own, put before the others."""


def plan_of(
    sizes: dict[str, Plan],
    size: str | None,
    embed_dim: int | None,
    num_layers: int | None,
    num_heads: int | None,
) -> Plan:
    """Return the plan of a size, small by default, with what is given put in its place."""
    given = {"embed_dim": embed_dim, "num_layers": num_layers, "num_heads": num_heads}
    changes = {name: value for name, value in given.items() if value is not None}
    return replace(lookup("transformer size", size or "small", sizes), **changes)


def check_length(kind: str, length: int, max_seq_len: int) -> None:
    """Refuse what is longer than a model has positions for."""
    if length > max_seq_len:
        raise ValueError(
            f"{kind} expects sequences of at most {max_seq_len} tokens (max_seq_len), received {length}. "
            "Cut them, or build the model with a larger max_seq_len."
        )


class Encoder(nn.Module):
    """Vectors for tokens or measurements in which each has seen all others.

    Args:
        input_shape: of one example: (T,) for tokens, (T, F) for series; T is the greatest length.
        vocab_size: the number of tokens; None for series.
        plan: see `Plan`.
        dropout: probability of zeroing a feature in training, 0..1.
        norm_first: see `pellucid.nn.TransformerBlock`.
        position: rotary, learned, sinusoidal, or None for sets; see `pellucid.nn.POSITIONS`.
    """

    def __init__(
        self,
        input_shape: Sequence[int],
        *,
        vocab_size: int | None = None,
        plan: Plan = ENCODER_SIZES["small"],
        dropout: float = 0.1,
        norm_first: bool = True,
        position: str | None = "rotary",
    ):
        super().__init__()
        self.max_seq_len, self.embed_dim = input_shape[0], plan.embed_dim
        self.embedding = input_layer(tuple(input_shape), vocab_size, plan.embed_dim)
        self.positions, rotary = positions(position, self.max_seq_len, plan.embed_dim, plan.num_heads)
        self.dropout = nn.Dropout(dropout)
        self.blocks = nn.ModuleList(
            TransformerBlock(
                plan.embed_dim, plan.num_heads, dropout=dropout, norm_first=norm_first, rotary=rotary
            )
            for _ in range(plan.num_layers)
        )
        self.norm = nn.LayerNorm(plan.embed_dim) if norm_first else nn.Identity()

    def forward(
        self,
        inputs: Int[Tensor, "B T"] | Float[Tensor, "B T F"],
        class_token: Float[Tensor, "C"] | None = None,
    ) -> tuple[Float[Tensor, "B S C"], Bool[Tensor, "B S"]]:
        """Encode.

        Args:
            inputs: tokens or series.
            class_token: put before them, without a position.

        Returns:
            the vectors, and where they are content; S is T, or T + 1 with a class token.
        """
        x = self.embedding(inputs)  # (B, T, C)
        check_length("A transformer encoder", x.shape[1], self.max_seq_len)
        x, content = self.positions(x), self.embedding.content(inputs)
        if class_token is not None:
            x = torch.cat([class_token.expand(len(x), 1, -1), x], dim=1)  # (B, 1 + T, C)
            content = torch.cat([content.new_ones(len(x), 1), content], dim=1)
        x = self.dropout(x)
        for block in self.blocks:
            x = block(x, mask=content)
        return self.norm(x), content


class TransformerEncoder(nn.Module):
    """A classifier of token sequences or series; returns logits. Padding changes nothing.

    Args:
        encoder: see `Encoder`.
        num_classes: K.
        dropout: probability of zeroing a feature before the logits in training, 0..1.
        pooling: mean or max over content, or cls: a class token of its own (Devlin et al. 2019).

    Raises:
        ValueError: an unknown pooling.
    """

    def __init__(self, encoder: Encoder, num_classes: int, *, dropout: float = 0.1, pooling: str = "mean"):
        super().__init__()
        self.encoder = encoder
        self.pool = lookup("pooling", pooling, POOLINGS)
        self.class_token = nn.Parameter(torch.empty(encoder.embed_dim)) if pooling == "cls" else None
        self.dropout = nn.Dropout(dropout)
        self.output = nn.Linear(encoder.embed_dim, num_classes)
        init_transformer(self)
        init_output(self.output)
        if self.class_token is not None:
            nn.init.normal_(self.class_token, std=encoder.embed_dim**-0.5)

    def forward(self, inputs: Int[Tensor, "B T"] | Float[Tensor, "B T F"]) -> Float[Tensor, "B K"]:
        hidden, content = self.encoder(inputs, self.class_token)  # (B, S, C), (B, S)
        return self.output(self.dropout(self.pool(hidden, content)))  # (B, K)

    def encode(self, inputs: Int[Tensor, "B T"] | Float[Tensor, "B T F"]) -> Float[Tensor, "B T C"]:
        """Return the vector of every position, without that of a class token.

        For the attention weights behind them see `pellucid.nn.explicit_attention`.
        """
        hidden, _ = self.encoder(inputs, self.class_token)
        return hidden if self.class_token is None else hidden[:, 1:]


class BERT(nn.Module):
    """An encoder that learns by filling in hidden tokens (Devlin et al. 2019); returns logits.

    Args:
        encoder: an `Encoder` of tokens; its embedding is tied to the output.
    """

    def __init__(self, encoder: Encoder):
        super().__init__()
        if not isinstance(encoder.embedding, TokenEmbedding):
            raise ValueError("BERT expects an encoder of tokens, received one of series.")
        self.encoder = encoder
        self.max_seq_len = encoder.max_seq_len
        width = encoder.embed_dim
        self.head = nn.Sequential(nn.Linear(width, width), nn.GELU(), nn.LayerNorm(width))
        self.output_bias = nn.Parameter(torch.zeros(encoder.embedding.num_embeddings))
        init_transformer(self)

    def forward(self, tokens: Int[Tensor, "B T"]) -> Float[Tensor, "B T V"]:
        return F.linear(self.hidden(tokens), *self.output_weights())  # (B, T, V)

    def hidden(self, tokens: Int[Tensor, "B T"]) -> Float[Tensor, "B T C"]:
        """Return what the logits are made of."""
        return self.head(self.encoder(tokens)[0])

    def output_weights(self) -> tuple[Float[Tensor, "V C"], Float[Tensor, "V"]]:
        """Return the weights and biases that make logits of `hidden`."""
        return self.encoder.embedding.weight, self.output_bias


class GPT(nn.Module):
    """A causal language model (Radford et al. 2019); the logits at a token are those of the next.

    Args:
        vocab_size: V; the embedding is tied to the output.
        max_seq_len: the greatest number of tokens.
        plan: see `Plan`.
        dropout: probability of zeroing a feature in training, 0..1.
        position: rotary, learned, sinusoidal or None.
    """

    def __init__(
        self,
        vocab_size: int,
        max_seq_len: int,
        *,
        plan: Plan = DECODER_SIZES["small"],
        dropout: float = 0.1,
        position: str | None = "rotary",
    ):
        super().__init__()
        self.max_seq_len = max_seq_len
        self.embedding = TokenEmbedding(vocab_size, plan.embed_dim)
        self.positions, rotary = positions(position, max_seq_len, plan.embed_dim, plan.num_heads)
        self.dropout = nn.Dropout(dropout)
        self.blocks = nn.ModuleList(
            TransformerBlock(plan.embed_dim, plan.num_heads, dropout=dropout, causal=True, rotary=rotary)
            for _ in range(plan.num_layers)
        )
        self.norm = nn.LayerNorm(plan.embed_dim)
        init_transformer(self)

    def forward(self, tokens: Int[Tensor, "B T"], cache: KVCache | None = None) -> Float[Tensor, "B T V"]:
        """Score every token as the next.

        Args:
            tokens: the tokens; with a cache, only those it has not seen.
            cache: made by `new_cache`; goes on from what it remembers, and remembers these tokens.
        """
        x = self.embedding(tokens)  # (B, T, C)
        start = cache.length if cache is not None else 0
        check_length("A GPT", start + x.shape[1], self.max_seq_len)
        x = self.dropout(self.positions(x, start))
        for block in self.blocks:
            x = block(x, cache=cache)
        if cache is not None:
            cache.length += tokens.shape[1]
        return self.embedding.logits(self.norm(x))  # (B, T, V)

    def new_cache(self) -> KVCache:
        """An empty memory."""
        return KVCache()


def transformer(
    input_shape: Sequence[int],
    num_outputs: int,
    *,
    size: str | None = None,
    vocab_size: int | None = None,
    embed_dim: int | None = None,
    num_layers: int | None = None,
    num_heads: int | None = None,
    dropout: float = 0.1,
    norm_first: bool = True,
    position: str | None = "rotary",
    pooling: str = "mean",
) -> TransformerEncoder:
    """Build a transformer classifier for sequences of a shape.

    Args:
        input_shape: (T,) for tokens, (T, F) for series; T is the greatest length.
        num_outputs: K.
        size: tiny, small (the default) or base; see `ENCODER_SIZES`.
        vocab_size: the number of tokens; None for series.
        embed_dim: in place of that of the size.
        num_layers: in place of that of the size.
        num_heads: in place of that of the size.
        dropout: see `Encoder`.
        norm_first: see `Encoder`.
        position: see `Encoder`.
        pooling: see `TransformerEncoder`.

    Raises:
        ValueError: a name that is not known, or a shape that does not fit the vocab_size.
    """
    plan = plan_of(ENCODER_SIZES, size, embed_dim, num_layers, num_heads)
    encoder = Encoder(
        input_shape,
        vocab_size=vocab_size,
        plan=plan,
        dropout=dropout,
        norm_first=norm_first,
        position=position,
    )
    return TransformerEncoder(encoder, num_outputs, dropout=dropout, pooling=pooling)


def bert(
    input_shape: Sequence[int],
    num_outputs: int,
    *,
    size: str | None = None,
    embed_dim: int | None = None,
    num_layers: int | None = None,
    num_heads: int | None = None,
    dropout: float = 0.1,
    norm_first: bool = True,
    position: str | None = "rotary",
) -> BERT:
    """Build an encoder that learns by filling in hidden tokens; options as those of `transformer`.

    Args:
        input_shape: (T,), the greatest length.
        num_outputs: V.
    """
    plan = plan_of(ENCODER_SIZES, size, embed_dim, num_layers, num_heads)
    encoder = Encoder(
        input_shape,
        vocab_size=num_outputs,
        plan=plan,
        dropout=dropout,
        norm_first=norm_first,
        position=position,
    )
    return BERT(encoder)


def gpt(
    input_shape: Sequence[int],
    num_outputs: int,
    *,
    size: str | None = None,
    embed_dim: int | None = None,
    num_layers: int | None = None,
    num_heads: int | None = None,
    dropout: float = 0.1,
    position: str | None = "rotary",
) -> GPT:
    """Build a causal language model.

    Args:
        input_shape: (T,), the greatest length.
        num_outputs: V.
        size: tiny, small (the default) or base; see `DECODER_SIZES`.
        embed_dim: in place of that of the size.
        num_layers: in place of that of the size.
        num_heads: in place of that of the size.
        dropout: see `GPT`.
        position: see `GPT`.

    Raises:
        ValueError: the inputs are not tokens, or a name is not known.
    """
    if len(input_shape) != 1:
        raise ValueError(f"gpt expects tokens of shape (T,), received inputs of shape {tuple(input_shape)}.")
    plan = plan_of(DECODER_SIZES, size, embed_dim, num_layers, num_heads)
    return GPT(num_outputs, input_shape[0], plan=plan, dropout=dropout, position=position)


BUILDERS = {"transformer": transformer, "bert": bert, "gpt": gpt}
"""Builders of this file by the name that configs use."""
