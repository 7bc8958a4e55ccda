"""When forecasting is offered, and the config it suggests."""

from __future__ import annotations

from functools import partial

from pellucid.data.contents import Contents
from pellucid.data.offers import Offer, Proposal, Suggestion
from pellucid.data.suggest_series import find_series, suggest_series


def _propose(contents: Contents) -> Proposal | None:
    """Propose to forecast numbers whose rows follow each other in time, if nothing else was asked for."""
    found = find_series(contents.dataset, contents.config)
    suggest = partial(_suggest, contents)
    if found is not None:
        several = f" of each {found.ids[0]!r}" if found.ids else ""
        learns = f"the next rows{several} from the last: {found.every}"
        return Proposal(learns, 0.5 if contents.named_target else 0.95, suggest)
    numbers = any(column.kind == "number" for column in contents.dataset.columns)
    if contents.image is not None or not numbers:
        return None
    return Proposal("the next rows of its numbers, if the rows are in the order of time", 0.02, suggest)


def _suggest(contents: Contents, budget: float | None = None) -> Suggestion:
    return suggest_series(contents)


OFFERS = (Offer(("forecast",), "numbers in the order of time", _propose),)
