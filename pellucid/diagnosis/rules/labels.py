"""Labels of training rows that the model keeps contradicting (Pleiss et al. 2020)."""

from __future__ import annotations

from pellucid.diagnosis.facts import Facts
from pellucid.diagnosis.rule import Rule
from pellucid.diagnosis.wording import listed, percent
from pellucid.record import Finding

MANY = 0.02
"""Share of wrong labels from which on they are worth a warning."""


def check(facts: Facts) -> Finding | None:
    """Report wrong labels where the margins of the training rows fall into two groups."""
    labels = facts.labels
    if labels is None or labels.wrong is None or not labels.suspected:
        return None
    share = labels.wrong / labels.rows
    pairs = [f"{label!r} that looks like {other!r} ({rows:,})" for label, other, rows in labels.pairs]
    sure = "" if labels.precision is None else f", of which about {percent(labels.precision)} are wrong"
    return Finding(
        "suspicious-labels",
        "warning" if share >= MANY else "note",
        f"About {labels.wrong:,} of {labels.rows:,} training labels ({percent(share)}) look wrong: averaged "
        f"over the epochs, the model says something else. {labels.suspected:,} rows are suspected{sure}: "
        f"{listed(pairs)}.",
        "Wrong labels are memorized: they cost accuracy on new rows, and make training loss and "
        "validation loss drift apart.",
        "look at the rows in the report or with `pellucid labels RUN`, correct their labels or leave them "
        "out, and train again",
        {} if facts.setting.own_loss else {"objective.label_smoothing": 0.1},
        where="data:targets",
        confidence=_confidence(labels.separation or 0.0),
    )


def _confidence(separation: float) -> float:
    """Rises with the distance of the groups: 0.6 where they just show, 0.95 where they are clear."""
    return round(min(0.95, max(0.6, 0.6 + 0.3 * (separation - 1.3))), 2)


RULES = (Rule("suspicious-labels", needs=("labels",), check=check),)
