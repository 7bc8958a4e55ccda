r"""How strange an image is to a model of normal ones: the share of it that the model does not explain.

Plain squared errors mislead twice. Fine edges are never given back exactly, so that an error of half a pixel,
which says nothing, weighs as much as a stroke that is missing: both images are blurred before they are
compared. And an image with little in it has little to get wrong, whatever it shows: the error is divided by
the variance of the image. With G a Gaussian blur, x an image and $\hat x$ what a model makes of it,

$$s(x) = \frac{\lVert G * (x - \hat x) \rVert^2}{\lVert G * x - \overline{G * x} \rVert^2}$$

which is 1 - R^2, 0 for an image that is explained in full. That a model of only normal rows reconstructs
others badly is due to Japkowicz et al. 1995, A Novelty Detection Approach to Classification. Nothing is
fitted but the model, and that on normal rows.

Shapes: images (N, C, H, W) with pixels in 0..1, scores (N,).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

BLUR = 0.04
"""Deviation of the blur, as a share of the height of an image: 1.1 pixels of 28."""
FLAT = 1e-4
"""Least variance of a pixel that an image counts as having: there is nothing to explain in a flat one."""
FALSE_ALARM_RATE = 0.05
"""Share of normal images that may count as strange."""


def reconstruction_score(images: Tensor, restored: Tensor) -> Tensor:
    """Return the score of every image, at least 0; above 1 a flat image would explain it better.

    Args:
        images: what a model was given.
        restored: their reconstructions.
    """
    sigma = BLUR * images.shape[2]
    error = blurred(images - restored, sigma).square().flatten(1).mean(1)
    variance = blurred(images, sigma).flatten(2).var(2, correction=0).mean(1)
    return error / variance.clamp(min=FLAT)


def blurred(images: Tensor, sigma: float) -> Tensor:
    """Convolve images with a Gaussian, each channel separately; the border is replicated.

    Args:
        images: (N, C, H, W).
        sigma: its deviation in pixels, above 0.
    """
    reach = math.ceil(3 * sigma)
    places = torch.arange(-reach, reach + 1, dtype=images.dtype, device=images.device)
    weights = torch.softmax(-places.square() / (2 * sigma**2), 0)
    flat = F.pad(images.flatten(0, 1)[:, None], (reach,) * 4, mode="replicate")  # (N C, 1, H', W')
    rows = F.conv2d(flat, weights.view(1, 1, -1, 1))
    return F.conv2d(rows, weights.view(1, 1, 1, -1)).view_as(images)


def error_map(images: Tensor, restored: Tensor) -> Tensor:
    """Return where a model does not explain images: the squared error after the blur, (N, H, W).

    Its mean over an image, divided by the variance of the image, is the score.

    Args:
        images: what a model was given, (N, C, H, W).
        restored: their reconstructions.
    """
    return blurred(images - restored, BLUR * images.shape[2]).square().mean(1)


def threshold(normal: Tensor, false_alarm_rate: float = FALSE_ALARM_RATE) -> float:
    """Return the score above which an image counts as strange, given those of held-out normal images.

    The ceil((N + 1) (1 - r))-th smallest of N, as in split conformal prediction (Lei et al. 2018): of new
    normal images, a share of at most r is expected above it. With fewer than 1 / r - 1 there is no such
    score; it is the largest.

    Args:
        normal: their scores, (N,).
        false_alarm_rate: r, above 0 and below 1.
    """
    rank = min(len(normal), math.ceil(round((len(normal) + 1) * (1 - false_alarm_rate), 9)))
    return normal.kthvalue(max(rank, 1)).values.item()


def best_threshold(normal: Tensor, strange: Tensor) -> tuple[float, float, float]:
    """Return the limit that separates labelled examples best, and what it makes of them.

    It maximizes the share of anomalies above it minus that of normal images (Youden 1950, Index for Rating
    Diagnostic Tests), in the middle between two scores.

    Args:
        normal: scores of normal examples, (N,), N at least 1.
        strange: scores of anomalies, (M,), M at least 1.

    Returns:
        The limit, the share of the anomalies above it, the share of the normal examples above it.
    """
    scores = torch.cat([normal, strange]).unique()  # sorted
    limits = torch.cat([scores[:1] - 1e-6, (scores[1:] + scores[:-1]) / 2])
    found = (strange[None] > limits[:, None]).double().mean(1)
    alarms = (normal[None] > limits[:, None]).double().mean(1)
    best = int((found - alarms).argmax())
    return limits[best].item(), found[best].item(), alarms[best].item()
