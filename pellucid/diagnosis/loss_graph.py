"""How a loss is computed, as plain values that rules read."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class LossGraph:
    """How the loss is computed, read from autograd's graph of one step.

    Attributes:
        ops: operations from the loss to the last layers with weights, without those that only move or scale
            values: ("nll_loss", "log_softmax", "softmax").
        expanded: outputs were expanded to the shape of the targets, or the reverse.
        compared: shape of the last tensor that is not a single number, from which the loss is averaged.
        reached: parameters that the loss depends on.
        layers: number of linear and convolution operations.
        bare: number of layers whose input comes from another layer without a nonlinearity between.
        nonlinear: names of the nonlinear operations.
        nodes: operations in all; where it grows, a step depends on the steps before it.
        scrambled: an axis of classes was cut by a view or reshape, not moved by a transpose: (from, to).
        ignored: the class that a cross-entropy leaves out; None where that is not known.
        unscaled_attention: number of softmax operations right after a product of two activations.
        over_rows: a softmax between the last layers and the loss runs over the rows, not the classes.
        weighted: the loss weighs classes.
        compiled: parts of the graph are compiled or recomputed, so that operations in them are not known.
    """

    ops: tuple[str, ...]
    expanded: bool = False
    compared: tuple[int, ...] = ()
    reached: frozenset[str] = frozenset()
    layers: int = 0
    bare: int = 0
    nonlinear: frozenset[str] = frozenset()
    nodes: Sequence[int] = ()
    scrambled: tuple[tuple[int, ...], tuple[int, ...]] | None = None
    ignored: int | None = None
    over_rows: bool = False
    unscaled_attention: int = 0
    weighted: bool = False
    compiled: bool = False

    def has(self, *names: str) -> bool:
        """Whether one of these operations stands between the loss and the last layers."""
        return any(name in self.ops for name in names)

    @property
    def loss(self) -> str:
        """The kind of loss: cross_entropy, nll, binary, binary_logits, squared, absolute; "" if unknown."""
        return loss_kind(self.ops)

    @property
    def head(self) -> tuple[str, ...]:
        """The operations between the last layers and the loss function, nearest to the loss first."""
        known = [i for i, op in enumerate(self.ops) if op in LOSSES]
        after = self.ops[known[0] + 1 :] if known else self.ops
        return after[1:] if self.loss == "cross_entropy" and after[:1] == ("log_softmax",) else after


LOSSES = {
    "nll_loss": "nll",
    "nll_loss2d": "nll",
    "binary_cross_entropy_with_logits": "binary_logits",
    "binary_cross_entropy": "binary",
    "mse_loss": "squared",
    "l1_loss": "absolute",
    "smooth_l1_loss": "absolute",
    "huber_loss": "absolute",
}
"""Kinds of loss by the operation of autograd that computes them."""


def loss_kind(ops: Collection[str]) -> str:
    """Return the kind of loss that operations compute, see `LossGraph.loss`; "" if unknown."""
    kind = next((kind for name, kind in LOSSES.items() if name in ops), "")
    return "cross_entropy" if "log_softmax" in ops and kind in ("", "nll") else kind
