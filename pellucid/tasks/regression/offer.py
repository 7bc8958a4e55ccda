"""When regression is offered, and the config it suggests."""

from __future__ import annotations

from functools import partial

from pellucid.data.contents import Contents
from pellucid.data.offers import Offer, Proposal, Suggestion
from pellucid.data.suggest import described, suggest_plain


def _propose(contents: Contents) -> Proposal | None:
    """Propose to predict numbers, also those that would be read as classes."""
    dataset = contents.dataset
    if contents.predicts == "regression":
        learns = f"the number in {dataset.target!r} from {described(contents)}"
        return Proposal(learns, 0.9, partial(_suggest, contents, False))
    if contents.predicts == "classification" and _are_numbers(contents):
        learns = f"{dataset.target!r} as an amount instead of a class"
        return Proposal(learns, 0.2, partial(_suggest, contents, True))
    return None


def _suggest(contents: Contents, as_numbers: bool, budget: float | None = None) -> Suggestion:
    columns = {**contents.config.columns, contents.dataset.target: "number"} if as_numbers else None
    return suggest_plain(contents, "regression", {"columns": columns} if columns else None)


def _are_numbers(contents: Contents) -> bool:
    """Return whether the classes are numbers of a table, which can be read as amounts too."""
    if contents.fixed or contents.image is not None or contents.dataset.target is None:
        return False
    column = contents.dataset.column(contents.dataset.target)
    try:
        return "declared" not in column.reason and bool([float(name) for name in column.categories])
    except ValueError:
        return False


OFFERS = (Offer(("regress", "amount"), "a target of numbers", _propose),)
