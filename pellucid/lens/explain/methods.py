"""The five methods, each a function of a `Question`.

All return numbers in the shape of what is explained, each part (1, ...), before they are summed up for a
pixel or a token (see `attribute`).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pellucid.errors import UsageError
from pellucid.lens.capture import capture
from pellucid.lens.explain.question import Points, Question

STEPS = 50
"""Points between baseline and input."""
SAMPLES = 50
"""Noisy inputs that are averaged."""
NOISE = 0.15
"""Standard deviation of the noise, as a share of the range of the input."""

CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)


def saliency(question: Question) -> Points:
    """Return the gradient of the output.

    Simonyan, Vedaldi & Zisserman, "Deep Inside Convolutional Networks", 2014; they show its absolute value,
    the largest of all channels.
    """
    return question.gradients(question.points)


def smooth_grad(question: Question, *, samples: int = SAMPLES, noise: float = NOISE, seed: int = 0) -> Points:
    """Return the gradient, averaged over noisy inputs.

    Smilkov et al., "SmoothGrad: removing noise by adding noise", 2017.

    Args:
        question: what is explained.
        samples: number of noisy inputs.
        noise: standard deviation of the noise, relative to the range (largest minus smallest) of the input.
        seed: of the noise.
    """
    noisy, generator = [], torch.Generator().manual_seed(seed)
    for point in question.points:
        drawn = torch.randn((samples, *point.shape[1:]), generator=generator).to(point)
        noisy.append(point + drawn * deviation(point, noise))
    return tuple(found.mean(0, keepdim=True) for found in question.gradients(tuple(noisy)))


def deviation(point: Tensor, noise: float = NOISE) -> float:
    """Return the standard deviation of the noise for an input."""
    return noise * float(point.max() - point.min())


def integrated_gradients(question: Question, baselines: Points, *, steps: int = STEPS) -> Points:
    """Return the gradient along the straight line from the baseline to the input, times their difference.

    Sundararajan, Taly & Yan, "Axiomatic Attribution for Deep Networks", ICML 2017. The numbers add up to the
    output minus that for the baseline, up to the error of the sum, which is a Gauss-Legendre quadrature.

    Args:
        question: what is explained.
        baselines: in the shapes of `question.points`.
        steps: points on the line.
    """
    places, weights = np.polynomial.legendre.leggauss(steps)
    alphas, shares = (torch.from_numpy(part / 2) for part in (places + 1, weights))  # (S,)
    lines = []
    for point, baseline in zip(question.points, baselines, strict=True):
        along = alphas.to(point).reshape(-1, *[1] * (point.ndim - 1))
        lines.append(baseline + along * (point - baseline))
    found = question.gradients(tuple(lines))
    return tuple(
        (gradient * shares.to(gradient).reshape(-1, *[1] * (gradient.ndim - 1))).sum(0, keepdim=True)
        * (point - baseline)
        for gradient, point, baseline in zip(found, question.points, baselines, strict=True)
    )


def grad_cam(question: Question, layer: nn.Module | None = None) -> Tensor:
    """Return where the maps of a convolution speak for the output, at its resolution, (1, 1, ...) from 0.

    Selvaraju et al., "Grad-CAM", ICCV 2017: each map is weighted by its mean gradient, and only what is
    positive in their sum is shown.

    Args:
        question: what is explained.
        layer: the convolution; None: the last, see `last_convolution`.

    Raises:
        UsageError: the model has no convolution.
    """
    maps, gradient = question.at_layer(last_convolution(question) if layer is None else layer)
    weights = gradient.mean(tuple(range(2, gradient.ndim)), keepdim=True)  # (1, D, 1, 1)
    return (weights * maps).sum(1, keepdim=True).relu()


def enlarged(maps: Tensor, size: Sequence[int]) -> Tensor:
    """Enlarge maps (1, 1, ...) linearly to the size of the input."""
    mode = {1: "linear", 2: "bilinear", 3: "trilinear"}[len(size)]
    return F.interpolate(maps.float(), size=tuple(size), mode=mode, align_corners=False)


def last_convolution(question: Question) -> nn.Module:
    """Return the convolution that is computed last, of those whose maps have more than one place.

    A projection of patches, as at the beginning of a vision transformer, does not count.

    Raises:
        UsageError: there is none.
    """
    found = find_convolution(question)
    if found is None:
        raise UsageError(
            f"Grad-CAM needs a convolution, and {type(question.model).__name__} has none.",
            remedy="--method integrated_gradients",
        )
    return found


def find_convolution(question: Question) -> nn.Module | None:
    """Return what `last_convolution` returns, or None."""
    layers = [part for part in question.model.modules() if isinstance(part, CONVOLUTIONS)]
    with capture(question.model, layers, values=lambda tensor: tuple(tensor.shape)) as taken:
        question(question.points)
    for call in sorted(taken.calls, key=lambda call: -(call.ended or 0)):
        spatial = call.output[2:] if isinstance(call.output, tuple) else ()
        first = call is taken.calls[0]
        if math.prod(spatial) > 1 and not (first and _has_no_overlap(call.module)):
            return call.module
    return None


def _has_no_overlap(layer: Any) -> bool:
    return max(layer.kernel_size) > 1 and tuple(layer.kernel_size) == tuple(layer.stride)


Window = tuple[int, Any]
"""A part of the input that is covered at once: number of the point, and index into it (without the row)."""


def windows(shape: Sequence[int], size: Sequence[int], stride: Sequence[int]) -> Iterator[tuple[slice, ...]]:
    """Yield the places of a window that slides over a shape; the last ones are cut at the edge."""
    counts = [1 + max(0, math.ceil((n - w) / s)) for n, w, s in zip(shape, size, stride, strict=True)]
    for place in np.ndindex(*counts):
        yield tuple(
            slice(i * s, min(i * s + w, n)) for i, n, w, s in zip(place, shape, size, stride, strict=True)
        )


def occlusion(question: Question, baselines: Points, covers: Sequence[Window]) -> Points:
    """Return how much the output falls when a part of the input is covered by the baseline.

    Zeiler & Fergus, "Visualizing and Understanding Convolutional Networks", ECCV 2014. A number that several
    windows cover is their mean.

    Args:
        question: what is explained.
        baselines: in the shapes of `question.points`.
        covers: the windows.
    """
    whole = question(question.points)
    totals = [torch.zeros_like(point, dtype=torch.float32) for point in question.points]
    counts = [torch.zeros_like(total) for total in totals]
    for start in range(0, len(covers), BLOCK):
        block = covers[start : start + BLOCK]
        points = [point.repeat(len(block), *[1] * (point.ndim - 1)) for point in question.points]
        for row, (place, index) in enumerate(block):
            points[place][row][index] = baselines[place][0][index]
        falls = (whole - question(tuple(points))).tolist()
        for fall, (place, index) in zip(falls, block, strict=True):
            totals[place][0][index] += fall
            counts[place][0][index] += 1
    return tuple(total / count.clamp(min=1) for total, count in zip(totals, counts, strict=True))


BLOCK = 64
"""Windows that are computed at once."""
