"""Attention (Vaswani et al. 2017) and the transformer block, each with a fused and an explicit path.

    attn_weights = softmax(q k^T / sqrt(hd)),  output = attn_weights v,  one of each per head

Shapes: B batch, T queries (the tokens being computed), S keys (the tokens attended to; T in self-attention
without a cache), C embed_dim, nh heads, hd = C / nh. A mask is True where attention is allowed. The output
of a query that may attend to nothing is 0.

The q, k and v projections are three layers: one layer of three times the width was no faster when measured.
There is no dropout on the attention weights, because with it torch cannot use its fused kernel and attention
takes 1.6 times as long.
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
class _LayerCache:
    """Keys and values of one layer, (B, nh, capacity, hd) each; the first `length` of them are in use."""

    keys: Tensor
    values: Tensor
    length: int

    def reserve(self, more: int) -> None:
        """Double the capacity when it is used up, so that reallocation is rare."""
        needed = self.length + more
        if needed > self.keys.shape[2]:
            size = max(needed, 2 * self.keys.shape[2]) - self.keys.shape[2]
            self.keys, self.values = (F.pad(whole, (0, 0, 0, size)) for whole in (self.keys, self.values))

    def add(self, keys: Tensor, values: Tensor) -> KeysAndValues:
        self.reserve(keys.shape[2])
        start, self.length = self.length, self.length + keys.shape[2]
        self.keys[:, :, start : self.length] = keys
        self.values[:, :, start : self.length] = values
        return self.keys[:, :, : self.length], self.values[:, :, : self.length]


class KVCache:
    """Keys and values of the tokens a model has processed, so that generating the next costs one token.

    Only for generation: gradients do not flow into cached tokens.

    Attributes:
        length: number of tokens processed; the model increases it after every forward pass.
    """

    def __init__(self) -> None:
        self.length = 0
        self._seen: dict[nn.Module, _LayerCache] = {}
        self._memory: dict[nn.Module, KeysAndValues] = {}

    def extend(self, layer: nn.Module, keys: Tensor, values: Tensor) -> KeysAndValues:
        """Append the keys and values (B, nh, T, hd) of new tokens to those of `layer`; return all of them."""
        keys, values = keys.detach(), values.detach()
        if layer not in self._seen:
            self._seen[layer] = _LayerCache(keys[:, :, :0], values[:, :, :0], 0)
        return self._seen[layer].add(keys, values)

    def once(self, layer: nn.Module, make: Callable[[], KeysAndValues]) -> KeysAndValues:
        """Return the result of the first call of `make`: the keys and values of a constant memory."""
        if layer not in self._memory:
            self._memory[layer] = make()
        return self._memory[layer]

    def reorder(self, rows: Int[Tensor, "N"]) -> None:
        """Replace the cached tokens of row n with those of row rows[n]; the memory is not reordered.

        For beam search: rows only move within the beams of one example, which share the same memory.
        """
        for seen in self._seen.values():
            seen.keys, seen.values = seen.keys[rows], seen.values[rows]


class MultiHeadAttention(nn.Module):
    """Multi-head attention (Vaswani et al. 2017, section 3.2.2).

    Args:
        embed_dim: C.
        num_heads: nh, a divisor of C.
        causal: whether a token attends only to itself and the tokens before it.
        rotary: rotary position embedding of queries and keys, in self-attention.

    Attributes:
        explicit: False calls `F.scaled_dot_product_attention`; True computes the same step by step and stores
            `attn_scores` (before the softmax, -inf where masked) and `attn_weights` (after it), both
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
        """Compute attention from x to the memory.

        Args:
            x: the source of the queries.
            memory: the source of keys and values in cross-attention; None for self-attention (x).
            mask: True where attention is allowed: per key (B, S), or per pair (B, nh, T, S).
            cache: holds the tokens before x, and is extended by x.
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
        """Combine the mask and the causal mask; None allows everything."""
        queries, keys = q.shape[2], k.shape[2]
        if not self.causal or queries == 1:
            return mask
        order = torch.ones(queries, keys, dtype=torch.bool, device=q.device).tril(keys - queries)
        return order if mask is None else mask & order


class TransformerBlock(nn.Module):
    """Attention, then an MLP on every token, each with a residual connection.

        norm_first: x + f(norm(x))  (Xiong et al. 2020; trains without warmup, needs a final norm)
        else:       norm(x + f(x))  (Vaswani et al. 2017)

    Args:
        embed_dim: C.
        num_heads: nh.
        mlp_dim: hidden units of the MLP; 4 C by default.
        dropout: probability of zeroing a feature of each residual branch in training, 0..1.
        norm_first: whether the norm is applied before attention and MLP (pre-norm) or after the sum.
        causal: whether tokens attend only to themselves and the tokens before them.
        cross_attention: whether the block has cross-attention to a memory, after self-attention.
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
        """Update every token.

        Args:
            x: the tokens.
            mask: True for tokens that may be attended to.
            memory: the tokens that cross-attention attends to; None skips cross-attention.
            memory_mask: True for tokens of the memory that may be attended to.
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
    """Initialize linear layers as in Glorot and Bengio (2010); biases are 0.

    The variance of their weights is 2 / (fan_in + fan_out), that of embeddings 1 / C. GPT-2 uses a standard
    deviation of 0.02 for both at every width; networks of about 100 features learn far more slowly with it
    (LOG.md).

    The last layer of every residual branch is scaled by 1 / sqrt(number of branches), so that the sum over
    all blocks starts no larger than one branch (Radford et al. 2019, section 2.3).

    Args:
        model: the model, changed in place.
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
    """Switch all attention layers of a model to the explicit path; restore them on exit.

    Yields:
        A function that returns the attention weights (B, nh, T, S) of the last forward pass, by module name.

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
