"""A plane of the latent space, decoded on a grid: of codes of the batch, or of the noise of a GAN."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pellucid.errors import UsageError
from pellucid.lens.views.catalogue import View
from pellucid.lens.views.components import principal
from pellucid.lens.views.latent_space import latent_space, no_latent_space
from pellucid.lens.views.seen import Panel, Rows, Seen, flat_picture, mosaic
from pellucid.lens.views.subject import Subject, array

REACH = 2.0
"""How far a plane of noise goes, in standard deviations."""


@dataclass(frozen=True)
class LatentPlane(Seen):
    """What a model decodes on a plane: origin + x first axis + y second axis.

    Attributes:
        origin: (D,) the mean of the codes; 0 of a GAN.
        axes: (2, D), of length 1: the first two principal components of the codes, of two-dimensional codes
            the two numbers themselves, of a GAN random directions.
        x, y: (n,) places on the axes.
        decoded: (n, n, ...), y down, then x.
        points: (B, 2) places of the rows of the batch; None of a GAN.
        explained: share of the variance of the codes along each axis; None of a GAN.
    """

    view = "latent-plane"
    origin: np.ndarray
    axes: np.ndarray
    x: np.ndarray
    y: np.ndarray
    decoded: np.ndarray
    points: np.ndarray | None
    explained: np.ndarray | None

    @property
    def headline(self) -> str:
        size = f"{len(self.x)} x {len(self.y)} codes of {len(self.origin)} numbers"
        if self.explained is None:
            return f"{size} on a plane of random directions, {self.x[0]:g} to {self.x[-1]:g}"
        return f"{size} on a plane with {100 * self.explained.sum():.1f} % of the variance of the rows"

    def panels(self) -> list[Panel | Rows]:
        """Return the decoded grid as one picture."""
        if self.decoded.ndim != 5:
            return []
        tiles = np.stack([[flat_picture(one) for one in line] for line in self.decoded])
        return [Panel("the decoded plane", mosaic(tiles), "picture")]


def latent_plane(subject: Subject, points: int = 5, seed: int = 0) -> LatentPlane:
    """Return what a model decodes on a plane of its latent space.

    Args:
        subject: an autoencoder and its batch, or a GAN.
        points: on each axis.
        seed: of the directions of a GAN.

    Raises:
        UsageError: fewer than 2 points, or codes of one number.
    """
    if points < 2:
        raise UsageError(f"points={points} expects at least 2.")
    space = latent_space(subject)
    if space.dim < 2:
        raise UsageError("A plane needs codes of two numbers, received 1.")
    if space.codes is None:
        origin = np.zeros(space.dim)
        axes = np.linalg.qr(array(space.noise(2, seed)).T.astype(np.float64))[0].T
        places, explained = None, None
        x = y = np.linspace(-REACH, REACH, points)
    else:
        origin, axes, places, explained = _of_codes(array(space.codes))
        low, high = places.min(0), places.max(0)
        x, y = (np.linspace(low[axis], high[axis], points) for axis in (0, 1))
    codes = origin + x[None, :, None] * axes[0] + y[:, None, None] * axes[1]
    decoded = space.decoded(codes.reshape(-1, space.dim))
    return LatentPlane(
        origin, axes, x, y, decoded.reshape(points, points, *decoded.shape[1:]), places, explained
    )


def _of_codes(codes: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    if codes.shape[1] > 2:
        if len(codes) < 3:
            raise UsageError(f"A plane needs at least 3 rows, received {len(codes)}.")
        return principal(codes, 2)
    spread = codes.var(0)
    return np.zeros(2), np.eye(2), codes.astype(np.float64), spread / (spread.sum() or 1.0)


VIEW = View(
    "latent-plane",
    "what a plane of the latent space decodes to",
    no_latent_space,
    latent_plane,
    needs_batch=False,
)
