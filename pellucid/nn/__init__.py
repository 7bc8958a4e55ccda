"""Building blocks that several model families share, and the activation catalogue.

In: tensors. Out: tensors of the shape in the signature. Every block is a plain `torch.nn.Module`, so hooks
work on it. This package imports only torch, so a model file copied together with this folder runs.
"""

from pellucid.nn.activations import ACTIVATIONS, Activation, activation
from pellucid.nn.attention import (
    KVCache,
    MultiHeadAttention,
    TransformerBlock,
    explicit_attention,
    init_transformer,
)
from pellucid.nn.convolution import ConvBlock, ResidualBlock
from pellucid.nn.embedding import (
    PAD,
    SeriesProjection,
    TokenEmbedding,
    embed_inputs,
    init_embedding,
    input_layer,
)
from pellucid.nn.init import gain, init_output, init_weights
from pellucid.nn.ngrams import BayesNgrams, ngrams
from pellucid.nn.norm import NORMS, norm
from pellucid.nn.pooling import AttentionPool, concat_pool, last_pool, max_pool, mean_pool, no_pool
from pellucid.nn.position import (
    POSITIONS,
    LearnedPositions,
    PlanePositions,
    Rotary,
    SinusoidalPositions,
    positions,
)
from pellucid.nn.recurrent import CELLS, LockedDropout, RecurrentLayer, unroll

__all__ = [
    "ACTIVATIONS",
    "CELLS",
    "NORMS",
    "PAD",
    "POSITIONS",
    "Activation",
    "AttentionPool",
    "BayesNgrams",
    "ConvBlock",
    "KVCache",
    "LearnedPositions",
    "LockedDropout",
    "MultiHeadAttention",
    "PlanePositions",
    "RecurrentLayer",
    "ResidualBlock",
    "Rotary",
    "SeriesProjection",
    "SinusoidalPositions",
    "TokenEmbedding",
    "TransformerBlock",
    "activation",
    "concat_pool",
    "embed_inputs",
    "explicit_attention",
    "gain",
    "init_embedding",
    "init_output",
    "init_transformer",
    "init_weights",
    "input_layer",
    "last_pool",
    "max_pool",
    "mean_pool",
    "ngrams",
    "no_pool",
    "norm",
    "positions",
    "unroll",
]
