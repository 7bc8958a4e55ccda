"""Input layers of sequence models: a table for token ids, a linear layer for series of measurements.

Both embed a batch, tell content from padding, and refuse inputs that they cannot read.

Shapes: B batch, T positions, C embed_dim, F features of a series.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

PAD = 0
"""Id of the padding token, which fills a text up to the length of its batch."""
EMBEDDING_STD = 0.1
"""Default standard deviation of new token embeddings."""


class TokenEmbedding(nn.Embedding):
    """A vector for every token; the vector of padding stays 0.

    Args:
        vocab_size: number of tokens.
        embed_dim: C.
    """

    def __init__(self, vocab_size: int, embed_dim: int):
        super().__init__(vocab_size, embed_dim, padding_idx=PAD)

    def forward(self, input: Int[Tensor, "B T"]) -> Float[Tensor, "B T C"]:
        if input.ndim != 2 or input.is_floating_point():
            raise ValueError(
                f"TokenEmbedding expects token ids (B, T) as integers, received {_describe(input)}. "
                "Try the model without vocab_size, which reads series (B, T, features)."
            )
        try:
            return super().forward(input)
        except IndexError:
            raise ValueError(
                f"TokenEmbedding expects token ids of 0 to {self.num_embeddings - 1}, received ids of "
                f"{input.min()} to {input.max()}. Is vocab_size that of the tokenizer?"
            ) from None

    def content(self, inputs: Int[Tensor, "B T"]) -> Bool[Tensor, "B T"]:
        """Return True for every token that is not padding."""
        return inputs != PAD

    def logits(self, hidden: Float[Tensor, "B T C"]) -> Float[Tensor, "B T V"]:
        """Return the product of `hidden` with the vector of every token: an output layer with tied weights
        (Press and Wolf 2017)."""
        return F.linear(hidden, self.weight)


def init_embedding(embedding: nn.Module, std: float = EMBEDDING_STD) -> None:
    """Draw the vectors of a `TokenEmbedding` from N(0, std^2), padding 0; leave other modules unchanged."""
    if isinstance(embedding, TokenEmbedding):
        nn.init.normal_(embedding.weight, std=std)
        nn.init.zeros_(embedding.weight[PAD].detach())


def embed_inputs(
    embedding: nn.Module, inputs: Int[Tensor, "B T"] | Float[Tensor, "B T F"], dropout: nn.Dropout
) -> Float[Tensor, "B T C"]:
    """Embed inputs; in training, drop words, each everywhere in the batch (Gal and Ghahramani 2016)."""
    x = embedding(inputs)  # (B, T, C)
    if not dropout.training or not dropout.p or not isinstance(embedding, TokenEmbedding):
        return x
    mask = dropout(x.new_ones(embedding.num_embeddings))  # (V,)
    return x * mask[inputs][:, :, None]


class SeriesProjection(nn.Linear):
    """A linear layer from the F features of a time step to a vector of C features."""

    def forward(self, input: Float[Tensor, "B T F"]) -> Float[Tensor, "B T C"]:
        if input.ndim != 3 or input.shape[2] != self.in_features or not input.is_floating_point():
            raise ValueError(
                f"SeriesProjection expects series (B, T, {self.in_features}) of floats, received "
                f"{_describe(input)}. For token ids, give the model its vocab_size."
            )
        return super().forward(input)

    def content(self, inputs: Float[Tensor, "B T F"]) -> Bool[Tensor, "B T"]:
        """Return True everywhere: series are not padded."""
        return torch.ones(inputs.shape[:2], dtype=torch.bool, device=inputs.device)


def _describe(inputs: Tensor) -> str:
    return f"{tuple(inputs.shape)} of {str(inputs.dtype).removeprefix('torch.')}"


def input_layer(
    input_shape: tuple[int, ...], vocab_size: int | None, embed_dim: int
) -> TokenEmbedding | SeriesProjection:
    """Make the input layer for examples of a shape.

    Args:
        input_shape: (T,) for tokens, (T, F) for series.
        vocab_size: number of tokens; None for series.
        embed_dim: C.

    Raises:
        ValueError: tokens without a vocab_size, or series with one.
    """
    if vocab_size is not None and len(input_shape) == 1:
        return TokenEmbedding(vocab_size, embed_dim)
    if vocab_size is None and len(input_shape) == 2:
        return SeriesProjection(input_shape[1], embed_dim)
    raise ValueError(
        f"A sequence model expects tokens of shape (T,) with a vocab_size, or series of shape (T, features) "
        f"without; received shape {tuple(input_shape)} and vocab_size={vocab_size}."
    )
