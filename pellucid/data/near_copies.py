"""Rows that are nearly the same, and whether two splits are similar: both from a few features of each row.

A row becomes at most `FEATURES` numbers: a small gray picture, the start of an array or a table, or how often
each bucket of token ids occurs. Work is bounded by samples, whatever the size of the data.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

FEATURES, SIDE = 256, 16
QUERIES, SEARCHED = 1_000, 20_000
"""Rows that are looked for, and rows among which they are looked for, at most."""
MOST_VALUES = 2**26
"""Pixels or numbers that are read of a split."""
CLOSE, CLOSE_WORDS = 0.98, 0.93
"""Cosine of two features from which on rows are compared value by value, and texts word by word."""
SAME = 0.08
"""Largest difference of two rows, as a share of how much a row varies, that makes them nearly the same."""
SAME_WORDS = 0.9
"""Share of tokens, with their counts, that two texts have in common to be nearly the same."""
FEWEST_TOKENS = 8
PAIRS = 50


@dataclass(frozen=True)
class Pair:
    """Two rows that are nearly the same: their numbers, and their similarity, 0..1."""

    row: int
    other: int
    alike: float


class Features:
    """Features of rows of a split.

    Args:
        rows: encoded rows of a split.
        limit: rows to take, drawn at random but always the same.
        tokens: whether inputs are token ids, padded with 0.
    """

    def __init__(self, rows: Any, limit: int, *, tokens: bool):
        self.rows, self.tokens = rows, tokens
        size = 1 if tokens else max(1, next(rows.batches([torch.zeros(1, dtype=torch.long)]))[0].numel())
        order = torch.randperm(len(rows), generator=torch.Generator().manual_seed(0))
        self.numbers = order[: min(limit, max(100, MOST_VALUES // size))].sort().values
        parts = (batch[0] for batch in rows.batches(list(self.numbers.split(1_024))))
        self.values = torch.cat([_tokens(part) if tokens else _values(part) for part in parts])

    def __len__(self) -> int:
        return len(self.numbers)

    def row(self, place: int) -> Tensor:
        """Return the inputs of a row."""
        return next(self.rows.batches([self.numbers[place : place + 1]]))[0][0]


def near_copies(queries: Features, searched: Features, *, same_split: bool = False) -> list[Pair]:
    """Return rows of `queries` that are nearly the same as one of `searched`, each with the most similar.

    Args:
        queries: of a split.
        searched: of another, or of the same.
        same_split: a row is not compared with itself, and a pair is returned once.
    """
    if not len(queries) or not len(searched) or searched.values.shape[1] < 2:
        return []
    found: list[Pair] = []
    keys = _unit(searched.values, queries.tokens)
    for start in range(0, len(queries), 512):
        block = _unit(queries.values[start : start + 512], queries.tokens)
        cosines = block @ keys.T
        if same_split:
            cosines[queries.numbers[start : start + 512, None] <= searched.numbers[None]] = -1
        best, places = cosines.max(1)
        for number in torch.nonzero(best >= (CLOSE_WORDS if queries.tokens else CLOSE))[:, 0].tolist():
            query, other = start + number, int(places[number])
            alike = _compare(queries.row(query), searched.row(other), tokens=queries.tokens)
            if alike is not None:
                found.append(Pair(int(queries.numbers[query]), int(searched.numbers[other]), alike))
    return found


def domain_auc(one: Features, other: Features) -> tuple[float, float] | None:
    """Return how well a linear classifier tells two splits apart, as AUC, and its standard error.

    Both splits are cut in two; each half is scored by a ridge regression fitted on the other (the classifier
    two-sample test of Lopez-Paz and Oquab 2017). The error is that of Hanley and McNeil 1982. None where
    there are too few rows.
    """
    size = min(len(one), len(other), QUERIES)
    if size < 40:
        return None
    values = torch.cat(
        [one.values[_spread(len(one), size)], other.values[_spread(len(other), size)]]
    ).double()
    values = (values - values.mean(0)) / values.std(0).clamp(min=1e-6)
    values = torch.cat([values.clamp(-5, 5), torch.ones(len(values), 1)], 1)
    labels = torch.cat([torch.full((size,), -1.0), torch.ones(size)]).double()
    half = torch.arange(len(labels)) % 2 == 0
    scores = torch.zeros(len(labels), dtype=torch.float64)
    for fold in (half, ~half):
        kept = values[~fold]
        ridge = kept.T @ kept + 0.1 * len(kept) * torch.eye(kept.shape[1])
        scores[fold] = values[fold] @ torch.linalg.solve(ridge.double(), kept.T @ labels[~fold])
    aucs = [_auc(scores[fold], labels[fold] > 0) for fold in (half, ~half)]
    auc = float(np.mean(aucs))
    n = size / 2
    q1, q2 = auc / (2 - auc), 2 * auc * auc / (1 + auc)
    variance = (auc * (1 - auc) + (n - 1) * (q1 + q2 - 2 * auc * auc)) / (n * n)
    return auc, float(np.sqrt(max(variance, 1e-12) / 2))


# ---- features ------------------------------------------------------------------------------------------


def _values(inputs: Tensor) -> Tensor:
    """(B, ...) -> (B, D): images as small gray pictures, anything else as its first numbers."""
    inputs = inputs.float()
    if inputs.ndim == 4:
        gray = inputs.mean(1, keepdim=True)
        small = F.adaptive_avg_pool2d(gray, SIDE) if min(gray.shape[-2:]) > SIDE else gray
        return small.flatten(1)[:, :FEATURES]
    flat = inputs.flatten(1)
    if flat.shape[1] > FEATURES:  # evenly spread over a series or an array
        flat = flat[:, torch.linspace(0, flat.shape[1] - 1, FEATURES).long()]
    return flat.nan_to_num()


def _tokens(ids: Tensor) -> Tensor:
    """(B, T) -> (B, FEATURES): how often a token of each bucket occurs."""
    buckets = (ids * 2_654_435_761 % 2**32) % FEATURES
    counts = torch.zeros(len(ids), FEATURES)
    return counts.scatter_add_(1, buckets, (ids != 0).float())


def _unit(values: Tensor, tokens: bool) -> Tensor:
    centered = values if tokens else values - values.mean(1, keepdim=True)
    norm = centered.norm(dim=1, keepdim=True)
    return torch.where(norm > 1e-6, centered / norm.clamp(min=1e-6), torch.zeros_like(centered))


def _compare(one: Tensor, other: Tensor, *, tokens: bool) -> float | None:
    """Return the similarity of two rows, 0..1; None where they are not nearly the same."""
    if tokens:
        a, b = one[one != 0], other[other != 0]
        if min(len(a), len(b)) < FEWEST_TOKENS:
            return None
        size = int(max(a.max(), b.max())) + 1
        counts = [torch.bincount(ids, minlength=size) for ids in (a, b)]
        share = float(torch.minimum(*counts).sum() / torch.maximum(*counts).sum())
        return share if share >= SAME_WORDS else None
    if one.shape != other.shape:
        return None
    a, b = one.flatten().double(), other.flatten().double()
    a, b = a - a.mean(), b - b.mean()
    if min(a.norm(), b.norm()) < 1e-6:
        return None
    difference = float((a / a.norm() - b / b.norm()).norm())
    return 1 - difference if difference <= SAME else None


def _spread(rows: int, wanted: int) -> Tensor:
    return torch.linspace(0, rows - 1, wanted).long()


def _auc(scores: Tensor, positive: Tensor) -> float:
    """The share of pairs of a positive and a negative row that are in the right order; ties count half."""
    values, inverse = torch.unique(scores, return_inverse=True)
    counts = torch.bincount(inverse, minlength=len(values)).double()
    ranks = (counts.cumsum(0) - (counts - 1) / 2)[inverse]
    n, m = int(positive.sum()), int((~positive).sum())
    return float((ranks[positive].sum() - n * (n + 1) / 2) / (n * m))
