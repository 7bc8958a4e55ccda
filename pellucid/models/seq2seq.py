"""The encoder-decoder transformer of Vaswani et al. (2017): one sequence in, another out.

    source (B, S) -> encoder -> memory (B, S, C)
    target_in (B, T) -> causal blocks that look at the memory -> (B, T, C) -> logits (B, T, V)

Shapes: B batch, S and T source and target tokens, C embed_dim, V target vocabulary. `target_in` begins
with BOS and is the target one step late; the logits at a position are those of the next token. Unlike the
paper, norms stand first (Xiong et al. 2020) unless asked otherwise.
"""

from __future__ import annotations

from collections.abc import Sequence

from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from pellucid.models.transformer import ENCODER_SIZES, Encoder, Plan, check_length, plan_of
from pellucid.nn import KVCache, TokenEmbedding, TransformerBlock, init_transformer, positions


class Seq2Seq(nn.Module):
    """An encoder and a decoder; returns logits.

    Args:
        encoder: an `Encoder` of source tokens.
        target_vocab_size: V; the target embedding is tied to the output.
        max_target_len: the greatest number of target tokens, BOS included.
        plan: of the decoder, as wide as the encoder.
        dropout: probability of zeroing a feature in training, 0..1.
        norm_first: see `pellucid.nn.TransformerBlock`.
        position: learned, sinusoidal, rotary or None.
        share_embeddings: whether source and target are of one vocabulary and have one embedding.

    Raises:
        ValueError: shared embeddings of two vocabularies.
    """

    def __init__(
        self,
        encoder: Encoder,
        target_vocab_size: int,
        max_target_len: int,
        *,
        plan: Plan,
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
        """The embedding of target tokens, which is that of the encoder where they share one."""
        embedding = self.encoder.embedding if self.embedding is None else self.embedding
        assert isinstance(embedding, TokenEmbedding)
        return embedding

    def forward(self, source: Int[Tensor, "B S"], target_in: Int[Tensor, "B T"]) -> Float[Tensor, "B T V"]:
        memory, source_mask = self.encode(source)
        return self.decode(target_in, memory, source_mask)

    def encode(self, source: Int[Tensor, "B S"]) -> tuple[Float[Tensor, "B S C"], Bool[Tensor, "B S"]]:
        """Return the memory and where it is content."""
        return self.encoder(source)

    def decode(
        self,
        target_in: Int[Tensor, "B T"],
        memory: Float[Tensor, "B S C"],
        source_mask: Bool[Tensor, "B S"],
        cache: KVCache | None = None,
    ) -> Float[Tensor, "B T V"]:
        """Score every target token as the next.

        Args:
            target_in: the target so far; with a cache, only tokens it has not seen.
            memory: what `encode` returned.
            source_mask: the second thing it returned.
            cache: made by `new_cache`; goes on from what it remembers, and remembers these tokens.
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
        """An empty memory of the target."""
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
        input_shape: (S,), the greatest source length.
        num_outputs: V, the target vocabulary.
        size: tiny, small (the default) or base; see `pellucid.models.transformer.ENCODER_SIZES`.
        vocab_size: the source vocabulary; that of the target by default.
        max_target_len: the greatest target length, BOS included; that of the source and one by default.
        embed_dim: in place of that of the size.
        num_layers: in place of that of the size; of the encoder as of the decoder.
        num_heads: in place of that of the size.
        dropout: see `Seq2Seq`.
        norm_first: see `Seq2Seq`.
        position: see `Seq2Seq`.
        share_embeddings: see `Seq2Seq`.

    Raises:
        ValueError: see `Seq2Seq`; or a name is not known.
    """
    plan = plan_of(ENCODER_SIZES, size, embed_dim, num_layers, num_heads)
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
