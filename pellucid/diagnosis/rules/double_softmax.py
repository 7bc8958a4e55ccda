"""A model that returns probabilities where the loss expects logits."""

from __future__ import annotations

from pellucid.diagnosis.facts import Facts
from pellucid.diagnosis.rule import Rule
from pellucid.record import Finding


def check(facts: Facts) -> Finding | None:
    """Report outputs that are 0 or more and sum to 1 in every row, or lie between 0 and 1."""
    if not facts.activation:
        return None
    return Finding(
        "double-softmax",
        "warning",
        f"The outputs of the model are probabilities: it ends with a {facts.activation}.",
        f"The loss expects logits and applies a {facts.activation} itself. Applied twice, no probability can "
        "come near 0 or 1, the loss cannot become small, and learning is slow.",
        f"leave the {facts.activation} out of the model; predict still gives probabilities",
        confidence=0.95,
    )


RULES = (Rule("double-softmax", needs=("activation",), check=check),)
