"""Between two rows in latent space: what the model decodes on the way from one to the other."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pellucid.errors import UsageError
from pellucid.lens.views.catalogue import View
from pellucid.lens.views.latent_space import latent_space, no_latent_space
from pellucid.lens.views.seen import Panel, Rows, Seen, flat_picture, mosaic
from pellucid.lens.views.subject import Subject, array

KINDS = ("linear", "spherical")
PARALLEL = 1e-6
"""Sine of an angle below which a spherical way is a straight one."""


@dataclass(frozen=True)
class Interpolation(Seen):
    """What lies between two codes.

    Attributes:
        ends: the two rows of the batch, or numbers of the noise of a GAN.
        kind: "linear" or "spherical".
        weights: (n,) from 0, the first, to 1, the second.
        codes: (n, D).
        decoded: (n, ...) what the model makes of each.
    """

    view = "interpolation"
    ends: tuple[int, int]
    kind: str
    weights: np.ndarray
    codes: np.ndarray
    decoded: np.ndarray

    @property
    def headline(self) -> str:
        first, last = self.ends
        return f"{len(self.codes)} codes of {self.codes.shape[1]} numbers from {first} to {last}, {self.kind}"

    def panels(self) -> list[Panel | Rows]:
        """Return the decoded rows next to each other."""
        return picture_strip("from the first to the second", self.decoded)


def interpolation(
    subject: Subject, ends: tuple[int, int] = (0, 1), kind: str = "", points: int = 7, seed: int = 0
) -> Interpolation:
    """Return what the model decodes between two rows.

    Args:
        subject: an autoencoder and its batch, or a GAN.
        ends: two rows of the batch; of a GAN two vectors of noise, by their numbers.
        kind: "linear", or "spherical" (Shoemake 1985), which keeps the length that noise from N(0, I) has
            (White 2016); "": spherical for a GAN and a variational autoencoder, else linear.
        points: number of codes, with both ends.
        seed: of the noise of a GAN.

    Raises:
        UsageError: another kind, fewer than 2 points, or there are no such rows.
    """
    space = latent_space(subject)
    kind = kind or ("spherical" if space.normal else "linear")
    if kind not in KINDS:
        raise UsageError(f"kind={kind!r} expects one of {', '.join(KINDS)}.")
    if len(ends) != 2 or points < 2:
        raise UsageError(f"ends={ends}, points={points}: expected two rows and at least 2 points.")
    first, last = (int(end) for end in ends)
    if space.codes is not None:
        codes = array(space.codes[[subject.check_row(first), subject.check_row(last)]])
    else:
        codes = array(space.noise(max(first, last) + 1, seed)[[first, last]])
    weights = np.linspace(0.0, 1.0, points)
    between = between_codes(codes[0], codes[1], weights, kind == "spherical")
    return Interpolation((first, last), kind, weights, between, space.decoded(between))


def between_codes(first: np.ndarray, last: np.ndarray, weights: np.ndarray, spherical: bool) -> np.ndarray:
    """Return the codes (n, D) from the first (D,) to the last at weights (n,) of 0 to 1.

    Spherical: sin((1 - w) a) / sin a first + sin(w a) / sin a last, where a is the angle between both.
    """
    share = weights[:, None]
    size = np.linalg.norm(first) * np.linalg.norm(last)
    angle = np.arccos(np.clip(first @ last / size, -1, 1)) if size else 0.0
    if not spherical or abs(np.sin(angle)) < PARALLEL:
        return (1 - share) * first + share * last
    return (np.sin((1 - share) * angle) * first + np.sin(share * angle) * last) / np.sin(angle)


def picture_strip(title: str, decoded: np.ndarray) -> list[Panel | Rows]:
    """Return pictures (n, C, H, W) next to each other; anything else as rows of numbers."""
    if decoded.ndim == 4:
        return [Panel(title, mosaic(np.stack([flat_picture(one) for one in decoded])[None]), "picture")]
    return [Panel(title, decoded.reshape(len(decoded), -1), square=False)]


VIEW = View(
    "interpolation",
    "what lies between two rows in latent space",
    no_latent_space,
    interpolation,
    needs_batch=False,
)
