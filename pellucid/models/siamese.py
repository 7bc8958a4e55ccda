"""Siamese networks: an embedding in which similar inputs are close.

    x (B, ...) -> backbone -> (B, embed_dim) -> divided by its length -> a point on the unit sphere

Bromley et al. 1993 and Hadsell, Chopra and LeCun 2006: two inputs go through the same weights, and the loss
pulls them together or pushes them apart (`metric_learning` is the objective). On the unit sphere (Schroff
et al. 2015, FaceNet) squared distance and cosine similarity are equivalent: |a - b|^2 = 2 - 2 cos(a, b).

Shapes: B batch, inputs (C, H, W) images or (F,) features.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from pellucid.models.cnn import cnn
from pellucid.models.mlp import mlp
from pellucid.nn.names import lookup

BACKBONES: dict[str, Callable[..., nn.Module]] = {"cnn": cnn, "mlp": mlp}
"""Builders of the backbone by name."""


class Siamese(nn.Module):
    """A network whose outputs are normalized to unit length.

    Args:
        backbone: (B, ...) -> (B, embed_dim).
    """

    def __init__(self, backbone: nn.Module):
        super().__init__()
        self.backbone = backbone

    def forward(self, x: Float[Tensor, "B *features"]) -> Float[Tensor, "B embed_dim"]:
        return F.normalize(self.backbone(x), dim=1)


def siamese(
    input_shape: Sequence[int],
    num_outputs: int,
    *,
    size: str | None = None,
    backbone: str | None = None,
    embed_dim: int = 64,
    activation: str = "relu",
    norm: str | None = "batch",
    dropout: float = 0.0,
) -> Siamese:
    """Build an embedding network for inputs of a shape.

    Args:
        input_shape: the shape of one example, (C, H, W) or (F,).
        num_outputs: unused; the embedding does not depend on the number of classes.
        size: size of the backbone; None for its default.
        backbone: one of `BACKBONES`; None for cnn on images and mlp on everything else.
        embed_dim: dimension of the embedding.
        activation: activation of the backbone.
        norm: norm of the backbone.
        dropout: dropout of the backbone, 0..1.

    Raises:
        ValueError: there is no backbone of that name, or it does not accept inputs of that shape.

    Example:
        >>> import torch
        >>> siamese((1, 28, 28), 10)(torch.randn(2, 1, 28, 28)).norm(dim=1).allclose(torch.ones(2))
        True
    """
    name = backbone or ("cnn" if len(input_shape) == 3 else "mlp")
    build = lookup("backbone", name, BACKBONES)
    return Siamese(
        build(input_shape, embed_dim, size=size, activation=activation, norm=norm, dropout=dropout)
    )


BUILDERS = {"siamese": siamese}
"""Builders of this file by the name that configs use."""
