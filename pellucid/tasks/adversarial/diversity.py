"""How much images differ from each other, in pixels and in the features of a network with random weights.

A generator that has collapsed draws one image, or a few. No classifier is needed to see that: two generated
images then differ far less than two real ones do. Pixels are misled by an image that is only shifted or gets
other noise every time, so pairs are also compared by the features of a small convolutional network whose
weights are drawn once and never trained (Naeem et al. 2020, Reliable Fidelity and Diversity Metrics for
Generative Models: random embeddings serve where no pretrained network fits the data).

Shapes: N images (N, C, H, W) with pixels in 0..1, F features.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

FEWEST = 20
"""Real images of which pairs say how much images of the data differ; of fewer it is chance."""
PAIRS = 2000
"""Pairs that are compared at most."""
CHUNK = 256
WIDTHS = (16, 32, 64)
"""Channels of the random network: three convolutions with ReLU, the later two of stride 2."""
SEED = 0


@dataclass(frozen=True)
class Spread:
    """The mean squared difference of two images.

    Attributes:
        pixels: by their pixels.
        features: by their features in the random network.
    """

    pixels: float
    features: float


def spread(images: Tensor, labels: Tensor | None = None) -> Spread:
    """Measure how much images differ, over pairs drawn at random, but always the same.

    Args:
        images: (N, C, H, W), N at least 2.
        labels: (N,) classes; pairs are then of one class. A conditional generator may draw one image for
            each class, and two images of different classes differ nonetheless.
    """
    first, second = _pairs(len(images), labels)
    features = random_features(images)
    return Spread(_differ(images, first, second), _differ(features, first, second))


@torch.no_grad()
def random_features(images: Tensor) -> Tensor:
    """Return the mean and the deviation over all places of each channel of the random network, (N, F)."""
    weights, found = _weights(images.shape[1]), []
    for maps in images.float().split(CHUNK):
        for index, weight in enumerate(weights):
            maps = F.conv2d(maps, weight, stride=2 if index else 1, padding=1).relu()
        maps = maps.flatten(2)  # (N, F / 2, places)
        found.append(torch.cat([maps.mean(2), maps.std(2, correction=0)], dim=1))
    return torch.cat(found)


def _weights(channels: int) -> list[Tensor]:
    """Return the weights of three convolutions, from N(0, 2 / fan-in)."""
    generator, weights, before = torch.Generator().manual_seed(SEED), [], channels
    for width in WIDTHS:
        std = (2 / (9 * before)) ** 0.5
        weights.append(torch.randn(width, before, 3, 3, generator=generator) * std)
        before = width
    return weights


def _pairs(count: int, labels: Tensor | None) -> tuple[Tensor, Tensor]:
    """Return the rows of at most `PAIRS` pairs of different images, of one class where there are classes.

    Every image is paired with the next in a random order.
    """
    order = torch.randperm(count, generator=torch.Generator().manual_seed(SEED))
    if labels is not None:
        order = order[labels[order].argsort(stable=True)]
    first, second = order[:-1], order[1:]
    if labels is not None and (same := labels[first] == labels[second]).any():
        first, second = first[same], second[same]
    chosen = torch.linspace(0, len(first) - 1, min(PAIRS, len(first))).long()
    return first[chosen], second[chosen]


def _differ(values: Tensor, first: Tensor, second: Tensor) -> float:
    """Mean squared difference of pairs of rows, in float64."""
    total = 0.0
    for one, other in zip(first.split(CHUNK), second.split(CHUNK), strict=True):
        total += (values[one] - values[other]).double().square().flatten(1).mean(1).sum().item()
    return total / len(first)
