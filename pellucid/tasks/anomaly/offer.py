"""When anomaly detection is offered, and the config it suggests."""

from __future__ import annotations

from collections import Counter
from functools import partial

from pellucid.data.contents import Contents
from pellucid.data.offers import Offer, Proposal, Suggestion
from pellucid.data.targets.classes import class_codes
from pellucid.tasks.anomaly.normal_name import named_normal
from pellucid.tasks.shared.image_offers import likelihood, suggest_pictures


def _propose(contents: Contents) -> Proposal | None:
    """Propose to learn the class that is called good, the only one of training, or the most frequent."""
    if contents.image is None:
        return None
    normal, sure = _normal(contents)
    if normal is None:
        learns = "what these pictures look like, to find those that do not"
        return Proposal(learns, likelihood(contents, 0.4, 0.1), partial(_suggest, contents, None))
    learns = f"what {normal!r} looks like, to find pictures that do not"
    return Proposal(learns, 0.95 if sure else 0.2, partial(_suggest, contents, normal))


def _normal(contents: Contents) -> tuple[str | None, bool]:
    """Return the class to learn, and whether it is likely that anomalies are what the data is for."""
    classes = contents.classes
    if not classes:
        return None, False
    column = contents.dataset.column(str(contents.dataset.target))
    codes = Counter(class_codes(column, contents.table[column.name]).tolist())
    if len(codes) == 1:
        return classes[next(iter(codes))], True
    return named_normal(classes) or classes[codes.most_common(1)[0][0]], False


def _suggest(contents: Contents, normal: str | None, budget: float | None = None) -> Suggestion:
    return suggest_pictures(
        contents,
        "anomaly",
        f"images unlike {normal or 'the others'}, by how each place looks in these",
        {"name": "padim"},
        "PaDiM: a network that finds what was pasted into pictures, and how its features vary at each place",
        objective={"options": {"normal": normal} if normal else {}},
        optimizer={"name": "adamw", "lr": 2e-3},
        schedule={"name": "one_cycle", "options": {"peak_at": 0.2}},
    )


OFFERS = (
    Offer(("anomaly", "anomalies", "defects"), "pictures, of one class or with one that is normal", _propose),
)
