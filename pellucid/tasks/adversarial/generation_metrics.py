"""Metrics of generated images by a classifier: classes, confidence and distance from real images.

The distance is that of Fréchet between two normal distributions, fitted to the inputs of the evaluator's last
layer: Heusel et al. 2017, GANs Trained by a Two Time-Scale Update Rule, equation 6, with a classifier of the
same data in place of Inception, which was trained on photographs. It depends on the number of images, so
compare equal numbers.

Shapes: N images (N, C, H, W) with pixels in 0..1, K classes, F features.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from pellucid.errors import UsageError
from pellucid.evaluation import Trained
from pellucid.lens.capture import capture, live
from pellucid.nn.device import device_of
from pellucid.nn.modes import evaluating

CHUNK = 500
COVERED = 0.5
"""A class is covered if it has at least this fraction of the share it has in a uniform distribution."""


@dataclass(frozen=True)
class Predictions:
    """What an evaluator predicts for images.

    Attributes:
        classes: the most probable class of each, int64 (N,).
        confidence: its probability, (N,).
        features: the inputs of the evaluator's last layer, (N, F) float32.
    """

    classes: Tensor
    confidence: Tensor
    features: Tensor


class Evaluator:
    """A trained classifier that evaluates images with pixels in 0..1.

    Args:
        trained: the classifier.
        shape: of the images, (C, H, W). If it takes one channel and images have several, it evaluates each
            channel separately.

    Attributes:
        names: of the K classes.
        per_channel: whether it evaluates each channel separately.

    Raises:
        UsageError: it is not a classifier, or takes images of another size.
    """

    def __init__(self, trained: Trained, shape: tuple[int, ...]):
        preprocess = trained.preprocess
        self.model, self.names = trained.model, preprocess.classes
        wanted = preprocess.input_shape
        self.per_channel = len(wanted) == 3 and wanted[0] == 1 and shape[0] > 1
        seen = (1, *shape[1:]) if self.per_channel else tuple(shape)
        output = _last_linear(self.model)
        if tuple(wanted) != seen or not self.names or output is None:
            raise UsageError(
                f"Expected an evaluator of images of shape {seen}, received one that takes {wanted} "
                f"and has {len(self.names)} classes.",
                remedy="--set objective.options.evaluator=RUN, a classifier of the same data, or null",
            )
        self.output = output
        encoded: Any = preprocess.encoded
        self.mean = torch.tensor(encoded.mean, dtype=torch.float32).view(-1, 1, 1)
        self.std = torch.tensor(encoded.std, dtype=torch.float32).view(-1, 1, 1)

    def __call__(self, images: Tensor) -> Predictions:
        """Evaluate images (N, C, H, W): N results, or N C where each channel is evaluated separately."""
        images = images.flatten(0, 1)[:, None] if self.per_channel else images
        parts = []
        for chunk in ((images - self.mean) / self.std).split(CHUNK):
            with (
                evaluating(self.model),
                capture(self.model, [self.output], inputs=True, values=live) as taken,
            ):
                probs = self.model(chunk.to(device_of(self.model))).float().softmax(1).cpu()
            features = taken.last(self.output).args[0]
            confidence, classes = probs.max(1)
            parts.append((classes, confidence, features.float().flatten(1).cpu()))
        return Predictions(*(torch.cat(part) for part in zip(*parts, strict=True)))

    def counts(self, predictions: Predictions) -> Tensor:
        """Count the images of each class, (K,)."""
        return torch.bincount(predictions.classes, minlength=len(self.names))

    def modes(self, predictions: Predictions, channels: int) -> Tensor:
        """Count the images of each combination of one class a channel, (K^C,)."""
        digits = predictions.classes.view(-1, channels)  # (N, C)
        places = len(self.names) ** torch.arange(channels - 1, -1, -1)
        return torch.bincount((digits * places).sum(1), minlength=len(self.names) ** channels)


@dataclass(frozen=True)
class Gaussian:
    """A normal distribution fitted to features.

    Attributes:
        mean: (F,).
        root: the square root of the covariance, (F, F).
        trace: of the covariance.
    """

    mean: np.ndarray
    root: np.ndarray
    trace: float

    @classmethod
    def fit(cls, features: Tensor) -> Gaussian:
        """Fit to features (N, F), N at least 2."""
        values = features.double().numpy()
        covariance = np.atleast_2d(np.cov(values, rowvar=False))
        eigenvalues, vectors = np.linalg.eigh(covariance)
        root = (vectors * np.sqrt(eigenvalues.clip(min=0))) @ vectors.T
        return cls(values.mean(0), root, float(np.trace(covariance)))


def frechet(first: Gaussian, second: Gaussian) -> float:
    r"""Return $\lVert m_1 - m_2 \rVert^2 + \mathrm{tr}(S_1 + S_2 - 2 (S_1 S_2)^{1/2})$, in squared units.

    The trace of that square root is the sum of the singular values of $S_1^{1/2} S_2^{1/2}$.
    """
    between = float(np.square(first.mean - second.mean).sum())
    overlap = float(np.linalg.svd(first.root @ second.root, compute_uv=False).sum())
    return max(0.0, between + first.trace + second.trace - 2 * overlap)


def coverage(counts: Tensor) -> float:
    """Return the share of classes that are covered, 0..1; see `COVERED`."""
    return (counts / counts.sum() >= COVERED / len(counts)).double().mean().item()


def kl_to_uniform(counts: Tensor) -> float:
    """Return KL(shares || all equally frequent) in nats; 0 is best, ln K is only one class."""
    shares = counts.double() / counts.sum()
    return float(torch.special.xlogy(shares, shares * len(counts)).sum())


def _last_linear(model: nn.Module) -> nn.Module | None:
    layers = [layer for layer in model.modules() if isinstance(layer, nn.Linear)]
    return layers[-1] if layers else None
