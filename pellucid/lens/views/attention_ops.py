"""Find attention in any model, from the operations that it computes.

Attention is softmax(q k^T ...) v. Every operation of torch passes here while the model is computed: fused
attention is computed again step by step; explicit attention is a product (matmul, bmm, einsum), a softmax of
it, and a product of that with something else, with scales, masks and dropout between.
`nn.MultiheadAttention` is computed from its weights. What the model itself computed is compared with
weights @ v.

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
from pellucid.lens.views.products import Product, product_of
from pellucid.lens.views.subject import Subject

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

MOVES = (
    "transpose",
    "swapaxes",
    "swapdims",
    "permute",
    "movedim",
    "moveaxis",
    "t",
    "adjoint",
    "flip",
    "roll",
)
RESHAPES = ("view", "view_as", "reshape", "reshape_as", "flatten", "unflatten", "squeeze", "unsqueeze")
LAYOUT = frozenset([*MOVES, *RESHAPES, "__get__", "__getitem__"])
"""Operations that only move numbers to other places; `__get__` is that of `x.mT`."""


@dataclass
class _Followed:
    """A tensor that is made of a product of queries and keys, number by number; N = B nh in some order.

    Attributes:
        q: (N, T, hd); k: (N, S, hd).
        places: of the shape of the tensor: where each of its numbers stands in (N, T, S), flat.
        scores: (N T S,) what the softmax received; None before it.
    """

    q: Tensor
    k: Tensor
    places: Tensor
    scores: Tensor | None = None


class _Watch(TorchFunctionMode):
    """Follow products, softmaxes of them, and their products with values."""

    def __init__(self, calls: list[Call], rows: int, found: list[Attended]):
        super().__init__()
        self.calls, self.rows, self.found = calls, rows, found
        self.followed: dict[int, _Followed] = {}
        self.kept: list[Tensor] = []  # as long as they exist, no other tensor gets their id

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name, kwargs = getattr(func, "__name__", ""), kwargs or {}
        made = func(*args, **kwargs)
        if not isinstance(made, Tensor):
            return made
        if name == FUSED:
            self.add(*explicit(*args, **kwargs), made)
        elif (product := product_of(name, args, kwargs, made)) is not None:
            self._product(product, made)
        elif name in SOFTMAX:
            self._softmax(*_softmax_arguments(*args, **kwargs), made)
        else:
            self._follow(func, args, kwargs, made)
        return made

    def add(self, q: Tensor, k: Tensor, v: Tensor, scores: Tensor, weights: Tensor, own: Tensor) -> None:
        """Keep one attention, with what the model computed of it."""
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
        lead = part.shape[:-2]
        if self.rows in lead[1:] and lead[0] != self.rows:
            part = part.movedim(lead.index(self.rows), 0)
        rows = self.rows if self.rows and math.prod(lead) % self.rows == 0 else 1
        return part.reshape(rows, -1, *part.shape[-2:])

    def _keep(self, made: Tensor, followed: _Followed) -> None:
        self.followed[id(made)] = followed
        self.kept.append(made)

    def _product(self, product: Product, made: Tensor) -> None:
        left, right = product.given
        attends, attended_to = self.followed.get(id(left)), self.followed.get(id(right))
        if attends is not None and attends.scores is not None:
            places = product.left(attends.places)
            self._mix(attends, places, product.left(left), product.right(right), product.out(made))
        elif attended_to is not None and attended_to.scores is not None:  # v^T weights^T
            parts = (product.right(attended_to.places), product.right(right), product.left(left))
            places, weights, v = (part.transpose(-1, -2) for part in parts)
            self._mix(attended_to, places, weights, v, product.out(made).transpose(-1, -2))
        else:
            q, k = product.left(left), product.right(right).transpose(-1, -2)
            order = torch.arange(made.numel(), device=made.device)
            places = torch.empty_like(order)
            places[product.out(order.view(made.shape)).flatten()] = order
            q, k = (part.reshape(-1, *part.shape[-2:]) for part in (q, k))
            self._keep(made, _Followed(q, k, places.view(made.shape)))

    def _mix(self, found: _Followed, places: Tensor, weights: Tensor, v: Tensor, own: Tensor) -> None:
        """Keep weights (..., T, S) times v (..., S, hd) where the weights of a query are a row of them."""
        assert found.scores is not None
        queries, keys = found.q.shape[1], found.k.shape[1]
        if weights.shape[-1] != keys or not weights.numel():
            return
        of = places.div(keys, rounding_mode="floor")  # which query of all, (..., T, S)
        matrix = of.div(queries, rounding_mode="floor")
        if (of != of[..., :1]).any() or (matrix != matrix[..., :1, :1]).any():
            return
        q = found.q.flatten(0, 1)[of[..., 0]]
        k = found.k.flatten(0, 1)[(matrix * keys + places % keys)[..., 0, :]]
        self.add(q, k, v, found.scores[places], weights, own)

    def _softmax(self, scores: Tensor, dim: int, made: Tensor) -> None:
        found = self.followed.get(id(scores))
        if found is None or found.scores is not None or scores.ndim == 0:
            return
        keys, queries = found.k.shape[1], found.q.shape[1]
        key = found.places % keys
        query = found.places.div(keys, rounding_mode="floor")
        if (query != query.narrow(dim, 0, 1)).any():
            if (key != key.narrow(dim, 0, 1)).any():
                return  # over several queries and keys at once
            matrix = query.div(queries, rounding_mode="floor")  # the keys were on the left
            places = (matrix * keys + key) * queries + query % queries
            found = _Followed(found.k, found.q, places)
        flat = torch.empty_like(scores).flatten()
        flat[found.places.flatten()] = scores.detach().flatten()
        self._keep(made, replace(found, scores=flat))

    def _follow(self, func: Any, args: Any, kwargs: dict[str, Any], made: Tensor) -> None:
        """What is made of followed numbers and has as many of them is followed, too, e.g. after a mask."""
        for part in (*args, *kwargs.values()):
            found = self.followed.get(id(part))
            if found is None or part is made or part.numel() != made.numel():
                continue
            places = found.places
            if getattr(func, "__name__", "") in LAYOUT:
                same = [places if given is part else given for given in args]
                places = func(*same, **{name: places if x is part else x for name, x in kwargs.items()})
            if places.shape == made.shape:
                self._keep(made, replace(found, places=places))
                return


def _softmax_arguments(
    input: Tensor, dim: int | None = None, *rest: Any, **kwargs: Any
) -> tuple[Tensor, int]:
    """Return what a softmax is computed of, and over which axis; without one as torch chooses it."""
    return input, dim if dim is not None else 0 if input.ndim in (0, 1, 3) else 1


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
