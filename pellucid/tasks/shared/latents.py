"""Views of the latent space of an autoencoder: codes of images, and images decoded between them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pellucid.errors import UsageError
from pellucid.evaluation import Trained
from pellucid.nn.device import device_of
from pellucid.tasks.shared.image_generation import Decoder
from pellucid.tasks.shared.image_grid import grid, picture
from pellucid.tasks.shared.model_interfaces import autoencoding
from pellucid.tasks.shared.projection import POINTS, grouped, principal

PAIRS = 8
"""Interpolations."""
BETWEEN = 10
"""Pictures in each interpolation."""
SIDE = 16
"""Pictures on a side of the decoded plane."""

Pixels = Callable[[Tensor], Tensor]
"""A function from outputs of a model to pixels: see `Objective.probs`."""


@torch.no_grad()
def restore(model: nn.Module, images: Tensor, probs: Pixels) -> Tensor:
    """Return the reconstructions of images (N, C, H, W), in the range of pixels, on the CPU."""
    output = model(images.to(device_of(model)))
    return probs(getattr(output, "recon", output)).float().cpu()


@torch.no_grad()
def codes(model: nn.Module, images: Tensor) -> Tensor | None:
    """Return the codes of images, on the CPU; None if the model has no encoder.

    Numbers (N, latent_dim), of a variational autoencoder the mean; of one with a codebook whole numbers.
    """
    if not hasattr(model, "encode"):
        return None
    found = autoencoding(model).encode(images.to(device_of(model)))
    return (found[0] if isinstance(found, tuple) else found).cpu()


def encode(model: nn.Module, images: Tensor) -> Tensor | None:
    """Return the code of each image, (N, latent_dim), on the CPU; None if the model has no such vectors."""
    found = codes(model, images)
    return found.float() if found is not None and found.is_floating_point() and found.ndim == 2 else None


@torch.no_grad()
def decode(model: nn.Module, z: Tensor, probs: Pixels) -> Tensor:
    """Return images (N, C, H, W) in the range of pixels, on the CPU."""
    return probs(autoencoding(model).decode(z.to(device_of(model)))).float().cpu()


def decoder(trained: Trained) -> Decoder:
    """Return the decoder of an autoencoder; a variational one has codes from N(0, 1).

    Raises:
        UsageError: the model has no codes of `latent_dim` numbers.
    """
    model = trained.model
    size = getattr(model, "latent_dim", None)
    if not isinstance(size, int) or not hasattr(model, "decode") or not hasattr(model, "encode"):
        raise UsageError(
            f"A {type(model).__name__} has no vector of latent numbers for an image, so it cannot make new "
            "ones.",
            remedy="pass images to reconstruct, or train a vae or an autoencoder",
        )
    return Decoder(
        lambda z, labels: decode(model, z, trained.objective.probs),
        size,
        gaussian=trained.task == "elbo",
        encode=lambda images: encode(model, images),
    )


def plane(latents: Tensor, names: list[str]) -> dict[str, Any]:
    """Show where images lie: the two latent numbers, or the two directions in which they differ most.

    Args:
        latents: (N, latent_dim).
        names: the class of each; "" where there are none.
    """
    latents, names = latents[:POINTS], [name or "images" for name in names[:POINTS]]
    points, labels, note = F.pad(latents, (0, 1))[:, :2], ("z1", "z2"), ""
    if latents.shape[1] > 2:
        points, share = principal(latents)
        note = f", projected on the first two principal components ({100 * share:.0f} % of the variance)"
        labels = ("1st component", "2nd component")
    groups = grouped(points, names)
    colors = "; colors are classes" if len(groups) > 1 else ""
    return {
        "kind": "scatter",
        "title": "The latent space",
        "caption": f"Every point is the latent vector of a held-out image{note}{colors}.",
        "x_label": labels[0],
        "y_label": labels[1],
        "groups": groups,
    }


def interpolations(
    model: nn.Module, latents: Tensor, names: list[str], probs: Pixels, file: str
) -> tuple[dict[str, Any], bytes]:
    """Walk from one image to another through the latent space, and draw what lies on the way."""
    rows = []
    for start, end in _pairs(names):
        share = torch.linspace(0, 1, BETWEEN)[:, None]
        rows.append(decode(model, latents[start] * (1 - share) + latents[end] * share, probs))
    caption = (
        "Each row follows a straight line through the latent space, from the reconstruction of one "
        "held-out image on the left to that of another on the right."
    )
    return picture("Interpolations", caption, file), grid(torch.cat(rows), BETWEEN)


def _pairs(names: list[str]) -> list[tuple[int, int]]:
    """Rows to walk between: of two classes where there are several, each row once."""
    left, found = list(range(len(names))), []
    while len(left) > 1 and len(found) < PAIRS:
        start = left.pop(0)
        end = next((row for row in left if names[row] != names[start]), left[0])
        left.remove(end)
        found.append((start, end))
    return found


def decoded_plane(
    model: nn.Module, latents: Tensor, probs: Pixels, file: str
) -> tuple[dict[str, Any], bytes]:
    """Draw what every place of a latent space of two numbers means.

    The places are spread as the images are: equally many of them lie between two neighboring columns.
    """
    shares = torch.linspace(0.02, 0.98, SIDE)
    across = torch.quantile(latents[:, 0], shares)
    upwards = torch.quantile(latents[:, 1], shares).flip(0)
    z = torch.stack([across.repeat(SIDE), upwards.repeat_interleave(SIDE)], dim=1)
    caption = "The decoded image at each point of the plane: z1 to the right, z2 upwards."
    return picture("The latent plane, decoded", caption, file), grid(decode(model, z, probs), SIDE)


def seen(
    model: nn.Module, images: Tensor, names: list[str], probs: Pixels, split: str
) -> tuple[list[dict[str, Any]], dict[str, bytes]]:
    """Everything there is to see of a latent space, blocks and pictures; nothing if there is no such space.

    Args:
        model: in evaluation mode.
        images: held-out, (N, C, H, W).
        names: the class of each; "" where there are none.
        probs: decoder output -> pixels.
        split: goes into the names of the files.
    """
    latents = encode(model, images)
    if latents is None or len(latents) < 2:
        return [], {}
    pictures = {}
    file = f"{split}-interpolations.png"
    walk, pictures[file] = interpolations(model, latents, names, probs, file)
    blocks = [walk, plane(latents, names)]
    if latents.shape[1] == 2:
        file = f"{split}-plane.png"
        drawn, pictures[file] = decoded_plane(model, latents, probs, file)
        blocks.append(drawn)
    return blocks, pictures
