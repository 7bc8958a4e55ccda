"""The Vision Transformer (Dosovitskiy et al. 2021): an image is a sequence of patches.

    x (B, C, H, W) -> stem (B, N, D) -> [class token] + positions -> blocks -> pool (B, D) -> logits (B, K)

Shapes: B batch, C image channels, P patch_size, N = ceil(H / P) * ceil(W / P) patches, D embed_dim, K
classes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from pellucid.nn import ConvBlock, LearnedPositions, PlanePositions, TransformerBlock, init_transformer
from pellucid.nn.init import init_output, init_weights
from pellucid.nn.names import lookup
from pellucid.nn.shapes import check_shape

PATCHES_PER_SIDE = 8
"""Largest default number of patches along the shorter side of an image."""
HALVINGS = {2: 1, 4: 2, 8: 3, 16: 4}
"""Number of halvings that reduce a patch to one pixel, by patch size."""
POOLINGS = {"mean": 0, "cls": 1}
"""Number of class tokens by pooling."""


@dataclass(frozen=True)
class ViTPlan:
    """The dimensions of a size.

    Attributes:
        embed_dim: D.
        num_layers: number of blocks.
        num_heads: attention heads per block.
    """

    embed_dim: int
    num_layers: int
    num_heads: int


SIZES = {"tiny": ViTPlan(64, 4, 4), "small": ViTPlan(128, 6, 4), "base": ViTPlan(192, 9, 6)}
"""Dimensions by size."""


def linear_stem(channels: int, patch_size: int, embed_dim: int) -> nn.Conv2d:
    """Make a linear layer on the pixels of a patch, as in the paper: (B, C, H, W) -> (B, D, H / P, W / P)."""
    stem = nn.Conv2d(channels, embed_dim, patch_size, patch_size)
    init_weights(stem, "linear")
    return stem


def conv_stem(channels: int, patch_size: int, embed_dim: int) -> nn.Sequential:
    """Make convolutions that halve the image until a patch is one pixel, each with twice as many channels.

    Patches then overlap, and training converges faster (Xiao et al. 2021, "Early Convolutions Help
    Transformers See Better"). Here max-pooling halves the image instead of a stride.

    Args:
        channels: C of the images.
        patch_size: side of a patch in pixels: 2, 4, 8 or 16.
        embed_dim: features of a patch.

    Returns:
        Layers that turn (B, C, H, W) into (B, embed_dim, H / patch_size, W / patch_size).

    Raises:
        ValueError: the patch size is another.
    """
    if patch_size not in HALVINGS:
        raise ValueError(f"A conv stem expects a patch_size of 2, 4, 8 or 16, received {patch_size}.")
    halvings = HALVINGS[patch_size]
    widths = [channels, *(embed_dim >> step for step in reversed(range(halvings)))]
    stem = nn.Sequential(*(ConvBlock(a, b, pool=True) for a, b in pairwise(widths)))
    init_weights(stem, "relu")
    return stem


def learned_positions(height: int, width: int, embed_dim: int, before: int) -> LearnedPositions:
    """Make a learned vector for every token, as in the paper."""
    return LearnedPositions(before + height * width, embed_dim)


STEMS = {"linear": linear_stem, "conv": conv_stem}
POSITIONS: dict[str, Callable[[int, int, int, int], nn.Module]] = {
    "sinusoidal": PlanePositions,
    "learned": learned_positions,
}
"""Position embeddings by name: (rows, columns, embed_dim, number of tokens before the patches) -> module."""


class ViT(nn.Module):
    """A transformer that classifies images; returns logits.

    Args:
        num_classes: K; 0 for no head, so that the model returns the pooled vectors (B, D).
        image_shape: (C, H, W).
        patch_size: side of a patch in pixels. Images are padded with zeros on the right and bottom to a
            multiple of it.
        plan: see `ViTPlan`.
        dropout: probability of zeroing a feature in training, 0..1.
        pooling: mean over the patches (Beyer et al. 2022), or cls: a class token, as in the paper.
        position: sinusoidal, of row and column (Beyer et al. 2022), or learned, as in the paper.
        stem: linear, as in the paper, or conv, for patches of 2, 4, 8 or 16 pixels.

    Attributes:
        grid: number of patches (down, across); patch n is in row n // across.

    Raises:
        ValueError: an unknown pooling, position or stem, or a patch_size that the conv stem does not support.

    Example:
        >>> ViT(10, (1, 28, 28), 4)(torch.zeros(32, 1, 28, 28)).shape
        torch.Size([32, 10])
    """

    def __init__(
        self,
        num_classes: int,
        image_shape: Sequence[int],
        patch_size: int,
        *,
        plan: ViTPlan = SIZES["small"],
        dropout: float = 0.1,
        pooling: str = "mean",
        position: str = "sinusoidal",
        stem: str = "linear",
    ):
        super().__init__()
        class_tokens = lookup("pooling", pooling, POOLINGS)
        make_stem = lookup("stem", stem, STEMS)
        make_positions = lookup("position", position, POSITIONS)
        self.image_shape = tuple(image_shape)
        channels, height, width = image_shape
        self.grid = (-(-height // patch_size), -(-width // patch_size))  # rounded up
        self.padding = (0, -width % patch_size, 0, -height % patch_size)  # left, right, top, bottom

        dim = plan.embed_dim
        self.stem = make_stem(channels, patch_size, dim)
        self.class_token = nn.Parameter(torch.empty(dim)) if class_tokens else None
        self.positions = make_positions(*self.grid, dim, class_tokens)
        self.dropout = nn.Dropout(dropout)
        self.blocks = nn.ModuleList(
            TransformerBlock(dim, plan.num_heads, dropout=dropout) for _ in range(plan.num_layers)
        )
        self.norm = nn.LayerNorm(dim)
        self.output = nn.Linear(dim, num_classes) if num_classes else nn.Identity()

        init_transformer(self.blocks)
        if isinstance(self.output, nn.Linear):
            init_output(self.output)
        if self.class_token is not None:
            nn.init.normal_(self.class_token, std=dim**-0.5)

    def forward(self, x: Float[Tensor, "B C H W"]) -> Float[Tensor, "B K"]:
        hidden = self.encode(x)
        pooled = hidden.mean(1) if self.class_token is None else hidden[:, 0]  # (B, D)
        return self.output(pooled)  # (B, K)

    def encode(self, x: Float[Tensor, "B C H W"]) -> Float[Tensor, "B S D"]:
        """Return the vectors of the class token, if there is one, and of every patch, row by row."""
        check_shape("ViT", "images", self.image_shape, x)
        maps = self.stem(F.pad(x, self.padding))  # (B, D, H / P, W / P)
        tokens = maps.flatten(2).transpose(1, 2)  # (B, N, D)
        if self.class_token is not None:
            tokens = torch.cat([self.class_token.expand(len(x), 1, -1), tokens], dim=1)
        tokens = self.dropout(self.positions(tokens))
        for block in self.blocks:
            tokens = block(tokens)
        return self.norm(tokens)


def vit(
    input_shape: Sequence[int],
    num_outputs: int,
    *,
    size: str | None = None,
    patch_size: int | None = None,
    dropout: float = 0.1,
    pooling: str = "mean",
    position: str = "sinusoidal",
    stem: str = "linear",
) -> ViT:
    """Build a ViT for images of a shape.

    Args:
        input_shape: the shape of one image, (C, H, W).
        num_outputs: K.
        size: tiny, small (the default) or base; see `SIZES`.
        patch_size: side of a patch in pixels; by default the smallest that gives at most 8 patches along the
            shorter side: 4 for 28 or 32 pixels.
        dropout: see `ViT`.
        pooling: see `ViT`.
        position: see `ViT`.
        stem: see `ViT`.

    Raises:
        ValueError: the shape is not an image shape; see `ViT`.
    """
    if len(input_shape) != 3:
        raise ValueError(
            f"vit expects images of shape (C, H, W), received inputs of shape {tuple(input_shape)}."
        )
    plan = lookup("vit size", size or "small", SIZES)
    side = patch_size or -(-min(input_shape[1:]) // PATCHES_PER_SIDE)
    return ViT(
        num_outputs,
        input_shape,
        side,
        plan=plan,
        dropout=dropout,
        pooling=pooling,
        position=position,
        stem=stem,
    )


BUILDERS = {"vit": vit}
"""Builders of this file by the name that configs use."""
