"""Principal components: the best linear autoencoder.

Shapes: images (N, C, H, W).
"""

from __future__ import annotations

import inspect
from collections.abc import Callable

import torch
from torch import Tensor

from pellucid import models
from pellucid.config import Config

Restore = Callable[[Tensor], Tensor]


def fit(train: Tensor, latent_dim: int) -> Restore:
    """Fit principal components: the best linear autoencoder there is (Baldi and Hornik 1989).

    Args:
        train: (N, C, H, W).
        latent_dim: how many; at most as many as there are images or pixels.

    Returns:
        images (N, C, H, W) -> their reconstructions.
    """
    from sklearn.decomposition import PCA  # here, since only a baseline needs it

    flat = train.flatten(1).numpy()
    if len(flat) == 1:  # it has no directions
        return lambda images: train.expand_as(images).float()
    fitted = PCA(min(latent_dim, *flat.shape), random_state=0).fit(flat)

    def restore(images: Tensor) -> Tensor:
        numbers = fitted.transform(images.flatten(1).numpy())
        return torch.from_numpy(fitted.inverse_transform(numbers)).float().view_as(images)

    return restore


def latent_dim(config: Config) -> int | None:
    """Return how many numbers a model encodes an image in; None if it has no such vector.

    It is the option `latent_dim` of the config, or the default of the model's builder.
    """
    name = config.model.name
    if name not in models.BUILDERS and ":" not in name:
        return None
    parameters = inspect.signature(models.find(name)).parameters
    if "latent_dim" not in parameters or "num_codes" in parameters:  # a codebook has no single vector
        return None
    return config.model.options.get("latent_dim", parameters["latent_dim"].default)
