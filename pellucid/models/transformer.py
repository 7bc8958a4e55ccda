"""Transformers: an encoder with two heads, and a decoder.

    TransformerEncoder (classifier):  inputs -> encoder (B, T, C) -> pool (B, C) -> logits (B, K)
    BERT (predicts masked tokens):    tokens -> encoder (B, T, C) -> head -> logits (B, T, V)
    GPT (predicts the next token):    tokens -> causal blocks (B, T, C) -> logits (B, T, V)

Shapes: B batch, T tokens, C embed_dim, K classes, V vocab_size. The first two use the same weight names
`encoder.`, so a classifier can start from the weights of a BERT.
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
    no_pool,
    positions,
)
from pellucid.nn.init import init_output
from pellucid.nn.names import lookup


@dataclass(frozen=True)
class TransformerPlan:
    """The dimensions of a size.

    Attributes:
        embed_dim: C.
        num_layers: number of blocks.
        num_heads: attention heads per block.
    """

    embed_dim: int
    num_layers: int
    num_heads: int


ENCODER_SIZES = {
    "tiny": TransformerPlan(64, 2, 4),
    "small": TransformerPlan(128, 4, 4),
    "base": TransformerPlan(256, 6, 8),
}
DECODER_SIZES = {
    "tiny": TransformerPlan(64, 2, 4),
    "small": TransformerPlan(128, 4, 4),
    "base": TransformerPlan(384, 6, 6),
}
"""Dimensions by size; the base decoder has the dimensions of nanoGPT's character-level Shakespeare model."""


def class_token_pool(x: Float[Tensor, "B S C"], content: Bool[Tensor, "B S"]) -> Float[Tensor, "B C"]:
    """Return the vector of the class token."""
    return x[:, 0]


POOLINGS = {"mean": mean_pool, "max": max_pool, "cls": class_token_pool, "none": no_pool}
"""Pooling functions by name; cls uses a class token, which is put before the other tokens."""


def transformer_plan(
    sizes: dict[str, TransformerPlan],
    size: str | None,
    embed_dim: int | None,
    num_layers: int | None,
    num_heads: int | None,
) -> TransformerPlan:
    """Return the plan of a size, small by default, with the given dimensions replaced."""
    given = {"embed_dim": embed_dim, "num_layers": num_layers, "num_heads": num_heads}
    changes = {name: value for name, value in given.items() if value is not None}
    return replace(lookup("transformer size", size or "small", sizes), **changes)


def check_length(kind: str, length: int, max_seq_len: int) -> None:
    """Refuse sequences longer than the number of positions of a model.

    Raises:
        ValueError: `length` is greater than `max_seq_len`.
    """
    if length > max_seq_len:
        raise ValueError(
            f"{kind} expects sequences of at most {max_seq_len} tokens (max_seq_len), received {length}. "
            "Try to truncate them, or build the model with a larger max_seq_len."
        )


class Encoder(nn.Module):
    """A transformer encoder of tokens or series: embedding, positions and bidirectional blocks.

    Args:
        input_shape: the shape of one example: (T,) for tokens, (T, F) for series; T is the maximum length.
        vocab_size: number of tokens; None for series.
        plan: see `TransformerPlan`.
        dropout: probability of zeroing a feature in training, 0..1.
        norm_first: see `pellucid.nn.TransformerBlock`.
        position: rotary, learned, sinusoidal, or None for sets; see `pellucid.nn.POSITIONS`.
    """

    def __init__(
        self,
        input_shape: Sequence[int],
        *,
        vocab_size: int | None = None,
        plan: TransformerPlan = ENCODER_SIZES["small"],
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
        """Encode sequences.

        Args:
            inputs: tokens or series.
            class_token: vector to put before them, without a position.

        Returns:
            The vectors, and a mask that is True for content; S is T, or T + 1 with a class token.

        Raises:
            ValueError: the sequences are longer than the maximum length.
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
    """A classifier of token sequences or series; returns logits and ignores padding.

    Args:
        encoder: see `Encoder`.
        num_classes: K.
        dropout: probability of zeroing a feature before the logits in training, 0..1.
        pooling: mean or max over the content, or cls for a learned class token (Devlin et al. 2019); none
            answers at every step, with logits (B, T, K).

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

    def forward(self, inputs: Int[Tensor, "B T"] | Float[Tensor, "B T F"]) -> Float[Tensor, "B *T K"]:
        hidden, content = self.encoder(inputs, self.class_token)  # (B, S, C), (B, S)
        return self.output(self.dropout(self.pool(hidden, content)))  # (B, K) or (B, T, K)

    def encode(self, inputs: Int[Tensor, "B T"] | Float[Tensor, "B T F"]) -> Float[Tensor, "B T C"]:
        """Return the vector of every position, without the class token.

        For the attention weights see `pellucid.nn.explicit_attention`.
        """
        hidden, _ = self.encoder(inputs, self.class_token)
        return hidden if self.class_token is None else hidden[:, 1:]


class BERT(nn.Module):
    """A masked language model (Devlin et al. 2019); returns the logits of every token.

    Args:
        encoder: an `Encoder` of tokens; the output layer shares the weights of its embedding.

    Raises:
        ValueError: the encoder reads series.
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
        """Return the inputs of the output layer."""
        return self.head(self.encoder(tokens)[0])

    def output_weights(self) -> tuple[Float[Tensor, "V C"], Float[Tensor, "V"]]:
        """Return the weights and biases of the output layer."""
        return self.encoder.embedding.weight, self.output_bias


class GPT(nn.Module):
    """A causal language model (Radford et al. 2019); returns the logits of the next token at every position.

    Args:
        vocab_size: V; the output layer shares the weights of the embedding.
        max_seq_len: maximum number of tokens.
        plan: see `TransformerPlan`.
        dropout: probability of zeroing a feature in training, 0..1.
        position: rotary, learned, sinusoidal or None.
    """

    def __init__(
        self,
        vocab_size: int,
        max_seq_len: int,
        *,
        plan: TransformerPlan = DECODER_SIZES["small"],
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
        """Return the logits of the next token at every position.

        Args:
            tokens: the tokens; with a cache, only the new ones.
            cache: made by `new_cache`; holds the previous tokens, and is extended by these.

        Raises:
            ValueError: there are more tokens than `max_seq_len`.
        """
        return self.embedding.logits(self.hidden(tokens, cache))  # (B, T, V)

    def hidden(self, tokens: Int[Tensor, "B T"], cache: KVCache | None = None) -> Float[Tensor, "B T C"]:
        """Return the inputs of the output layer; see `forward`."""
        x = self.embedding(tokens)  # (B, T, C)
        start = cache.length if cache is not None else 0
        check_length("A GPT", start + x.shape[1], self.max_seq_len)
        x = self.dropout(self.positions(x, start))
        for block in self.blocks:
            x = block(x, cache=cache)
        if cache is not None:
            cache.length += tokens.shape[1]
        return self.norm(x)  # (B, T, C)

    def new_cache(self) -> KVCache:
        """Make an empty cache."""
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
        input_shape: (T,) for tokens, (T, F) for series; T is the maximum length.
        num_outputs: K.
        size: tiny, small (the default) or base; see `ENCODER_SIZES`.
        vocab_size: number of tokens; None for series.
        embed_dim: C, instead of that of the size.
        num_layers: instead of that of the size.
        num_heads: instead of that of the size.
        dropout: see `Encoder`.
        norm_first: see `Encoder`.
        position: see `Encoder`.
        pooling: see `TransformerEncoder`.

    Raises:
        ValueError: an unknown name, tokens without a vocab_size, or series with one.
    """
    plan = transformer_plan(ENCODER_SIZES, size, embed_dim, num_layers, num_heads)
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
    """Build a masked language model; for the other options see `transformer`.

    Args:
        input_shape: (T,), the maximum length.
        num_outputs: V.

    Raises:
        ValueError: the inputs are not tokens, or an unknown name.
    """
    plan = transformer_plan(ENCODER_SIZES, size, embed_dim, num_layers, num_heads)
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
        input_shape: (T,), the maximum length.
        num_outputs: V.
        size: tiny, small (the default) or base; see `DECODER_SIZES`.
        embed_dim: C, instead of that of the size.
        num_layers: instead of that of the size.
        num_heads: instead of that of the size.
        dropout: see `GPT`.
        position: see `GPT`.

    Raises:
        ValueError: the inputs are not tokens, or an unknown name.
    """
    if len(input_shape) != 1:
        raise ValueError(f"gpt expects tokens of shape (T,), received inputs of shape {tuple(input_shape)}.")
    plan = transformer_plan(DECODER_SIZES, size, embed_dim, num_layers, num_heads)
    return GPT(num_outputs, input_shape[0], plan=plan, dropout=dropout, position=position)


BUILDERS = {"transformer": transformer, "bert": bert, "gpt": gpt}
"""Builders of this file by the name that configs use."""
