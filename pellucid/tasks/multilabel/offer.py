"""When multilabel classification is offered, and the config it suggests."""

from __future__ import annotations

from pellucid.data.contents import Contents
from pellucid.data.offers import Offer, Proposal
from pellucid.data.suggest import described, suggest_plain


def _propose(contents: Contents) -> Proposal | None:
    if contents.predicts != "multilabel":
        return None
    learns = f"which of several labels in {contents.dataset.target!r} a row has, from {described(contents)}"
    return Proposal(learns, 0.9, lambda budget: suggest_plain(contents, "multilabel"))


OFFERS = (Offer(("labels",), "a target of several labels a row", _propose),)
