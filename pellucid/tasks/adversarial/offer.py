"""When a GAN is offered, and the config it suggests."""

from __future__ import annotations

from functools import partial

from pellucid.data.contents import Contents
from pellucid.data.offers import Offer, Proposal, Suggestion
from pellucid.tasks.shared.image_offers import PICTURES, likelihood, suggest_pictures

FEW = 200
"""From fewer pictures a GAN learns little, and is not what is offered first."""


def _propose(contents: Contents) -> Proposal | None:
    if contents.image is None:
        return None
    conditional = contents.predicts == "classification"
    learns = "to draw new pictures like these" + (", of each class" if conditional else "")
    first = 0.8 if contents.rows >= FEW else 0.5
    return Proposal(learns, likelihood(contents, first, 0.35), partial(_suggest, contents, conditional))


def _suggest(contents: Contents, conditional: bool, budget: float | None = None) -> Suggestion:
    return suggest_pictures(
        contents,
        "adversarial",
        "images from noise, a convolutional GAN",
        {"name": "dcgan", "size": "small", "options": {"conditional": True} if conditional else {}},
        "a convolutional GAN" + (" with the class to draw as an input" if conditional else ""),
        optimizer={"name": "adam", "lr": 5e-4, "options": {"betas": [0.5, 0.999]}},
        schedule={"name": "cosine"},
        train={"ema": 0.999, "restore_best": False},
    )


OFFERS = (Offer(("generate", "generation", "gan"), PICTURES, _propose),)
