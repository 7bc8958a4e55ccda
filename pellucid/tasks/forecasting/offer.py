"""When forecasting is offered, and the config it suggests."""

from __future__ import annotations

from functools import partial

from pellucid.data.contents import Contents
from pellucid.data.offers import Offer, Proposal, Suggestion
from pellucid.data.panel import TIME_NAMES
from pellucid.data.suggest_series import SeriesHint, find_series, suggest_series


def _propose(contents: Contents) -> Proposal | None:
    """Propose to forecast numbers whose rows follow each other in time, if nothing else was asked for."""
    found = find_series(contents.dataset, contents.config)
    suggest = partial(_suggest, contents)
    if found is not None:
        several = f" of each {found.ids[0]!r}" if found.ids else ""
        learns = f"the next rows{several} from the last: {found.every}"
        doubted = contents.named_target and not _has_only_times(contents, found)
        return Proposal(learns, 0.5 if doubted else 0.95, suggest)
    numbers = any(column.kind == "number" for column in contents.dataset.columns)
    if contents.image is not None or not numbers:
        return None
    return Proposal("the next rows of its numbers, if the rows are in the order of time", 0.02, suggest)


def _has_only_times(contents: Contents, found: SeriesHint) -> bool:
    """Whether there is nothing to learn the target from but the time and the name of the series."""
    return not any(
        column.kind != "date" and column.name not in found.ids and column.name.lower() not in TIME_NAMES
        for column in contents.dataset.inputs
    )


def _suggest(contents: Contents, budget: float | None = None) -> Suggestion:
    return suggest_series(contents)


OFFERS = (Offer(("forecast",), "numbers in the order of time", _propose),)
