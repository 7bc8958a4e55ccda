"""Who is nearest to whom in an embedding: scores, curves and pictures.

Shapes: N rows, D numbers in an embedding of unit length, k neighbors.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pellucid.data.batches import MemoryRows
from pellucid.data.kinds.image import ImageInputs
from pellucid.tasks.prepared import Prepared
from pellucid.tasks.shared import image_grid
from pellucid.tasks.shared.image_grid import grid
from pellucid.tasks.shared.projection import POINTS, grouped, principal

NEAREST = 5
QUERIES = 2000
"""Rows whose whole ranking is looked at, for mean average precision."""
PAIRED = 1000
"""Rows of which all pairs are verified."""
BLOCK = 512
GROUPS = 12
SHOWN_QUERIES = 8  # lines of the picture of neighbors
MAX_MISTAKES = 4  # of these lines, at most
FRAME = (0.84, 0.15, 0.16)
"""Red, around a neighbor of another class."""


@dataclass(frozen=True)
class Neighbors:
    """The neighbors of each of N rows among the others.

    Attributes:
        classes: (N,).
        nearest: rows by similarity, (N, k).
        similarity: cosine of the nearest, (N,).
        precision: average precision of at most `QUERIES` rows, those that have others of their class.
    """

    classes: Tensor
    nearest: Tensor
    similarity: Tensor
    precision: Tensor

    @property
    def hits(self) -> Tensor:
        """Whether each neighbor is of the row's class, (N, k)."""
        return self.classes[self.nearest] == self.classes[:, None]

    @property
    def asked(self) -> Tensor:
        """Whether a row has another of its class, (N,)."""
        return torch.bincount(self.classes)[self.classes] > 1


def find(embeddings: Tensor, classes: Tensor) -> Neighbors:
    """Compare every row with all others.

    Args:
        embeddings: (N, D), of unit length.
        classes: (N,), int64.
    """
    count = min(NEAREST, len(classes) - 1)
    nearest, similarity = [], []
    for start in range(0, len(classes), BLOCK):
        top = _similarities(embeddings, torch.arange(start, min(start + BLOCK, len(classes)))).topk(count)
        nearest.append(top.indices)
        similarity.append(top.values[:, 0])
    return Neighbors(
        classes, torch.cat(nearest), torch.cat(similarity), _average_precision(embeddings, classes)
    )


def scores(found: Neighbors) -> dict[str, float]:
    """Return recall_at_1 and recall_at_5 (whether one of the nearest is of the row's class), and map."""
    hits = found.hits[found.asked]
    return {
        "recall_at_1": hits[:, 0].double().mean().item(),
        f"recall_at_{NEAREST}": hits.any(1).double().mean().item(),
        "map": found.precision.double().mean().item(),
    }


def verification(embeddings: Tensor, classes: Tensor) -> tuple[dict[str, Any], float]:
    """Verify pairs by their cosine: the ROC curve as a block, and its area."""
    from sklearn import metrics  # here, since predicting does not need it

    chosen = _sample(len(classes), PAIRED)
    first, second = torch.triu_indices(len(chosen), len(chosen), 1)
    cosines = embeddings[chosen] @ embeddings[chosen].T
    same = classes[chosen][first] == classes[chosen][second]
    false, true, _ = metrics.roc_curve(same.numpy(), cosines[first, second].numpy())
    area = float(metrics.auc(false, true))
    places = np.linspace(0, 1, 101)
    block = {
        "kind": "lines",
        "title": "Same class or not: ROC curve",
        "caption": f"{len(same):,} pairs of held-out rows, classified as the same class by their cosine "
        f"similarity, at every threshold; the area under the curve is {area:.4f}.",
        "x_label": "false positive rate",
        "y_label": "true positive rate",
        "series": [{"name": "embedding", "x": places.tolist(), "y": np.interp(places, false, true).tolist()}],
    }
    return block, area


def plane(embeddings: Tensor, names: list[str]) -> dict[str, Any]:
    """Show at most `POINTS` rows of at most `GROUPS` classes where they differ most."""
    chosen = _sample(len(names), POINTS)
    projected, share = principal(embeddings[chosen])
    groups = grouped(projected, [names[row] for row in chosen.tolist()])
    left = f" {GROUPS} of {len(groups)} classes are shown." if len(groups) > GROUPS else ""
    return {
        "kind": "scatter",
        "title": "Embeddings",
        "caption": f"Every point is a held-out row, projected on the first two principal components "
        f"({100 * share:.0f} % of the variance); colors are classes.{left}",
        "x_label": "1st component",
        "y_label": "2nd component",
        "groups": groups[:GROUPS],
    }


def images_of(prepared: Prepared, split: str) -> Tensor | None:
    """Return the images of a split in 0..1, (N, C, H, W); None where rows are no images in memory."""
    source, preprocess = prepared.rows[split], prepared.preprocess
    if not isinstance(source, MemoryRows) or len(preprocess.input_shape) != 3:
        return None
    if isinstance(preprocess.encoded, ImageInputs):
        return preprocess.pixels(prepared.dataset.splits[split]).float() / 255
    low, high = source.inputs.amin(), source.inputs.amax()
    return (source.inputs - low) / (high - low).clamp(min=1e-12)


def picture(found: Neighbors, images: Tensor, file: str) -> tuple[dict[str, Any], bytes]:
    """Draw rows next to their nearest neighbors; those of another class have a red frame."""
    rows = _queries(found)
    shown = []
    for row in rows.tolist():
        shown.append(_framed(images[row], False))
        hits = found.hits[row].tolist()
        shown += [_framed(images[near], not hit) for near, hit in zip(found.nearest[row], hits, strict=True)]
    wrong = int((~found.hits[rows, 0]).sum())
    caption = (
        f"Each line is a held-out row and its {found.nearest.shape[1]} nearest neighbors; those of another "
        f"class have a red frame. {wrong} of the {len(rows)} lines were chosen because the nearest is wrong."
    )
    return image_grid.picture("Nearest neighbors", caption, file), grid(
        torch.stack(shown), found.nearest.shape[1] + 1
    )


def _queries(found: Neighbors) -> Tensor:
    """Rows to show: at random those whose nearest is right, then some whose nearest is wrong."""
    right = found.hits[:, 0]
    order = _sample(len(found.classes), len(found.classes))
    wrong = order[(~right & found.asked)[order]][:MAX_MISTAKES]
    return torch.cat([order[right[order]][: SHOWN_QUERIES - len(wrong)], wrong])


def _framed(image: Tensor, wrong: bool) -> Tensor:
    """(C, H, W) -> (3, H, W), with a frame where it is wrong."""
    colored = image.expand(3, -1, -1).clone() if len(image) == 1 else image[:3].clone()
    if wrong:
        width = max(1, image.shape[1] // 24)
        inside = torch.zeros(image.shape[1:], dtype=torch.bool)
        inside[width:-width, width:-width] = True
        colored = torch.where(inside, colored, torch.tensor(FRAME)[:, None, None])
    return colored


def _similarities(embeddings: Tensor, rows: Tensor) -> Tensor:
    """Cosines of some rows with all, (n, N); with itself a row has the least there is."""
    found = embeddings[rows] @ embeddings.T
    found[torch.arange(len(rows)), rows] = -torch.inf
    return found


def _average_precision(embeddings: Tensor, classes: Tensor) -> Tensor:
    """The mean of the precision at each other row of a row's class, over the whole ranking."""
    able = torch.nonzero(torch.bincount(classes)[classes] > 1).flatten()
    queries = able[_sample(len(able), QUERIES)]
    found = []
    for rows in queries.split(BLOCK):
        order = _similarities(embeddings, rows).argsort(dim=1, descending=True)[:, :-1]
        hits = (classes[order] == classes[rows][:, None]).float()
        precision = hits.cumsum(1) / torch.arange(1, hits.shape[1] + 1)
        found.append((precision * hits).sum(1) / hits.sum(1))
    return torch.cat(found)


def _sample(count: int, most: int) -> Tensor:
    """Return at most `limit` of `count` rows, at random but always the same."""
    return torch.randperm(count, generator=torch.Generator().manual_seed(0))[:most]
