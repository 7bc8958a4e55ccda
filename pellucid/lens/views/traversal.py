"""One number of a code at a time, from low to high: what each of them means."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pellucid.errors import UsageError
from pellucid.lens.views.catalogue import View
from pellucid.lens.views.latent_space import latent_space, no_latent_space
from pellucid.lens.views.seen import Panel, Rows, Seen, flat_picture, mosaic
from pellucid.lens.views.subject import Subject, array

REACH = 3.0
"""How far a number goes, in standard deviations."""
SHOWN = 4


@dataclass(frozen=True)
class Traversal(Seen):
    """What a model decodes when one number of a code is changed.

    Attributes:
        row: of the batch, or the number of the noise of a GAN.
        code: (D,) its code.
        dims: (k,) which numbers are changed, the most spread first.
        offsets: (n,) in standard deviations: 1 of a GAN and a variational autoencoder, else those of the
            batch.
        values: (k, n) what the number becomes: of a variational autoencoder and a GAN the offset itself, else
            code + offset x deviation.
        decoded: (k, n, ...).
    """

    view = "traversal"
    row: int
    code: np.ndarray
    dims: list[int]
    offsets: np.ndarray
    values: np.ndarray
    decoded: np.ndarray

    @property
    def headline(self) -> str:
        return (
            f"Row {self.row}: {len(self.dims)} of {len(self.code)} numbers of its code, each in "
            f"{len(self.offsets)} steps from {self.offsets[0]:g} to {self.offsets[-1]:g} deviations"
        )

    def panels(self) -> list[Panel | Rows]:
        """Return a row of pictures for each of the first numbers."""
        if self.decoded.ndim != 5:
            return []
        tiles = np.stack([[flat_picture(one) for one in line] for line in self.decoded[:SHOWN]])
        return [Panel(f"a row for each of the numbers {self.dims[:SHOWN]}", mosaic(tiles), "picture")]


def traversal(
    subject: Subject, dims: Sequence[int] | None = None, row: int = 0, points: int = 7, seed: int = 0
) -> Traversal:
    """Return what a model decodes when one number of a code is changed.

    Args:
        subject: an autoencoder and its batch, or a GAN.
        dims: which numbers; None: the 8 that differ most between the rows.
        row: of the batch; of a GAN a vector of noise, by its number.
        points: steps of each number.
        seed: of the noise of a GAN.

    Raises:
        UsageError: there is no such row or number, or fewer than 2 points.
    """
    if points < 2:
        raise UsageError(f"points={points} expects at least 2.")
    space = latent_space(subject)
    if space.codes is None:
        codes = array(space.noise(max(row + 1, 2), seed))
    else:
        subject.check_row(row)
        codes = array(space.codes)
    spread = codes.std(0)
    chosen = [int(dim) for dim in (np.argsort(-spread)[:8] if dims is None else dims)]
    if not all(0 <= dim < space.dim for dim in chosen):
        raise UsageError(f"dims={chosen} expects numbers of the code, 0 to {space.dim - 1}.")
    offsets = np.linspace(-REACH, REACH, points)
    code = codes[row].astype(np.float64)
    values = np.stack([offsets if space.normal else code[dim] + offsets * spread[dim] for dim in chosen])
    made = np.repeat(code[None, None], len(chosen), 0).repeat(points, 1)
    for place, dim in enumerate(chosen):
        made[place, :, dim] = values[place]
    decoded = space.decoded(made.reshape(-1, space.dim))
    return Traversal(
        row, code, chosen, offsets, values, decoded.reshape(len(chosen), points, *decoded.shape[1:])
    )


VIEW = View("traversal", "what each number of a code does", no_latent_space, traversal, needs_batch=False)
