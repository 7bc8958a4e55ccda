"""The encoder-decoder transformer of Vaswani et al. (2017): from one sequence to another.

    source (B, S) -> encoder -> memory (B, S, C)
    target_in (B, T) -> causal blocks with cross-attention to the memory -> (B, T, C) -> logits (B, T, V)

Shapes: B batch, S and T source and target tokens, C embed_dim, V target vocabulary. `target_in` starts with
BOS and is the target shifted by one; the logits at a position are those of the next token. Unlike in the
paper, norms come first by default (Xiong et al. 2020).
"""

from __future__ import annotations

from collections.abc import Sequence

from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from pellucid.models.transformer import (
    ENCODER_SIZES,
    Encoder,
    TransformerPlan,
    check_length,
    transformer_plan,
)
from pellucid.nn import KVCache, TokenEmbedding, TransformerBlock, init_transformer, positions


class Seq2Seq(nn.Module):
    """An encoder and a decoder; returns logits.

    Args:
        encoder: an `Encoder` of source tokens.
        target_vocab_size: V; the output layer shares the weights of the target embedding.
        max_target_len: maximum number of target tokens, including BOS.
        plan: dimensions of the decoder; its embed_dim must be that of the encoder.
        dropout: probability of zeroing a feature in training, 0..1.
        norm_first: see `pellucid.nn.TransformerBlock`.
        position: learned, sinusoidal, rotary or None.
        share_embeddings: whether source and target share one vocabulary and one embedding.

    Raises:
        ValueError: the encoder reads series, or shared embeddings with different vocabulary sizes.
    """

    def __init__(
        self,
        encoder: Encoder,
        target_vocab_size: int,
        max_target_len: int,
        *,
        plan: TransformerPlan,
        dropout: float = 0.1,
        norm_first: bool = True,
        position: str | None = "learned",
        share_embeddings: bool = False,
    ):
        super().__init__()
        if not isinstance(encoder.embedding, TokenEmbedding):
            raise ValueError("Seq2Seq expects an encoder of tokens, received one of series.")
        source_vocab_size = encoder.embedding.num_embeddings
        if share_embeddings and source_vocab_size != target_vocab_size:
            raise ValueError(
                f"share_embeddings expects one vocabulary, received {source_vocab_size} source tokens and "
                f"{target_vocab_size} target tokens. Try share_embeddings=False."
            )
        self.max_seq_len, self.max_target_len = encoder.max_seq_len, max_target_len
        self.encoder = encoder
        self.embedding = None if share_embeddings else TokenEmbedding(target_vocab_size, plan.embed_dim)
        self.positions, rotary = positions(position, max_target_len, plan.embed_dim, plan.num_heads)
        self.dropout = nn.Dropout(dropout)
        self.blocks = nn.ModuleList(
            TransformerBlock(
                plan.embed_dim,
                plan.num_heads,
                dropout=dropout,
                norm_first=norm_first,
                causal=True,
                cross_attention=True,
                rotary=rotary,
            )
            for _ in range(plan.num_layers)
        )
        self.norm = nn.LayerNorm(plan.embed_dim) if norm_first else nn.Identity()
        init_transformer(encoder)
        init_transformer(self.blocks)
        init_transformer(self.target_embedding)

    @property
    def target_embedding(self) -> TokenEmbedding:
        """The embedding of target tokens; the encoder's own if they share one."""
        embedding = self.encoder.embedding if self.embedding is None else self.embedding
        assert isinstance(embedding, TokenEmbedding)
        return embedding

    def forward(self, source: Int[Tensor, "B S"], target_in: Int[Tensor, "B T"]) -> Float[Tensor, "B T V"]:
        memory, source_mask = self.encode(source)
        return self.decode(target_in, memory, source_mask)

    def encode(self, source: Int[Tensor, "B S"]) -> tuple[Float[Tensor, "B S C"], Bool[Tensor, "B S"]]:
        """Return the memory, and a mask that is True for content."""
        return self.encoder(source)

    def decode(
        self,
        target_in: Int[Tensor, "B T"],
        memory: Float[Tensor, "B S C"],
        source_mask: Bool[Tensor, "B S"],
        cache: KVCache | None = None,
    ) -> Float[Tensor, "B T V"]:
        """Return the logits of the next target token at every position.

        Args:
            target_in: the target so far; with a cache, only the new tokens.
            memory: the memory that `encode` returned.
            source_mask: the mask that `encode` returned.
            cache: made by `new_cache`; holds the previous tokens, and is extended by these.

        Raises:
            ValueError: there are more tokens than `max_target_len`.
        """
        embedding = self.target_embedding
        x = embedding(target_in)  # (B, T, C)
        start = cache.length if cache is not None else 0
        check_length("A seq2seq decoder", start + x.shape[1], self.max_target_len)
        x = self.dropout(self.positions(x, start))
        for block in self.blocks:
            x = block(x, memory=memory, memory_mask=source_mask, cache=cache)
        if cache is not None:
            cache.length += target_in.shape[1]
        return embedding.logits(self.norm(x))  # (B, T, V)

    def new_cache(self) -> KVCache:
        """Make an empty cache of target tokens."""
        return KVCache()


def seq2seq(
    input_shape: Sequence[int],
    num_outputs: int,
    *,
    size: str | None = None,
    vocab_size: int | None = None,
    max_target_len: int | None = None,
    embed_dim: int | None = None,
    num_layers: int | None = None,
    num_heads: int | None = None,
    dropout: float = 0.1,
    norm_first: bool = True,
    position: str | None = "learned",
    share_embeddings: bool = False,
) -> Seq2Seq:
    """Build an encoder-decoder.

    Args:
        input_shape: (S,), the maximum source length.
        num_outputs: V, size of the target vocabulary.
        size: tiny, small (the default) or base; see `pellucid.models.transformer.ENCODER_SIZES`.
        vocab_size: size of the source vocabulary; V by default.
        max_target_len: maximum target length, including BOS; S + 1 by default.
        embed_dim: C, instead of that of the size.
        num_layers: number of blocks in encoder and decoder each, instead of that of the size.
        num_heads: instead of that of the size.
        dropout: see `Seq2Seq`.
        norm_first: see `Seq2Seq`.
        position: see `Seq2Seq`.
        share_embeddings: see `Seq2Seq`.

    Raises:
        ValueError: see `Seq2Seq`; or an unknown name.
    """
    plan = transformer_plan(ENCODER_SIZES, size, embed_dim, num_layers, num_heads)
    encoder = Encoder(
        input_shape,
        vocab_size=vocab_size or num_outputs,
        plan=plan,
        dropout=dropout,
        norm_first=norm_first,
        position=position,
    )
    return Seq2Seq(
        encoder,
        num_outputs,
        max_target_len or input_shape[0] + 1,
        plan=plan,
        dropout=dropout,
        norm_first=norm_first,
        position=position,
        share_embeddings=share_embeddings,
    )


BUILDERS = {"seq2seq": seq2seq}
"""Builders of this file by the name that configs use."""
