"""Toy datasets: seeded, balanced, and as hard as documented."""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier

from pellucid.data.dataset import Dataset
from pellucid.data.sources import toy
from pellucid.errors import BadDataError

CLASSES = [name for name in toy.TOYS if name != "plane"]


def arrays(dataset: Dataset) -> tuple[np.ndarray, np.ndarray]:
    table = dataset.splits["train"]
    points = np.stack([table["x0"].to_numpy(), table["x1"].to_numpy()], axis=1)
    return points, table[dataset.target].to_numpy()


@pytest.mark.parametrize("name", toy.TOYS)
def test_seed_decides_the_rows(name: str) -> None:
    make = toy.TOYS[name]
    assert make(50, seed=1).fingerprint == make(50, seed=1).fingerprint
    assert make(50, seed=1).fingerprint != make(50, seed=2).fingerprint
    assert len(make(123).splits["train"]) == 123


@pytest.mark.parametrize("name", CLASSES)
def test_classes_are_even_and_named(name: str) -> None:
    dataset = toy.TOYS[name](900)
    _, labels = arrays(dataset)
    counts = np.bincount(labels)
    assert dataset.classes == tuple(str(index) for index in range(len(counts)))
    assert dataset.task == "classification"
    assert counts.min() > 0.85 * counts.max()


@pytest.mark.parametrize("name", CLASSES)
def test_nearest_neighbors_share_a_class(name: str) -> None:
    points, labels = arrays(toy.TOYS[name](1000))
    model = KNeighborsClassifier(5).fit(points[:700], labels[:700])
    assert model.score(points[700:], labels[700:]) > (0.9 if name != "gaussians" else 0.85)


@pytest.mark.parametrize(
    ("name", "least", "most"),
    [
        ("gaussians", 0.85, 1.0),
        ("moons", 0.8, 0.95),
        ("circles", 0.4, 0.65),
        ("xor", 0.4, 0.75),
        ("spirals", 0.4, 0.75),
    ],
)
def test_a_linear_boundary_scores_as_the_shape_allows(name: str, least: float, most: float) -> None:
    points, labels = arrays(toy.TOYS[name](1000))
    assert least <= LogisticRegression().fit(points, labels).score(points, labels) <= most


def test_noise_is_the_standard_deviation() -> None:
    points, labels = arrays(toy.circles(4000, noise=0.05))
    radius = np.linalg.norm(points, axis=1)
    assert radius[labels == 0].mean() == pytest.approx(1, abs=0.01)
    assert radius[labels == 1].mean() == pytest.approx(0.5, abs=0.01)
    assert radius[labels == 0].std() == pytest.approx(0.05, rel=0.1)


def test_plane_has_the_documented_slopes() -> None:
    dataset = toy.plane(2000, noise=0.1)
    points, heights = arrays(dataset)
    slopes, residuals, *_ = np.linalg.lstsq(points, heights, rcond=None)
    assert slopes == pytest.approx([1, -0.5], abs=0.02)
    assert np.sqrt(residuals[0] / 2000) == pytest.approx(0.1, rel=0.1)
    assert dataset.task == "regression"
    assert dataset.classes == ()


def test_number_of_clouds() -> None:
    assert len(toy.gaussians(100, classes=5).classes) == 5


def test_too_few_points_are_refused() -> None:
    with pytest.raises(BadDataError, match="at least 4 points, received 1"):
        toy.moons(1)
