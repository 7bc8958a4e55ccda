"""Conversion of published weights: copy each tensor to its place in our models.

`copy_weights` copies the tensors into a model that `pellucid.models.architecture` has made. A tensor that is
missing, left over or of another shape is an error, because a model with only some of its weights would run
and give useless outputs.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pellucid.models.families import FAMILIES, Family, Tensors
from pellucid.models.vit import ViT

NEVER = -1e4
"""Added to the logits of tokens that are never predicted: their probability is 0 in every precision."""
LISTED = 5
"""Maximum number of problems in an error message."""
_BLOCK = re.compile(r"blocks\.(\d+)\.")


def copy_weights(model: nn.Module, family: str, tensors: Tensors, order: Sequence[int] | None = None) -> None:
    """Copy published tensors into a model.

    Images may have another size or be gray. The positions are then resized, and the weights of the color
    channels summed, which gives the same outputs as a gray image in three equal channels.

    Args:
        model: a model of the published architecture; changed in place.
        family: one of `FAMILIES`.
        tensors: the tensors by their published names.
        order: for texts, the published id of each of our tokens; -1 for a token that has none. None if all
            ids are the same.

    Raises:
        ValueError: tensors are missing, left over or of another shape; the message names them.
    """
    spec = FAMILIES[family]
    theirs = _normalize(tensors, spec)
    used, problems = set(), []
    for name, mine in model.state_dict().items():
        if name == "embedding.never":
            if order is not None:
                mine.masked_fill_(torch.tensor(order) < 0, NEVER)
            continue
        source, _, third = _published_name(name, spec.names).partition("#")
        if source not in theirs:
            problems.append(f"{source} is missing")
            continue
        used.add(source)
        found = _adapt(model, name, _third(theirs[source], third), order)
        if found.shape == mine.shape:
            mine.copy_(found)
        else:
            problems.append(f"{source} is {tuple(found.shape)}, expected {tuple(mine.shape)}")
    left = [name for name in theirs if name not in used and not re.fullmatch(spec.unused, name)]
    problems += [f"{name} is not part of a model of the type {family}" for name in left]
    if problems:
        more = f"; and {len(problems) - LISTED} more" if len(problems) > LISTED else ""
        raise ValueError(f"The weights do not match config.json: {'; '.join(problems[:LISTED])}{more}.")


def _normalize(tensors: Tensors, family: Family) -> dict[str, Tensor]:
    """Normalize published tensors: one spelling of names, and weights as (out, in).

    BERT's first token type is added to the positions, because both are added to every token.
    """
    plain = {}
    for name, tensor in tensors.items():
        name = re.sub(r"LayerNorm\.gamma$", "LayerNorm.weight", name.removeprefix(family.prefix))
        name = re.sub(r"LayerNorm\.beta$", "LayerNorm.bias", name)
        plain[name] = tensor.T if re.fullmatch(family.transposed, name) else tensor
    types = plain.pop("embeddings.token_type_embeddings.weight", None)
    positions = "embeddings.position_embeddings.weight"
    if types is not None and positions in plain:
        plain[positions] = plain[positions] + types[0]
    return plain


def _published_name(name: str, names: Mapping[str, str]) -> str:
    """Return the published name of one of our tensors, with `#n` if it is the n-th third of that tensor."""
    block = _BLOCK.match(name)
    name = _BLOCK.sub("blocks.*.", name, count=1)
    module, _, kind = name.rpartition(".")
    template = names.get(name)
    if template is None:
        source, mark, third = names[module].partition("#")
        template = f"{source}.{kind}{mark}{third}"
    return template.replace("*", block.group(1)) if block else template


def _third(tensor: Tensor, third: str) -> Tensor:
    return tensor.chunk(3)[int(third)] if third else tensor


def _adapt(model: nn.Module, name: str, tensor: Tensor, order: Sequence[int] | None) -> Tensor:
    """Adapt a tensor to the vocabulary or the image shape of a model."""
    if name == "embedding.weight" and order is not None:
        return reorder_rows(tensor, order)
    if not isinstance(model, ViT):
        return tensor
    if name in ("class_token", "positions.weight"):
        tensor = tensor.flatten(0, -2)
    if name == "class_token":
        return tensor[0]
    if name == "positions.weight":
        return resize_positions(tensor, model.grid)
    if name == "stem.weight" and model.image_shape[0] == 1:
        return tensor.sum(1, keepdim=True)
    return tensor


def reorder_rows(embedding: Tensor, order: Sequence[int]) -> Tensor:
    """Return the rows of an embedding (V, C) in our order; a token without a published id gets zeros.

    Args:
        embedding: the published embedding.
        order: the row of each of our tokens, or -1.

    Raises:
        ValueError: an id has no row.
    """
    if max(order) >= len(embedding):
        raise ValueError(
            f"The tokenizer has {max(order) + 1:,} tokens, but the embedding has {len(embedding):,} rows."
        )
    rows = torch.tensor(order)
    found = embedding[rows.clamp(min=0)]
    return found.masked_fill(rows[:, None] < 0, 0.0)


def resize_positions(positions: Tensor, grid: tuple[int, int]) -> Tensor:
    """Resize the positions (1 + N, C) of a class token and a square grid of N patches to another grid.

    Bicubic interpolation, as in Dosovitskiy et al. (2021, section 3.2) for images of another size.

    Args:
        positions: the published position embeddings.
        grid: number of patches (down, across).

    Returns:
        (1 + down * across, C).
    """
    side = round((len(positions) - 1) ** 0.5)
    if (side, side) == grid:
        return positions
    square = positions[1:].T.unflatten(1, (side, side))[None]  # (1, C, side, side)
    made = F.interpolate(square, size=grid, mode="bicubic", align_corners=False)
    return torch.cat([positions[:1], made[0].flatten(1).T])
