"""Find attention in any model, from the operations that it computes.

Attention is softmax(q k^T ...) v. Every operation of torch passes here while the model is computed: fused
attention is computed again step by step; explicit attention is a product, a softmax of it, and a product of
that with something else, with scales, masks and dropout between. `nn.MultiheadAttention` is computed from
its weights. What the model itself computed is compared with weights @ v.

Shapes: B rows, nh heads, T queries, S keys, hd features of a head.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from pellucid.lens.capture import Call, capture
from pellucid.lens.views.subject import Subject

PRODUCTS = frozenset(["matmul", "__matmul__", "bmm", "baddbmm", "__rmatmul__"])
SOFTMAX = frozenset(["softmax", "_softmax"])
FUSED = "scaled_dot_product_attention"
FORBIDDEN = -5_000.0
"""Scores below it are masked: models add numbers from -10,000 down to the smallest of a dtype, or -inf."""


@dataclass
class Attended:
    """One attention of a forward pass.

    Attributes:
        name: the module that computed it.
        q: (B, nh, T, hd); k, v: (B, nh, S, hd), after rotations.
        scores: what the softmax receives, scaled, with biases of positions, (B, nh, T, S); -inf where masked.
        weights: (B, nh, T, S).
        mixed: weights @ v, (B, nh, T, hd).
        error: the largest |mixed - what the model computed|.
    """

    name: str
    q: Tensor
    k: Tensor
    v: Tensor
    scores: Tensor
    weights: Tensor
    mixed: Tensor
    error: float

    @property
    def allowed(self) -> Tensor:
        """Whether a query may attend to a key, (B, nh, T, S)."""
        return self.scores.isfinite()


def attended(subject: Subject) -> list[Attended]:
    """Compute a batch once and return every attention, in the order in which they were computed."""
    model = subject.model
    modules = [part for part in model.modules() if isinstance(part, nn.MultiheadAttention)]
    found: list[Attended] = []
    with (
        subject.computing(),
        capture(model, forward=False) as taken,
        capture(model, modules, inputs=True) as whole,
    ):
        with _Watch(taken.calls, subject.rows, found):
            subject.forward()
        order = {call.name: place for place, call in reversed(list(enumerate(taken.calls)))}
        made = [(order.get(one.name, 0), one) for one in found]
        made += [(order.get(call.name, 0), _of_module(call)) for call in whole.calls if call.finished]
    return [one for _, one in sorted(made, key=lambda pair: pair[0])]


# ---- operations -------------------------------------------------------------------------------------


@dataclass
class _Softmaxed:
    """A softmax of a product."""

    q: Tensor
    k: Tensor
    scores: Tensor
    weights: Tensor


class _Watch(TorchFunctionMode):
    """Follow products, softmaxes of them, and their products with values."""

    def __init__(self, calls: list[Call], rows: int, found: list[Attended]):
        super().__init__()
        self.calls, self.rows, self.found = calls, rows, found
        self.products: dict[int, tuple[Tensor, Tensor]] = {}
        self.softmaxed: dict[int, _Softmaxed] = {}
        self.kept: list[Tensor] = []  # as long as they exist, no other tensor gets their id

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name, kwargs = getattr(func, "__name__", ""), kwargs or {}
        made = func(*args, **kwargs)
        if not isinstance(made, Tensor):
            return made
        if name == FUSED:
            self.add(*explicit(*args, **kwargs), made)
        elif name in PRODUCTS:
            self._product(args[-2:] if name == "baddbmm" else args, kwargs, made)
        elif name in SOFTMAX:
            self._softmax(args[0] if args else kwargs["input"], made)
        else:
            self._follow(args, made)
        return made

    def add(self, q: Tensor, k: Tensor, v: Tensor, scores: Tensor, weights: Tensor, own: Tensor) -> None:
        """Keep one attention, with what the model computed of it."""
        if weights.shape[-1] != v.shape[-2]:
            return
        forbidden = ~(scores > FORBIDDEN)
        parts = [
            self._heads(part) for part in (q, k, v, scores.masked_fill(forbidden, -math.inf), weights, own)
        ]
        q, k, v, scores, weights, own = (part.detach().clone() for part in parts)
        mixed = weights.to(v.dtype) @ v
        call = next((call for call in reversed(self.calls) if not call.finished), None)
        error = (mixed - own).abs().max().item() if own.numel() else 0.0
        name = "" if call is None else call.name
        self.found.append(Attended(name, q, k, v, scores, weights, mixed, error))

    def _heads(self, part: Tensor) -> Tensor:
        """(..., T, F) -> (B, nh, T, F)."""
        lead = math.prod(part.shape[:-2])
        rows = self.rows if self.rows and lead % self.rows == 0 else 1
        return part.reshape(rows, -1, *part.shape[-2:])

    def _product(self, args: Any, kwargs: dict[str, Any], made: Tensor) -> None:
        tensors = [part for part in (*args, *kwargs.values()) if isinstance(part, Tensor)]
        if len(tensors) < 2 or min(part.ndim for part in tensors[:2]) < 3:
            return
        left, right = tensors[:2]
        softmaxed = self.softmaxed.get(id(left))
        if softmaxed is not None:
            shape = left.shape[:-2]
            scores, weights = (
                part.reshape(*shape, *left.shape[-2:]) for part in (softmaxed.scores, softmaxed.weights)
            )
            self.add(softmaxed.q, softmaxed.k, right, scores, weights, made)
        else:
            self.products[id(made)] = (left, right.transpose(-1, -2))
            self.kept.append(made)

    def _softmax(self, scores: Tensor, made: Tensor) -> None:
        if id(scores) in self.products:
            q, k = self.products[id(scores)]
            self.softmaxed[id(made)] = _Softmaxed(q, k, scores.detach().clone(), made)
            self.kept.append(made)

    def _follow(self, args: Any, made: Tensor) -> None:
        """What is made of followed numbers and has as many of them is followed, too."""
        for part in args:
            if not isinstance(part, Tensor) or part is made or part.numel() != made.numel():
                continue
            if id(part) in self.products:
                self.products[id(made)] = self.products[id(part)]
                self.kept.append(made)
            if id(part) in self.softmaxed:  # weights may be changed after the softmax, e.g. by a mask
                self.softmaxed[id(made)] = replace(self.softmaxed[id(part)], weights=made)
                self.kept.append(made)


def explicit(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Compute `F.scaled_dot_product_attention` step by step in float64; return q, k, v, scores, weights."""
    if enable_gqa:
        times = query.shape[-3] // key.shape[-3]
        key, value = (part.repeat_interleave(times, -3) for part in (key, value))
    if query.device.type != "mps":  # it has no float64
        query, key, value = query.double(), key.double(), value.double()
    factor = 1 / math.sqrt(query.shape[-1]) if scale is None else scale
    scores = query @ key.transpose(-1, -2) * factor
    if is_causal:
        order = torch.ones(scores.shape[-2:], dtype=torch.bool, device=scores.device).tril()
        scores = scores.masked_fill(~order, -math.inf)
    if attn_mask is not None:
        masked = attn_mask.dtype == torch.bool
        scores = scores.masked_fill(~attn_mask, -math.inf) if masked else scores + attn_mask
    weights = scores.softmax(-1).nan_to_num(0.0)  # a query without keys attends to nothing
    batch = torch.broadcast_shapes(query.shape[:-2], key.shape[:-2])
    query, key, value = (part.expand(*batch, *part.shape[-2:]) for part in (query, key, value))
    return query, key, value, scores, weights


# ---- nn.MultiheadAttention --------------------------------------------------------------------------


def _of_module(call: Call) -> Attended:
    """Compute an `nn.MultiheadAttention` from its arguments and weights."""
    module: Any = call.module
    names = ("query", "key", "value", "key_padding_mask", "need_weights", "attn_mask")
    given = dict(zip(names, call.args, strict=False)) | call.kwargs
    inputs = [_rows_first(given[name], module) for name in names[:3]]
    q, k, v = (
        nn.functional.linear(x, weight, bias).unflatten(2, (module.num_heads, -1)).transpose(1, 2)
        for x, (weight, bias) in zip(inputs, _projections(module), strict=True)
    )
    k, v = (_with_extra(part, extra, module) for part, extra in ((k, module.bias_k), (v, module.bias_v)))
    mask = _mask(given, module, q, k)
    q, k, v, scores, weights = explicit(q, k, v, mask)
    mixed = weights @ v
    made = module.out_proj(mixed.to(module.out_proj.weight.dtype).transpose(1, 2).flatten(2))
    own = _rows_first(call.output[0], module)
    error = (made - own).nan_to_num(0.0).abs().max().item()
    return Attended(call.name, q, k, v, scores, weights, mixed, error)


def _rows_first(x: Tensor, module: Any) -> Tensor:
    if x.ndim == 2:
        return x[None]
    return x if module.batch_first else x.transpose(0, 1)


def _projections(module: Any) -> list[tuple[Tensor, Tensor | None]]:
    biases = (None,) * 3 if module.in_proj_bias is None else module.in_proj_bias.chunk(3)
    if module.in_proj_weight is not None:
        return list(zip(module.in_proj_weight.chunk(3), biases, strict=True))
    weights = (module.q_proj_weight, module.k_proj_weight, module.v_proj_weight)
    return list(zip(weights, biases, strict=True))


def _with_extra(part: Tensor, extra: Tensor | None, module: Any) -> Tensor:
    """Add the learned key and the key of zeros that a module may have, (B, nh, S, hd)."""
    heads, size = part.shape[1], part.shape[3]
    if extra is not None:
        learned = extra.reshape(1, 1, heads, size).transpose(1, 2).expand(len(part), -1, -1, -1)
        part = torch.cat([part, learned], 2)
    return torch.cat([part, torch.zeros_like(part[:, :, :1])], 2) if module.add_zero_attn else part


def _mask(given: dict[str, Any], module: Any, q: Tensor, k: Tensor) -> Tensor | None:
    """Return what is added to the scores, (B, nh, T, S); None where nothing is masked."""
    rows, heads, queries, keys = len(q), q.shape[1], q.shape[2], k.shape[2]
    total = None
    padding, pairs = given.get("key_padding_mask"), given.get("attn_mask")
    for mask in (padding, pairs):
        if mask is None:
            continue
        added = torch.zeros(mask.shape, dtype=q.dtype, device=q.device)
        added = added.masked_fill(mask, -math.inf) if mask.dtype == torch.bool else mask.to(q.dtype)
        if mask is padding:
            added = added.reshape(rows, 1, 1, -1)
        elif mask.ndim == 3:
            added = added.reshape(rows, heads, queries, -1)
        added = nn.functional.pad(added, (0, keys - added.shape[-1]))
        total = added if total is None else total + added
    return total
