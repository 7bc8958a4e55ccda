"""When metric learning is offered, and the config it suggests."""

from __future__ import annotations

from functools import partial

from pellucid.data.contents import Contents
from pellucid.data.offers import Offer, Proposal, Suggestion
from pellucid.data.suggest import batch_size, epochs_reason, image_data, number_of_epochs, suggestion


def _propose(contents: Contents) -> Proposal | None:
    if contents.predicts != "classification":
        return None
    learns = f"numbers by which rows of one {contents.dataset.target!r} are near each other"
    return Proposal(learns, 0.4 if contents.image else 0.15, partial(_suggest, contents))


def _suggest(contents: Contents, budget: float | None = None) -> Suggestion:
    rows = contents.rows
    batch = max(64, batch_size(rows))
    epochs = number_of_epochs(rows, batch)
    return suggestion(
        contents,
        "metric_learning",
        f"embeddings in which rows of one {contents.dataset.target!r} are near each other",
        data=image_data(contents) if contents.image_size else {},
        model={"name": "siamese"},
        optimizer={"name": "adamw", "lr": 1e-3},
        schedule={"name": "cosine"},
        train={"epochs": epochs, "batch_size": batch},
        reasons=("batches of at least 64, in which rows are compared", epochs_reason(rows, batch, epochs)),
    )


OFFERS = (Offer(("embed", "embedding", "similar", "retrieval"), "rows with classes", _propose),)
