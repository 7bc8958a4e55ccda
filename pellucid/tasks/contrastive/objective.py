"""The objective of SimCLR: the two views of a picture are nearer to each other than to all others."""

from __future__ import annotations

from dataclasses import dataclass, replace

from pellucid.errors import ConfigError
from pellucid.tasks.metric_learning.objective import metric_learning
from pellucid.train.objective import Objective


@dataclass(frozen=True)
class Options:
    """Options of the task.

    Attributes:
        temperature: cosines are divided by it, > 0.
        strength: how different the two views of a picture are; see `TwoViews`.
    """

    temperature: float = 0.2
    strength: float = 1.0


def contrastive(temperature: float = Options.temperature) -> Objective:
    r"""Minimize NT-Xent, the cross-entropy of finding the other view among all others of the batch.

    $-\ln \frac{\exp(z_i \cdot z_j / \tau)}{\sum_{k \ne i} \exp(z_i \cdot z_k / \tau)}$ for the views i and j
    of a picture, with embeddings z of unit length (T. Chen et al. 2020, SimCLR, equation 1). It is the loss
    `supcon` where every picture is a class of its own.

    Batches are (views (2B, C, H, W), ids (2B,)). Measured are the loss and "precision", the share of views
    whose nearest other view of the batch is of the same picture; the best weights have the highest.

    Args:
        temperature: tau, > 0.

    Raises:
        ConfigError: it is not above 0.
    """
    if temperature <= 0:
        raise ConfigError(
            f"objective.options.temperature: expected more than 0, received {temperature:g}.",
            remedy=f"--set objective.options.temperature={Options.temperature}",
        )
    return replace(metric_learning("supcon", temperature=temperature), name="contrastive")
