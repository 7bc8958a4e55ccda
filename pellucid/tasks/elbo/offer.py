"""When a variational autoencoder is offered, and the config it suggests."""

from __future__ import annotations

from functools import partial

from pellucid.data.contents import Contents
from pellucid.data.offers import Offer, Proposal, Suggestion
from pellucid.tasks.shared.image_offers import PICTURES, likelihood, suggest_pictures

FEW = 8
"""Training images below which batch norm, which needs several, is not suggested."""


def _propose(contents: Contents) -> Proposal | None:
    if contents.image is None:
        return None
    learns = "to describe pictures by a point in a space in which every point is a picture"
    return Proposal(learns, likelihood(contents, 0.45, 0.25), partial(_suggest, contents))


def _suggest(contents: Contents, budget: float | None = None) -> Suggestion:
    model = {"name": "vae", **({"options": {"norm": "layer"}} if contents.rows < FEW else {})}
    return suggest_pictures(
        contents,
        "elbo",
        "images as points of a latent space, a variational autoencoder",
        model,
        "a variational autoencoder, which generates smooth pictures and also from few examples",
        schedule={"name": "one_cycle", "options": {"peak_at": 0.1}},
    )


OFFERS = (Offer(("vae", "latent-space"), PICTURES, _propose),)
