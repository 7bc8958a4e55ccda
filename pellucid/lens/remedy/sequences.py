"""Remedies of recurrent networks and Transformers."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from pellucid.lens.remedy.hooks import layers_of, put, with_all_parameters
from pellucid.lens.remedy.layers import untied
from pellucid.lens.remedy.parts import Parts, Unfit
from pellucid.lens.remedy.registry import Case, remedy
from pellucid.lens.remedy.rows import all_rows, put_rows

SWITCHES = ("causal", "is_causal", "masked", "use_mask", "autoregressive")
BLOCKED = -1e9


@remedy(
    "batch-first",
    "rows-mixed",
    words="the batch is the first axis of the recurrent layers",
    size=1,
    edit="batch_first=True",
)
def batch_first(parts: Parts, case: Case) -> Parts:
    found: list[Any] = [one for one in parts.module.modules() if getattr(one, "batch_first", True) is False]
    if not found:
        raise Unfit("every layer has the batch first")
    for one in found:
        one.batch_first = True
    return parts


@remedy(
    "causal-switch",
    "future-visible",
    words="the layers' own switch of the causal mask is on",
    size=1,
    edit="causal=True",
)
def causal_switch(parts: Parts, case: Case) -> Parts:
    count = 0
    for one in parts.module.modules():
        for name in SWITCHES:
            if getattr(one, name, None) is False:
                setattr(one, name, True)
                count += 1
    if not count:
        raise Unfit("no layer has a switch that is off")
    return parts


class _Causal(TorchFunctionMode):
    """Within it, softmax over a square of scores sees no later place, and square masks of the model are not
    applied, since they may be the wrong way round."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        named = dict(kwargs or {})
        name = getattr(func, "__name__", "")
        if name in ("masked_fill", "masked_fill_") and all(map(_square, args[:2])):
            return args[0]
        if name == "softmax" and _square(args[0]):
            return func(args[0].masked_fill(_future(args[0]), BLOCKED), *args[1:], **named)
        if name == "scaled_dot_product_attention":
            named.pop("attn_mask", None)
            return func(*args[:3], **{**named, "is_causal": True})
        return func(*args, **named)


def _square(one: Any) -> bool:
    return isinstance(one, Tensor) and one.ndim >= 2 and one.shape[-1] == one.shape[-2] > 1


def _future(scores: Tensor) -> Tensor:
    length = scores.shape[-1]
    return torch.ones(length, length, dtype=torch.bool, device=scores.device).triu(1)


@remedy(
    "causal-mask",
    "future-visible",
    "mask-inverted",
    words="every attention sees only earlier places",
    size=3,
    edit="scores.masked_fill(torch.ones(T, T).triu(1).bool(), -inf) before the softmax",
)
def causal_mask(parts: Parts, case: Case) -> Parts:
    model = parts.module
    plain = model.forward

    def forward(*given: Any, **named: Any) -> Any:
        with _Causal():
            return plain(*given, **named)

    model.forward = forward
    return parts


@remedy(
    "own-projections",
    "shared-projections",
    words="queries, keys and values have projections of their own",
    size=4,
    edit="a layer of its own for each of q, k and v",
)
def own_projections(parts: Parts, case: Case) -> Parts:
    return untied(parts)


@remedy(
    "next-tokens",
    "targets-are-inputs",
    words="the targets are the next tokens",
    size=2,
    edit="inputs = tokens[:, :-1], targets = tokens[:, 1:]",
)
def next_tokens(parts: Parts, case: Case) -> Parts:
    x, y = all_rows(parts)
    if x.shape != y.shape or x.ndim != 2 or not torch.equal(x, y):
        raise Unfit("the targets are not the inputs")
    return put_rows(parts, x[:, :-1].contiguous(), x[:, 1:].contiguous())


@remedy(
    "positions",
    "no-positions",
    "positions-unread",
    words="learned positions are added to the embeddings",
    size=4,
    edit="embeddings + nn.Parameter(torch.randn(length, size) * 0.02)",
)
def positions(parts: Parts, case: Case) -> Parts:
    found = [one for _, one in layers_of(parts.module, nn.Embedding)]
    inputs = all_rows(parts)[0]
    if not found or inputs.is_floating_point() or inputs.ndim != 2:
        raise Unfit("the model does not embed tokens")
    place = nn.Parameter(torch.randn(inputs.shape[1], found[0].embedding_dim).to(found[0].weight) * 0.02)
    found[0].register_parameter("positions", place)
    found[0].register_forward_hook(lambda _, __, made: made + place[: made.shape[-2]])
    return with_all_parameters(parts)


@remedy(
    "gru",
    "exploding-gradients",
    "vanishing-gradients",
    "initial-weights-too-large",
    "saturated-activations",
    "learning-rate-too-high",
    words="the recurrent layer is a GRU",
    size=5,
    edit="nn.GRU instead of nn.RNN",
)
def gru(parts: Parts, case: Case) -> Parts:
    found = list(layers_of(parts.module, nn.RNN))
    if not found:
        raise Unfit("there is no nn.RNN")
    for name, old in found:
        new = nn.GRU(
            old.input_size,
            old.hidden_size,
            old.num_layers,
            old.bias,
            old.batch_first,
            old.dropout,
            old.bidirectional,
        )
        put(parts.module, name, new)
    return with_all_parameters(parts)
