"""Attention (Vaswani et al. 2017) and the transformer block, each with a fast path and one to look into.

    attn_weights = softmax(q k^T / sqrt(hd)),  output = attn_weights v,  one of each per head

Shapes: B batch, T queries (the tokens being computed), S keys (the tokens looked at; T in self-attention
without a cache), C embed_dim, nh heads, hd = C / nh. A mask is True where attention is allowed. A query
that may look at nothing receives zeros.

The q, k and v projections are three layers: one layer of three times the width measured no faster. There
is no dropout on attention weights: it keeps torch from its fused kernel, which takes 1.6 times as long.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from pellucid.nn.position import Rotary

KeysAndValues = tuple[Tensor, Tensor]
HALF = (torch.bfloat16, torch.float16)


@dataclass
class _Seen:
    """Keys and values of one layer, (B, nh, room, hd) each; the first `length` of them count."""

    keys: Tensor
    values: Tensor
    length: int

    def room_for(self, more: int) -> None:
        """Grow to at least twice the size where there is no room, so that growing stays rare."""
        needed = self.length + more
        if needed > self.keys.shape[2]:
            size = max(needed, 2 * self.keys.shape[2]) - self.keys.shape[2]
            self.keys, self.values = (F.pad(whole, (0, 0, 0, size)) for whole in (self.keys, self.values))

    def add(self, keys: Tensor, values: Tensor) -> KeysAndValues:
        self.room_for(keys.shape[2])
        start, self.length = self.length, self.length + keys.shape[2]
        self.keys[:, :, start : self.length] = keys
        self.values[:, :, start : self.length] = values
        return self.keys[:, :, : self.length], self.values[:, :, : self.length]


class KVCache:
    """Keys and values of the tokens a model has seen, so that generating the next costs one token.

    It is for generating: gradients do not reach what was seen before.

    Attributes:
        length: the number of tokens seen; the model adds to it after every forward pass.
    """

    def __init__(self) -> None:
        self.length = 0
        self._seen: dict[nn.Module, _Seen] = {}
        self._memory: dict[nn.Module, KeysAndValues] = {}

    def extend(self, layer: nn.Module, keys: Tensor, values: Tensor) -> KeysAndValues:
        """Append the keys and values (B, nh, T, hd) of new tokens to those of `layer`; return all."""
        keys, values = keys.detach(), values.detach()
        if layer not in self._seen:
            self._seen[layer] = _Seen(keys[:, :, :0], values[:, :, :0], 0)
        return self._seen[layer].add(keys, values)

    def once(self, layer: nn.Module, make: Callable[[], KeysAndValues]) -> KeysAndValues:
        """Return what `make` made the first time: the keys and values of a memory that does not grow."""
        if layer not in self._memory:
            self._memory[layer] = make()
        return self._memory[layer]

    def reorder(self, rows: Int[Tensor, "N"]) -> None:
        """Let what row n has seen be what row rows[n] had; its memory stays.

        Beam search needs it: the rows that change places are beams of one example, with the same memory.
        """
        for seen in self._seen.values():
            seen.keys, seen.values = seen.keys[rows], seen.values[rows]


class MultiHeadAttention(nn.Module):
    """Multi-head attention (Vaswani et al. 2017, section 3.2.2).

    Args:
        embed_dim: C.
        num_heads: nh, a divisor of C.
        causal: whether a token may look at itself and those before it only.
        rotary: turns queries and keys by their positions, in self-attention.

    Attributes:
        explicit: False takes `F.scaled_dot_product_attention`; True writes the same out and keeps
            `attn_scores` (before the softmax, -inf where not allowed) and `attn_weights` (after it), both
            (B, nh, T, S) and part of the graph.
    """

    def __init__(self, embed_dim: int, num_heads: int, *, causal: bool = False, rotary: Rotary | None = None):
        super().__init__()
        if embed_dim % num_heads:
            raise ValueError(
                f"MultiHeadAttention expects an embed_dim that num_heads divides, received "
                f"embed_dim={embed_dim} and num_heads={num_heads}."
            )
        self.num_heads, self.head_dim = num_heads, embed_dim // num_heads
        self.causal, self.rotary = causal, rotary
        self.q_proj = nn.Linear(embed_dim, embed_dim)
        self.k_proj = nn.Linear(embed_dim, embed_dim)
        self.v_proj = nn.Linear(embed_dim, embed_dim)
        self.out_proj = nn.Linear(embed_dim, embed_dim)
        self.explicit = False
        self.attn_scores: Tensor | None = None
        self.attn_weights: Tensor | None = None

    def forward(
        self,
        x: Float[Tensor, "B T C"],
        *,
        memory: Float[Tensor, "B S C"] | None = None,
        mask: Bool[Tensor, "B S"] | Bool[Tensor, "#B #nh #T S"] | None = None,
        cache: KVCache | None = None,
    ) -> Float[Tensor, "B T C"]:
        """Attend.

        Args:
            x: what asks.
            memory: what is looked at, in cross-attention; in self-attention it is x.
            mask: True where attention is allowed: for keys (B, S), or for pairs (B, nh, T, S).
            cache: holds what was seen before x, and is extended by x.
        """
        q = self._heads(self.q_proj(x))  # (B, nh, T, hd)
        if memory is None:
            k, v = self._heads(self.k_proj(x)), self._heads(self.v_proj(x))
            if self.rotary is not None:
                start = cache.length if cache is not None else 0
                q, k = self.rotary(q, start), self.rotary(k, start)
            if cache is not None:
                k, v = cache.extend(self, k, v)
        elif cache is not None:
            k, v = cache.once(self, lambda: self._keys_and_values(memory))
        else:
            k, v = self._keys_and_values(memory)
        if mask is not None and mask.ndim == 2:
            mask = mask[:, None, None, :]  # (B, 1, 1, S)
        attended = (self._explicit if self.explicit else self._fused)(q, k, v, mask)  # (B, nh, T, hd)
        return self.out_proj(attended.transpose(1, 2).flatten(2))  # (B, T, C)

    def _heads(self, x: Tensor) -> Tensor:
        """(B, T, C) -> (B, nh, T, hd)."""
        return x.unflatten(2, (self.num_heads, self.head_dim)).transpose(1, 2)

    def _keys_and_values(self, memory: Tensor) -> KeysAndValues:
        return self._heads(self.k_proj(memory)), self._heads(self.v_proj(memory))

    def _fused(self, q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None) -> Tensor:
        dtype = torch.get_autocast_dtype("cpu") if torch.is_autocast_enabled("cpu") else q.dtype
        if q.device.type == "cpu" and q.requires_grad and dtype in HALF:
            # The backward pass of torch's CPU kernel takes two to eight times as long in bf16 as in float32.
            with torch.autocast("cpu", enabled=False):
                return self._attended(q.float(), k.float(), v.float(), mask).to(dtype)
        return self._attended(q, k, v, mask)

    def _attended(self, q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None) -> Tensor:
        if self.causal and mask is None and q.shape[2] == k.shape[2]:
            return F.scaled_dot_product_attention(q, k, v, is_causal=True)
        return F.scaled_dot_product_attention(q, k, v, attn_mask=self._allowed(q, k, mask))

    def _explicit(self, q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None) -> Tensor:
        scores = q @ k.transpose(2, 3) / math.sqrt(self.head_dim)  # (B, nh, T, S)
        allowed = self._allowed(q, k, mask)
        if allowed is None:
            self.attn_scores, self.attn_weights = scores, scores.softmax(-1)
        else:
            lowest = torch.finfo(scores.dtype).min  # not -inf: a query without keys would be 0 / 0
            weights = scores.masked_fill(~allowed, lowest).softmax(-1)
            self.attn_scores = scores.masked_fill(~allowed, -math.inf)
            self.attn_weights = weights.masked_fill(~allowed, 0.0)
        return self.attn_weights @ v

    def _allowed(self, q: Tensor, k: Tensor, mask: Tensor | None) -> Tensor | None:
        """Join the mask and causality to one mask; None allows everything."""
        queries, keys = q.shape[2], k.shape[2]
        if not self.causal or queries == 1:
            return mask
        order = torch.ones(queries, keys, dtype=torch.bool, device=q.device).tril(keys - queries)
        return order if mask is None else mask & order


class TransformerBlock(nn.Module):
    """Attention, then an MLP on every token; each is a change added to its input.

        norm_first: x + f(norm(x))  (Xiong et al. 2020; trains without warmup, wants a last norm)
        else:       norm(x + f(x))  (Vaswani et al. 2017)

    Args:
        embed_dim: C.
        num_heads: nh.
        mlp_dim: hidden units of the MLP; four times C by default.
        dropout: probability of zeroing a feature of each change in training, 0..1.
        norm_first: see above.
        causal: whether tokens look at those before them only.
        cross_attention: whether, after looking at each other, tokens look at a memory.
        rotary: see `MultiHeadAttention`.
    """

    def __init__(
        self,
        embed_dim: int,
        num_heads: int,
        *,
        mlp_dim: int | None = None,
        dropout: float = 0.0,
        norm_first: bool = True,
        causal: bool = False,
        cross_attention: bool = False,
        rotary: Rotary | None = None,
    ):
        super().__init__()
        mlp_dim = mlp_dim or 4 * embed_dim
        self.norm_first = norm_first
        self.attention_norm = nn.LayerNorm(embed_dim)
        self.attention = MultiHeadAttention(embed_dim, num_heads, causal=causal, rotary=rotary)
        if cross_attention:
            self.cross_norm = nn.LayerNorm(embed_dim)
            self.cross_attention = MultiHeadAttention(embed_dim, num_heads)
        self.mlp_norm = nn.LayerNorm(embed_dim)
        self.mlp = nn.Sequential(nn.Linear(embed_dim, mlp_dim), nn.GELU(), nn.Linear(mlp_dim, embed_dim))
        self.dropout = nn.Dropout(dropout)

    def forward(
        self,
        x: Float[Tensor, "B T C"],
        *,
        mask: Bool[Tensor, "B T"] | None = None,
        memory: Float[Tensor, "B S C"] | None = None,
        memory_mask: Bool[Tensor, "B S"] | None = None,
        cache: KVCache | None = None,
    ) -> Float[Tensor, "B T C"]:
        """Change each token by what it sees.

        Args:
            x: the tokens.
            mask: the tokens that may be looked at.
            memory: what cross-attention looks at.
            memory_mask: the tokens of the memory that may be looked at.
            cache: see `KVCache`.
        """
        x = self._add(x, self.attention_norm, lambda y: self.attention(y, mask=mask, cache=cache))
        if memory is not None:
            x = self._add(
                x,
                self.cross_norm,
                lambda y: self.cross_attention(y, memory=memory, mask=memory_mask, cache=cache),
            )
        return self._add(x, self.mlp_norm, self.mlp)

    def _add(self, x: Tensor, norm: nn.Module, change: Callable[[Tensor], Tensor]) -> Tensor:
        if self.norm_first:
            return x + self.dropout(change(norm(x)))
        return norm(x + self.dropout(change(x)))


@torch.no_grad()
def init_transformer(model: nn.Module) -> None:
    """Draw the weights of linear layers as Glorot and Bengio (2010) do; biases are 0.

    Their variance is 2 / (fan_in + fan_out), that of embeddings 1 / C. GPT-2 draws both with a deviation of
    0.02, whatever the width; networks of a hundred features learn far slower with it (LOG.md).

    The layers that end a change are scaled by 1 / sqrt(number of changes), so that the sum over all blocks
    begins no larger than one change (Radford et al. 2019, section 2.3).

    Args:
        model: changed in place.
    """
    for layer in model.modules():
        if isinstance(layer, nn.Linear):
            nn.init.xavier_normal_(layer.weight)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
        if isinstance(layer, nn.Embedding):
            nn.init.normal_(layer.weight, std=layer.embedding_dim**-0.5)
            if layer.padding_idx is not None:
                nn.init.zeros_(layer.weight[layer.padding_idx])
    ends = [p for name, p in model.named_parameters() if name.endswith(("out_proj.weight", "mlp.2.weight"))]
    for weight in ends:
        weight.div_(math.sqrt(len(ends)))


@contextmanager
def explicit_attention(model: nn.Module) -> Iterator[Callable[[], dict[str, Tensor]]]:
    """Let all attention of a model take the explicit path; afterwards all is as it was.

    Yields:
        A function that returns the attention weights (B, nh, T, S) of the last forward pass, by the name of
        the module.

    Example:
        >>> block = TransformerBlock(8, 2)
        >>> with explicit_attention(block) as maps:
        ...     _ = block(torch.zeros(1, 3, 8))
        ...     {name: tuple(weights.shape) for name, weights in maps().items()}
        {'attention': (1, 2, 3, 3)}
    """
    layers = {name: m for name, m in model.named_modules() if isinstance(m, MultiHeadAttention)}
    before = {name: layer.explicit for name, layer in layers.items()}
    for layer in layers.values():
        layer.explicit = True
    try:
        yield lambda: {n: m.attn_weights for n, m in layers.items() if m.attn_weights is not None}
    finally:
        for name, layer in layers.items():
            layer.explicit = before[name]
            layer.attn_scores = layer.attn_weights = None
