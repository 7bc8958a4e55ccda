"""A model that returns probabilities where the loss expects logits."""

from __future__ import annotations

from pellucid.diagnosis import contracts
from pellucid.diagnosis.facts import Facts
from pellucid.diagnosis.rule import Rule
from pellucid.diagnosis.rules.pairing import where_outputs_are_made
from pellucid.diagnosis.watched import Watched
from pellucid.record import Finding

PROBABILITIES = ("softmax", "sigmoid")


def check(facts: Facts) -> Finding | None:
    """Report a softmax or sigmoid before a loss that applies it itself: of a run, or of a watched loop."""
    if facts.activation:
        loss = "cross_entropy" if facts.activation == "softmax" else "binary_logits"
        return contracts.activation_before_loss(facts.activation, loss)
    return None if facts.watched is None else _in_loop(facts.watched)


def _in_loop(watched: Watched) -> Finding | None:
    graph, look = watched.graph, watched.first
    if graph is None:
        return None
    head, loss = graph.head, graph.loss
    name = ""
    if loss == "binary_logits" or (loss == "cross_entropy" and "log_softmax" not in head):
        name = next((op for op in head[:2] if op in PROBABILITIES), "")
    if not name and graph.compiled and loss == "cross_entropy" and look and look.outputs:
        name = "softmax" if look.outputs.row_sums else ""
    if not name:
        return None
    return contracts.activation_before_loss(name, loss, where_outputs_are_made(watched))


RULES = (Rule("activation-before-loss", (), check, any_of=("activation", "watched")),)
