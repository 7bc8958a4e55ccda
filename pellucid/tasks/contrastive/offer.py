"""When learning from views of pictures is offered, and the config it suggests."""

from __future__ import annotations

from functools import partial

from pellucid.data.contents import Contents
from pellucid.data.offers import Offer, Proposal, Suggestion
from pellucid.data.suggest import batch_size
from pellucid.tasks.shared.image_offers import likelihood, suggest_pictures


def _propose(contents: Contents) -> Proposal | None:
    if contents.image is None:
        return None
    learns = "which pictures are similar, as numbers: two views of one picture lie near each other"
    return Proposal(learns, likelihood(contents, 0.55, 0.18), partial(_suggest, contents))


def _suggest(contents: Contents, budget: float | None = None) -> Suggestion:
    return suggest_pictures(
        contents,
        "contrastive",
        "embeddings of images without classes, from two views of each",
        {"name": "siamese", "size": "small"},
        "a small CNN, in batches of at least 64 pictures, of which each is compared with all others",
        schedule={"name": "cosine", "warmup_steps": 20},
        train={"batch_size": max(64, batch_size(contents.rows))},
    )


OFFERS = (Offer(("embed", "simclr", "similar", "embedding"), "pictures, with or without classes", _propose),)
