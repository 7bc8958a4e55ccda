"""Images a GAN generates, always from the same noise, so that they can be compared.

Shapes: N images (N, C, H, W) with pixels in 0..1, z noise (N, latent_dim).
"""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

from pellucid.nn.device import device_of
from pellucid.tasks.shared import image_generation
from pellucid.tasks.shared.image_task import SEED
from pellucid.tasks.shared.model_interfaces import gan_model

CHUNK = 500
ROWS = 8
"""Interpolations."""
BETWEEN = 10
"""Pictures in each interpolation."""

Labelled = tuple[Tensor, Tensor]
"""Images (N, C, H, W), and the class of each; of generated ones, the requested class."""


def generate(model: nn.Module, count: int, classes: int, columns: int | None = None) -> Labelled:
    """Generate the same images at every call, on the CPU.

    Args:
        model: a GAN, in the mode it is in.
        count: N.
        classes: number of classes of a conditional model; each is requested equally often.
        columns: show one class in each column of a grid this wide.
    """
    z = torch.randn(count, gan_model(model).latent_dim, generator=torch.Generator().manual_seed(SEED))
    position = torch.arange(count)
    if columns is not None and classes <= columns:
        position = position % columns * classes // columns
    return _draw(model, z, position % max(classes, 1)), position % max(classes, 1)


@torch.no_grad()
def _draw(model: nn.Module, z: Tensor, labels: Tensor) -> Tensor:
    """Turn noise (N, latent_dim) into images, on the CPU."""
    players, device, parts = gan_model(model), device_of(model), []
    for noise, asked in zip(z.split(CHUNK), labels.split(CHUNK), strict=True):
        inputs = (noise.to(device), asked.to(device)) if players.conditional else (noise.to(device),)
        parts.append(players.generator(*inputs).float().cpu())
    return torch.cat(parts)


def between(model: nn.Module, classes: int) -> Tensor:
    """Interpolate between noise vectors: (ROWS BETWEEN, C, H, W).

    The path follows the arc; see `image_generation.between`.
    """
    z = torch.randn(
        2, ROWS, 1, gan_model(model).latent_dim, generator=torch.Generator().manual_seed(SEED + 1)
    )
    way = image_generation.between(z[0], z[1], torch.linspace(0, 1, BETWEEN).view(1, -1, 1), arc=True)
    labels = torch.arange(ROWS).repeat_interleave(BETWEEN) % max(classes, 1)
    return _draw(model, way.flatten(0, 1), labels)


def nearest(made: Tensor, real: Tensor) -> Tensor:
    """Return for each generated image the real image with the closest pixels."""
    flat = made.flatten(1)
    gaps = [part.flatten(1).square().sum(1) - 2 * flat @ part.flatten(1).T for part in real.split(10_000)]
    return real[torch.cat(gaps, dim=1).argmin(1)]


def untrained(model: nn.Module) -> nn.Module:
    """Return a copy with a newly initialized generator, always the same."""
    fresh = copy.deepcopy(model)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(SEED)
        for layer in gan_model(fresh).generator.modules():
            if callable(reset := getattr(layer, "reset_parameters", None)):
                reset()
    return fresh


@torch.no_grad()
def discriminator_outputs(model: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
    """Return the outputs of the discriminator, one number for each image or pack."""
    players, device, parts = gan_model(model), device_of(model), []
    for chunk, classes in zip(images.split(CHUNK), labels.split(CHUNK), strict=True):
        inputs = (chunk.to(device), classes.to(device)) if players.conditional else (chunk.to(device),)
        parts.append(players.discriminator(*inputs).float().cpu())
    return torch.cat(parts)
