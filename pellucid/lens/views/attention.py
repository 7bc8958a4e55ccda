"""Attention of a row, head by head: queries, keys, values, scores, mask, weights, and what is mixed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pellucid.lens.views.attention_ops import Attended, attended
from pellucid.lens.views.catalogue import View
from pellucid.lens.views.seen import Panel, Rows, Seen
from pellucid.lens.views.subject import Subject, array, choose_layer

SHOWN = 2
"""Heads that are drawn."""


@dataclass(frozen=True)
class AttentionLayer:
    """One attention, of one row.

    Attributes:
        name: the module that computed it.
        q: (nh, T, hd); k, v: (nh, S, hd), after rotations, if there are any.
        scores: (nh, T, S), what the softmax receives; -inf where masked.
        mask: (nh, T, S), True where attention is allowed.
        weights: (nh, T, S); each row adds up to 1, or is 0 where a query has no key.
        mixed: (nh, T, hd), weights @ v.
        error: the largest |mixed - what the model computed| of the batch; of `nn.MultiheadAttention` of its
            output.
        queries, keys: what stands at the T and S positions: words, or numbers.
    """

    name: str
    q: np.ndarray
    k: np.ndarray
    v: np.ndarray
    scores: np.ndarray
    mask: np.ndarray
    weights: np.ndarray
    mixed: np.ndarray
    error: float
    queries: list[str]
    keys: list[str]

    def entropy(self) -> np.ndarray:
        """Return the mean entropy of the rows of each head in bits, (nh,); log2 S where all are equal."""
        logs = np.log2(np.where(self.weights > 0, self.weights, 1.0))
        return -(self.weights * logs).sum(-1).mean(-1)


@dataclass(frozen=True)
class Attention(Seen):
    """Attention of the layers of a model, of one row.

    Attributes:
        row: of the batch.
        layers: one for each attention, in the order in which they are computed.
    """

    view = "attention"
    row: int
    layers: list[AttentionLayer]

    @property
    def error(self) -> float:
        """The largest difference from what the model computed."""
        return max(layer.error for layer in self.layers)

    @property
    def headline(self) -> str:
        heads = sum(len(layer.weights) for layer in self.layers)
        return (
            f"Row {self.row}: {len(self.layers)} layers with {heads} heads. weights @ v is what the model "
            f"computed, to within {self.error:.2g}"
        )

    def panels(self) -> list[Panel | Rows]:
        """Return the weights of the first heads of the first layer, and numbers of all heads."""
        first = self.layers[0]
        made: list[Panel | Rows] = []
        for head, weights in enumerate(first.weights[:SHOWN]):
            title = f"{first.name}, head {head}: queries down, keys across"
            made.append(Panel(title, weights, "magnitude", first.queries, square=False))
        return [*made, Rows("all heads", HEADS, [cells for layer in self.layers for cells in _heads(layer)])]


HEADS = ["layer", "head", "entropy, bits", "distance", "on itself", "on the first", "largest weight"]


def _heads(layer: AttentionLayer) -> list[list[object]]:
    heads, queries, keys = layer.weights.shape
    away = np.abs(np.arange(queries)[:, None] - np.arange(keys)[None])
    same = np.trace(layer.weights, axis1=1, axis2=2) / queries
    return [
        [
            layer.name,
            head,
            float(layer.entropy()[head]),
            float((layer.weights[head] * away).sum(-1).mean()),
            float(same[head]),
            float(layer.weights[head, :, 0].mean()),
            float(layer.weights[head].max()),
        ]
        for head in range(heads)
    ]


def attention(subject: Subject, layer: str | None = None, row: int = 0) -> Attention:
    """Return the attention of a row, in all layers or one.

    Args:
        subject: a model and its batch.
        layer: the name of the module that computes it; None: all.
        row: of the batch.
    """
    row = subject.check_row(row)
    found = attended(subject)
    if layer is not None:
        name = choose_layer(layer, [one.name for one in found])
        found = [one for one in found if one.name == name]
    return Attention(row, [_of_row(one, row, subject) for one in found])


def _of_row(one: Attended, row: int, subject: Subject) -> AttentionLayer:
    at = min(row, len(one.weights) - 1)
    q, k, v, scores, mask, weights, mixed = (
        array(part[at]) for part in (one.q, one.k, one.v, one.scores, one.allowed, one.weights, one.mixed)
    )
    places = (subject.labels(size, row) for size in weights.shape[1:])
    return AttentionLayer(one.name, q, k, v, scores, mask, weights, mixed, one.error, *places)


def has_no_attention(subject: Subject) -> str:
    """Say why a subject has no attention to show; "" where it has."""
    return "" if attended(subject) else "computes no attention, softmax(q k) v"


VIEW = View("attention", "q, k, v, scores, mask and weights of every head", has_no_attention, attention)
