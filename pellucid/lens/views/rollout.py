"""Attention rollout: how much every input token arrives at every output token, through all layers.

Abnar and Zuidema 2020, Quantifying Attention Flow in Transformers: the heads of a layer are averaged, the
residual connection is half of it, and the layers are multiplied: R = prod (A / 2 + I / 2).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pellucid.errors import UsageError
from pellucid.lens.views.attention_ops import Attended, attended
from pellucid.lens.views.catalogue import View
from pellucid.lens.views.seen import Panel, Rows, Seen
from pellucid.lens.views.subject import Subject, array, choose_layer

ACROSS = re.compile(r"cross|enc_?dec|encoder_attn|multihead_attn", re.IGNORECASE)
"""Names of modules in which a decoder attends to an encoder."""


@dataclass(frozen=True)
class Rollout(Seen):
    """Attention through all layers, of one row.

    Attributes:
        row: of the batch.
        weights: (T, T): how much of each input token (across) is in each output token (down); rows add up
            to 1.
        layers: the names of the layers that were multiplied, the first first.
        tokens: what stands at each of the T positions: words, or numbers.
    """

    view = "rollout"
    row: int
    weights: np.ndarray
    layers: list[str]
    tokens: list[str]

    @property
    def headline(self) -> str:
        return f"Row {self.row}: attention through {len(self.layers)} layers, of {len(self.weights)} tokens"

    def panels(self) -> list[Panel | Rows]:
        """Return the map, and which input tokens the outputs consist of on average."""
        mean = self.weights.mean(0)
        order = np.argsort(-mean)[:8]
        return [
            Panel("outputs down, inputs across", self.weights, "magnitude", self.tokens, square=False),
            Rows(
                "most seen",
                ["position", "token", "share"],
                [[int(i), self.tokens[i], float(mean[i])] for i in order],
            ),
        ]


def rollout(subject: Subject, layers: Sequence[str] | None = None, row: int = 0) -> Rollout:
    """Return attention rollout of a row.

    Args:
        subject: a model and its batch.
        layers: names of the layers to multiply; None: all in which tokens attend to tokens of the same text,
            of a model with an encoder and a decoder those of the encoder.
        row: of the batch.

    Raises:
        UsageError: no layers, or layers of different lengths.
    """
    row = subject.check_row(row)
    found = attended(subject)
    if layers is None:
        chosen = own_attention(found)
    else:
        names = [choose_layer(name, [one.name for one in found]) for name in layers]
        chosen = [one for one in found if one.name in names]
    sizes = {one.weights.shape[-2:] for one in chosen}
    if len(sizes) != 1 or any(queries != keys for queries, keys in sizes):
        raise UsageError(
            f"Rollout multiplies layers of as many queries as keys, received {sorted(map(tuple, sizes))}.",
            remedy="layers=[...] of one length",
        )
    total = rolled([array(one.weights[min(row, len(one.weights) - 1)]) for one in chosen])
    return Rollout(row, total, [one.name for one in chosen], subject.labels(len(total), row))


def rolled(weights: Sequence[np.ndarray]) -> np.ndarray:
    """Multiply the attention (nh, T, T) of layers, the first first, each half of it the residual."""
    total = np.eye(weights[0].shape[-1])
    for layer in weights:
        total = (0.5 * layer.astype(np.float64).mean(0) + 0.5 * np.eye(len(total))) @ total
    return total


def own_attention(found: Sequence[Attended]) -> list[Attended]:
    """Return the attention of tokens to those of the same text; of an encoder where there is a decoder."""
    own = [one for one in found if not ACROSS.search(one.name)]
    encoder = [one for one in own if "decoder" not in one.name.lower()]
    chosen = encoder or own
    return [one for one in chosen if one.weights.shape[-2:] == chosen[0].weights.shape[-2:]]


def _unfit(subject: Subject) -> str:
    chosen = own_attention(attended(subject))
    if not chosen:
        return "computes no attention, softmax(q k) v"
    queries, keys = chosen[0].weights.shape[-2:]
    return "" if queries == keys else "has no layer in which tokens attend to each other"


VIEW = View("rollout", "how much every input token arrives at every output token", _unfit, rollout)
