"""Remedies of labels and of the order and number of rows."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.utils.data import DataLoader, RandomSampler

from pellucid.lens.remedy.parts import Loop, Parts, Unfit
from pellucid.lens.remedy.registry import Case, remedy
from pellucid.lens.remedy.rows import Shuffled, all_rows, is_rows, loader_of, put_rows, size_of, take

FOLDS = 3


@remedy(
    "rows-shuffled",
    "unshuffled-batches",
    words="rows are in random order",
    size=1,
    edit="DataLoader(..., shuffle=True)",
)
def rows_shuffled(parts: Parts, case: Case) -> Parts:
    batches = parts.batches
    if isinstance(batches, DataLoader):
        if isinstance(batches.sampler, RandomSampler):
            raise Unfit("the rows are in random order already")
        parts.batches = loader_of(batches, batches.dataset, shuffle=True)
        return parts
    x, y = all_rows(parts)
    if is_rows(batches):
        order = torch.randperm(len(x))
        return put_rows(parts, x[order], y[order])
    parts.batches = Shuffled(batches, x, y, size_of(parts))
    return parts


@remedy(
    "rare-classes-repeated",
    "imbalanced-classes",
    words="rows of rare classes come more often",
    size=2,
    edit="a WeightedRandomSampler with the inverse of the class counts",
)
def rare_classes_repeated(parts: Parts, case: Case) -> Parts:
    targets = all_rows(parts)[1]
    if targets.ndim != 1 or targets.is_floating_point():
        raise Unfit("the targets are no classes")
    counts = torch.bincount(targets)
    weights = 1.0 / counts[targets].float()
    rows = torch.multinomial(weights, len(targets), replacement=True)
    return take(parts, rows)


def predicted(loop: Loop, parts: Parts, seed: int) -> Tensor:
    """Return the class that is predicted for each row by a model which was trained on other rows."""
    x, y = all_rows(parts)
    if y.ndim != 1 or y.is_floating_point():
        raise Unfit("the targets are no classes")
    order = torch.randperm(len(x), generator=torch.Generator().manual_seed(seed))
    found = torch.empty(len(x), dtype=torch.long)
    for part in order.chunk(FOLDS):
        rest = torch.ones(len(x), dtype=torch.bool)
        rest[part] = False
        scout = take(loop.make(seed), rest.nonzero().flatten())
        loop.run(scout, seed)
        scout.module.eval()
        with torch.no_grad():
            outputs = scout.module(x[part])
        if not isinstance(outputs, Tensor) or outputs.ndim != 2:
            raise Unfit("the model has no output for each class")
        found[part] = outputs.argmax(1)
    return found


@remedy(
    "doubtful-rows-out",
    "label-noise",
    words="rows whose label a model of other rows contradicts are left out",
    size=4,
    edit="correct or leave out the rows whose label a cross-validated model contradicts",
)
def doubtful_rows_out(parts: Parts, case: Case) -> Parts:
    targets = all_rows(parts)[1]
    agree = predicted(case.loop, parts, case.seed) == targets
    if agree.sum() < 0.2 * len(agree):
        raise Unfit("hardly any label is predicted")
    left = int((~agree).sum())
    rows = agree.nonzero().flatten()
    rows = rows[torch.randint(0, len(rows), (len(agree),))] if len(rows) < len(agree) / 2 else rows
    return take(parts, rows).say(f"{left} of {len(agree)} rows whose label is contradicted are left out")


@remedy(
    "labels-corrected",
    "label-noise",
    words="labels that a model of other rows contradicts are replaced by its own",
    size=5,
    edit="correct the labels that a cross-validated model contradicts",
)
def labels_corrected(parts: Parts, case: Case) -> Parts:
    x, y = all_rows(parts)
    found = predicted(case.loop, parts, case.seed)
    return put_rows(parts, x, found.to(y.dtype))
