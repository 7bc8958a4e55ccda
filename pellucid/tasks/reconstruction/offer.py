"""When reconstruction is offered: to compress pictures, or to remove noise from them."""

from __future__ import annotations

from pellucid.data.contents import Contents
from pellucid.data.offers import Offer, Proposal, Suggestion
from pellucid.tasks.shared.image_offers import PICTURES, likelihood, suggest_pictures

NOISE = 0.2
"""Standard deviation of the noise that a suggested denoiser removes; pixels are in 0..1."""


def _compress(contents: Contents) -> Proposal | None:
    if contents.image is None:
        return None

    def suggest(budget: float | None) -> Suggestion:
        return suggest_pictures(
            contents,
            "reconstruction",
            "images, compressed to a few numbers and reconstructed",
            {"name": "autoencoder"},
            "an autoencoder, compared with PCA of the same number of values",
        )

    learns = "to describe each picture by a few numbers, and to draw it again from them"
    return Proposal(learns, likelihood(contents, 0.65, 0.3), suggest)


def _denoise(contents: Contents) -> Proposal | None:
    if contents.image is None:
        return None

    def suggest(budget: float | None) -> Suggestion:
        return suggest_pictures(
            contents,
            "reconstruction",
            f"noise of standard deviation {NOISE} removed from images, a U-Net",
            {"name": "unet", "size": "tiny", "options": {"residual": True}},
            "a U-Net, which predicts the noise and keeps fine edges",
            objective={"options": {"noise": NOISE}},
            optimizer={"name": "adamw", "lr": 2e-3},
        )

    learns = f"to remove noise: of standard deviation {NOISE}, pixels being in 0..1"
    return Proposal(learns, likelihood(contents, 0.6, 0.28), suggest)


OFFERS = (
    Offer(("compress", "reconstruct", "autoencoder"), PICTURES, _compress),
    Offer(("denoise", "denoising"), PICTURES, _denoise),
)
