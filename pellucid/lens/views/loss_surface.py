"""A slice of the loss surface around the weights, along filter-normalized random directions.

Li, Xu, Taylor, Studer and Goldstein 2018, Visualizing the Loss Landscape of Neural Nets: a direction is drawn
from N(0, 1), each of its filters is scaled to the norm of the filter of the weights, and biases and the
parameters of norms stay as they are. A copy of the model is moved; the model itself is not touched.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor, nn

from pellucid.batch import as_batch
from pellucid.errors import UsageError
from pellucid.lens.views.catalogue import View
from pellucid.lens.views.seen import Panel, Rows, Seen
from pellucid.lens.views.subject import Subject, reason


@dataclass(frozen=True)
class LossSurface(Seen):
    """The loss at weights + x d1 (+ y d2).

    Attributes:
        x: (n,) how far along the first direction; 1 is as long as the weights of each filter.
        y: (n,) along the second; None of a line.
        loss: (n,) of a line; (n, n), y down and x across, of a plane.
        center: the loss at the weights.
        seed: of the directions.
        loss_name: which loss, and why.
        rows: of the batch that it is computed on.
    """

    view = "loss-surface"
    x: np.ndarray
    y: np.ndarray | None
    loss: np.ndarray
    center: float
    seed: int
    loss_name: str
    rows: int

    @property
    def headline(self) -> str:
        of = "plane" if self.y is not None else "line"
        low = np.nanmin(self.loss)
        return (
            f"Loss {self.center:.6g} at the weights ({self.loss_name}, {self.rows} rows); on this {of} of "
            f"random directions it is {low:.6g} to {np.nanmax(self.loss):.6g}"
        )

    def panels(self) -> list[Panel | Rows]:
        """Return a map of a plane, a table of a line."""
        if self.y is not None:
            rows = [f"{value:+.2f}" for value in self.y]
            return [Panel("loss: x across, y down", self.loss, "magnitude", rows, square=False)]
        return [
            Rows(
                "along the direction",
                ["x", "loss"],
                [[float(a), float(b)] for a, b in zip(self.x, self.loss, strict=True)],
            )
        ]


def loss_surface(
    subject: Subject, dims: int = 1, points: int | None = None, span: float = 1.0, seed: int = 0
) -> LossSurface:
    """Return the loss along one or two filter-normalized random directions.

    Args:
        subject: a model, its batch and loss.
        dims: 1 or 2.
        points: on each axis, an odd number, so that the weights are one of them; None: 21 or 11.
        span: from -span to span.
        seed: of the directions.

    Raises:
        UsageError: another number of dimensions or points, or the model cannot be copied.
    """
    if dims not in (1, 2):
        raise UsageError(f"dims={dims} expects 1 or 2.")
    points = points or (21 if dims == 1 else 11)
    if points < 3 or points % 2 == 0:
        raise UsageError(f"points={points} expects an odd number of at least 3.")
    moved = _copied(subject)
    weights = [parameter.detach().clone() for parameter in moved.model.parameters()]
    generator = torch.Generator().manual_seed(seed)
    directions = [filter_normalized(weights, generator) for _ in range(dims)]
    steps = np.linspace(-span, span, points)
    steps[points // 2] = 0.0

    def loss_at(*along: float) -> float:
        _move(moved.model, weights, directions, along)
        return moved.loss()

    if dims == 1:
        found = np.array([loss_at(x) for x in steps])
    else:
        found = np.array([[loss_at(x, y) for x in steps] for y in steps])
    center = float(found[points // 2] if dims == 1 else found[points // 2, points // 2])
    return LossSurface(
        steps, steps if dims == 2 else None, found, center, seed, moved.work.loss_name, subject.rows
    )


def filter_normalized(weights: Sequence[Tensor], generator: torch.Generator) -> list[Tensor]:
    """Return a random direction, each filter of which has the norm of that of the weights (Li et al. 2018).

    Args:
        weights: of a model; a filter is an entry of the first axis. Those with one axis or none get 0.
        generator: of the random numbers, on the CPU.
    """
    made = []
    for weight in weights:
        if weight.ndim < 2 or not weight.is_floating_point():
            made.append(torch.zeros_like(weight))
            continue
        drawn = torch.randn(weight.shape, generator=generator).to(weight)
        size = weight.flatten(1).norm(dim=1) / (drawn.flatten(1).norm(dim=1) + 1e-10)
        made.append(drawn * size.reshape(-1, *[1] * (weight.ndim - 1)))
    return made


def _copied(subject: Subject) -> Subject:
    try:
        model = copy.deepcopy(subject.model)
    except Exception as error:
        raise UsageError(
            f"{subject.name} cannot be copied, and its own weights are not moved: {error}".split("\n")[0]
        ) from error
    return replace(subject, work=replace(subject.work, model=model))


@torch.no_grad()
def _move(
    model: nn.Module,
    weights: Sequence[Tensor],
    directions: Sequence[Sequence[Tensor]],
    along: Sequence[float],
) -> None:
    for place, parameter in enumerate(model.parameters()):
        value = weights[place]
        for how_far, direction in zip(along, directions, strict=True):
            value = value + how_far * direction[place]
        parameter.copy_(value)


def _unfit(subject: Subject) -> str:
    if not list(subject.model.parameters()):
        return "has no parameters"
    work = subject.work
    unknown = work.whole is None and work.loss is None and as_batch(work.batch).targets is None
    if unknown and not _own_loss(subject):
        return "has no targets here, and so no loss"
    return reason(subject.loss)


def _own_loss(subject: Subject) -> bool:
    """Whether the model returns a loss itself."""
    with subject.computing():
        outputs = subject.forward()
    return (outputs.get("loss") if isinstance(outputs, dict) else getattr(outputs, "loss", None)) is not None


VIEW = View("loss-surface", "the loss around the weights, on a line or a plane", _unfit, loss_surface)
