"""From the weights that others publish to ours: where each tensor belongs.

`fill` copies the tensors into the model that `pellucid.models.architecture` makes of their architecture. One
that is missing, left over or of another shape is an error: a model with some of its weights would look like
one and know nothing.
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
"""Added to the logit of a token that cannot come next: its probability is 0 in every precision."""
LISTED = 5
_BLOCK = re.compile(r"blocks\.(\d+)\.")


def fill(model: nn.Module, family: str, tensors: Tensors, order: Sequence[int] | None = None) -> None:
    """Copy their tensors into a model.

    Images may have another size or be grey: positions are then resized, and the weights of the colors added
    up, which is what they make of a grey picture in three equal colors.

    Args:
        model: made from their architecture; changed in place.
        family: one of `FAMILIES`.
        tensors: by their names.
        order: for texts, their number of each of our tokens; -1 for a token they do not have. None: all
            tokens are numbered as theirs.

    Raises:
        ValueError: names the tensors that are missing, left over, or of another shape.
    """
    spec = FAMILIES[family]
    theirs = _plain(tensors, spec)
    used, problems = set(), []
    for name, mine in model.state_dict().items():
        if name == "embedding.never":
            if order is not None:
                mine.masked_fill_(torch.tensor(order) < 0, NEVER)
            continue
        source, _, third = _source(name, spec.names).partition("#")
        if source not in theirs:
            problems.append(f"{source} is missing")
            continue
        used.add(source)
        found = _fitted(model, name, _part(theirs[source], third), order)
        if found.shape == mine.shape:
            mine.copy_(found)
        else:
            problems.append(f"{source} is {tuple(found.shape)}, expected {tuple(mine.shape)}")
    left = [name for name in theirs if name not in used and not re.fullmatch(spec.unused, name)]
    problems += [f"{name} has no place in a model of the type {family}" for name in left]
    if problems:
        more = f"; and {len(problems) - LISTED} more" if len(problems) > LISTED else ""
        raise ValueError(
            f"The weights are not those of their config.json: {'; '.join(problems[:LISTED])}{more}."
        )


def _plain(tensors: Tensors, family: Family) -> dict[str, Tensor]:
    """Their tensors under one spelling of their names, as (out, in), and BERT's first token type put into
    the positions: both are added to every token."""
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


def _source(name: str, names: Mapping[str, str]) -> str:
    """Their name for one of our tensors, with the third of it that is meant."""
    block = _BLOCK.match(name)
    name = _BLOCK.sub("blocks.*.", name, count=1)
    module, _, kind = name.rpartition(".")
    template = names.get(name)
    if template is None:
        source, mark, third = names[module].partition("#")
        template = f"{source}.{kind}{mark}{third}"
    return template.replace("*", block.group(1)) if block else template


def _part(tensor: Tensor, third: str) -> Tensor:
    return tensor.chunk(3)[int(third)] if third else tensor


def _fitted(model: nn.Module, name: str, tensor: Tensor, order: Sequence[int] | None) -> Tensor:
    """Bring a tensor to the vocabulary, or to the images, of a model."""
    if name == "embedding.weight" and order is not None:
        return rearranged(tensor, order)
    if not isinstance(model, ViT):
        return tensor
    if name in ("class_token", "positions.weight"):
        tensor = tensor.flatten(0, -2)
    if name == "class_token":
        return tensor[0]
    if name == "positions.weight":
        return resized(tensor, model.grid)
    if name == "stem.weight" and model.image_shape[0] == 1:
        return tensor.sum(1, keepdim=True)
    return tensor


def rearranged(embedding: Tensor, order: Sequence[int]) -> Tensor:
    """Put the rows of an embedding (V, C) in our order; a token of ours alone gets zeros.

    Raises:
        ValueError: there are tokens without a row.
    """
    if max(order) >= len(embedding):
        raise ValueError(f"The tokenizer has {max(order) + 1:,} tokens, and the weights {len(embedding):,}.")
    rows = torch.tensor(order)
    found = embedding[rows.clamp(min=0)]
    return found.masked_fill(rows[:, None] < 0, 0.0)


def resized(positions: Tensor, grid: tuple[int, int]) -> Tensor:
    """Resize the positions (1 + N, C) of a class token and a square of N patches to another grid.

    Bicubic, as Dosovitskiy et al. (2021, section 3.2) do for pictures of another size.
    """
    side = round((len(positions) - 1) ** 0.5)
    if (side, side) == grid:
        return positions
    square = positions[1:].T.unflatten(1, (side, side))[None]  # (1, C, side, side)
    made = F.interpolate(square, size=grid, mode="bicubic", align_corners=False)
    return torch.cat([positions[:1], made[0].flatten(1).T])
