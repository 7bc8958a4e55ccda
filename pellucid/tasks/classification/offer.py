"""When classification is offered, and the config it suggests."""

from __future__ import annotations

from functools import partial

from pellucid.data.compute import pc
from pellucid.data.contents import Contents
from pellucid.data.kinds.kind import MANY
from pellucid.data.offers import Offer, Proposal, Suggestion
from pellucid.data.parse import whole
from pellucid.data.suggest import described, suggest_plain

SHOWN = 4


def _propose(contents: Contents) -> Proposal | None:
    """Propose to predict classes; numbers only if they are whole and few, and nobody said otherwise."""
    dataset = contents.dataset
    if contents.predicts == "classification":
        names = ", ".join(dataset.classes[:SHOWN]) + (" ..." if len(dataset.classes) > SHOWN else "")
        learns = f"the class in {dataset.target!r} ({names}) from {described(contents)}"
        return Proposal(learns, 0.9, partial(_suggest, contents, False))
    if contents.predicts == "regression" and not contents.fixed and _are_few(contents):
        learns = f"{dataset.target!r} as a class, one for each of its numbers"
        return Proposal(learns, 0.2, partial(_suggest, contents, True))
    return None


def _suggest(contents: Contents, as_classes: bool, budget: float | None = None) -> Suggestion:
    columns = {**contents.config.columns, contents.dataset.target: "category"} if as_classes else None
    return suggest_plain(contents, "classification", {"columns": columns} if columns else None)


def _are_few(contents: Contents) -> bool:
    assert contents.dataset.target is not None
    values = contents.table[contents.dataset.target]
    if contents.dataset.column(contents.dataset.target).kind != "number" or not whole(values):
        return False
    return pc.count_distinct(values).as_py() <= min(MANY, len(values) // 2)


OFFERS = (Offer(("classify", "classes"), "a target of classes, with several rows each", _propose),)
