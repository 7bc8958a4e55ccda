"""Toy datasets with two inputs: small enough to plot, each with something to learn from.

    moons, gaussians    a bent and a few straight boundaries      xor       needs one hidden layer
    circles             needs a closed boundary                   spirals   needs depth or width
    plane               numbers instead of classes: y = x0 - x1 / 2

Every function takes the number of points, the standard deviation of the noise and a seed, and returns a
`Dataset` with the columns x0, x1 and label (or y).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pyarrow as pa

from pellucid.data.dataset import Column, Dataset, Source
from pellucid.errors import BadDataError


def moons(n: int = 1000, *, noise: float = 0.1, seed: int = 0) -> Dataset:
    """Two interleaving half circles."""
    rng, label = _start(n, 2, seed)
    angle = rng.uniform(0, np.pi, n)
    upper = np.stack([np.cos(angle), np.sin(angle)], axis=1)  # (n, 2)
    lower = np.stack([1 - np.cos(angle), 0.5 - np.sin(angle)], axis=1)
    points = np.where(label[:, None] == 0, upper, lower)
    return _classes("moons", points + rng.normal(0, noise, (n, 2)), label)


def circles(n: int = 1000, *, noise: float = 0.1, seed: int = 0) -> Dataset:
    """A circle of radius 1/2 inside a circle of radius 1."""
    rng, label = _start(n, 2, seed)
    angle = rng.uniform(0, 2 * np.pi, n)
    radius = np.where(label == 0, 1.0, 0.5)
    points = radius[:, None] * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    return _classes("circles", points + rng.normal(0, noise, (n, 2)), label)


def xor(n: int = 1000, *, noise: float = 0.1, seed: int = 0) -> Dataset:
    """A square of four quarters; diagonal quarters share a class."""
    rng, _ = _start(n, 2, seed)
    points = rng.uniform(-1, 1, (n, 2))
    label = (points[:, 0] * points[:, 1] < 0).astype(np.int64)
    return _classes("xor", points + rng.normal(0, noise, (n, 2)), label)


def spirals(n: int = 1000, *, noise: float = 0.1, seed: int = 0) -> Dataset:
    """Two arms of a spiral, one and a half turns each."""
    rng, label = _start(n, 2, seed)
    turn = np.sqrt(rng.uniform(0.01, 1, n)) * 3 * np.pi  # the root spreads points evenly along an arm
    angle = turn + label * np.pi
    points = (turn / np.pi)[:, None] * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    return _classes("spirals", points + rng.normal(0, noise, (n, 2)), label)


def gaussians(n: int = 1000, *, noise: float = 0.4, seed: int = 0, classes: int = 3) -> Dataset:
    """Gaussian clouds with centers evenly spaced on a circle of radius 1.

    Args:
        n: number of points.
        noise: standard deviation of each cloud.
        seed: of the random points.
        classes: number of clouds, at least 2.
    """
    rng, label = _start(n, classes, seed)
    angle = 2 * np.pi * label / classes
    centers = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    return _classes("gaussians", centers + rng.normal(0, noise, (n, 2)), label)


def plane(n: int = 1000, *, noise: float = 0.1, seed: int = 0) -> Dataset:
    """A tilted plane to regress on: y = x0 - x1 / 2 + noise."""
    rng, _ = _start(n, 1, seed)
    points = rng.uniform(-1, 1, (n, 2))
    height = points[:, 0] - points[:, 1] / 2 + rng.normal(0, noise, n)
    column = Column("y", "number", reason="computed")
    return _dataset("plane", points, pa.array(height), column)


TOYS: dict[str, Callable[..., Dataset]] = {
    "moons": moons,
    "circles": circles,
    "xor": xor,
    "spirals": spirals,
    "gaussians": gaussians,
    "plane": plane,
}
"""Every toy dataset, by name."""


def _start(n: int, classes: int, seed: int) -> tuple[np.random.Generator, np.ndarray]:
    """Return a generator and n shuffled labels, as balanced as possible."""
    if n < 2 * classes:
        raise BadDataError(f"A toy dataset expects at least {2 * classes} points, received {n}.")
    rng = np.random.default_rng(seed)
    return rng, rng.permutation(np.arange(n) % classes)


def _classes(name: str, points: np.ndarray, label: np.ndarray) -> Dataset:
    categories = tuple(str(index) for index in range(label.max() + 1))
    return _dataset(name, points, pa.array(label), Column("label", "category", categories, "computed"))


def _dataset(name: str, points: np.ndarray, target: pa.Array, column: Column) -> Dataset:
    """Put points (n, 2) and a target into one training split."""
    table = pa.table({"x0": points[:, 0], "x1": points[:, 1], column.name: target})
    inputs = tuple(Column(axis, "number", reason="computed") for axis in ("x0", "x1"))
    task = "classification" if column.kind == "category" else "regression"
    return Dataset(
        name=name,
        splits={"train": table},
        columns=(*inputs, column),
        target=column.name,
        task=task,
        source=Source(
            name, "toy", licence="none needed: computed", note="computed from a formula and a seed"
        ),
    )
