"""What stands out in the classes of a dataset: names that may be one class, absent and opposed ones."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from pellucid.data import hashing
from pellucid.data.dataset import Dataset
from pellucid.data.targets.classes import class_codes

LISTED = 5
EXPECTED = 1.2
"""A split should have this many rows of a class, for its absence to be worth a warning."""


@dataclass(frozen=True)
class Warned:
    """Something that stands out: what was seen, and what to try."""

    seen: str
    remedy: str


def warnings_of_classes(dataset: Dataset, classes: Mapping[str, Mapping[str, int]]) -> list[Warned]:
    """Return what stands out in the classes of a dataset.

    Args:
        dataset: with its splits.
        classes: rows of each class, by split.
    """
    if dataset.task != "classification" or dataset.target is None:
        return []
    return [*_alike(classes), *_absent(classes), *_contradictions(dataset)]


def _alike(classes: Mapping[str, Mapping[str, int]]) -> list[Warned]:
    """Classes whose names differ only in case and spaces."""
    named: dict[str, list[str]] = {}
    for name in classes.get("train", {}):
        named.setdefault("".join(name.casefold().split()), []).append(name)
    pairs = [" and ".join(map(repr, names)) for names in named.values() if len(names) > 1]
    if not pairs:
        return []
    return [
        Warned(
            f"Names of classes differ only in case or spaces: {_listed(pairs)}.",
            "if they are one class, give them one name",
        )
    ]


def _absent(classes: Mapping[str, Mapping[str, int]]) -> list[Warned]:
    """Held-out splits without any row of a class, where there should be some."""
    train, found = classes.get("train", {}), []
    for split in ("validation", "test"):
        counts = classes.get(split, {})
        share = sum(counts.values()) / max(sum(train.values()), 1)
        expected = [name for name, count in train.items() if count * share >= EXPECTED]
        lacking = [name for name in expected if not counts.get(name)]
        if lacking:
            found.append(
                Warned(
                    f"{split} has no rows of {len(lacking):,} of {len(train):,} classes, "
                    f"{_listed(list(map(repr, lacking)))}: its scores say nothing about them.",
                    f"add rows of them to {split}, or let Pellucid make the split, stratified by class",
                )
            )
    return found


def _contradictions(dataset: Dataset) -> list[Warned]:
    """Images and texts that occur with several classes; equal rows of a table are ordinary."""
    kinds = {column.kind for column in dataset.inputs}
    if not kinds or not kinds <= {"image", "text"} or dataset.target is None:
        return []
    tables = [dataset.splits[name] for name in ("train", "validation", "test") if name in dataset.splits]
    tables = [table for table in tables if not table[dataset.target].null_count]
    names = [column.name for column in dataset.inputs]
    inputs = np.concatenate([hashing.rows(table, names) for table in tables])
    target = dataset.column(dataset.target)
    codes = np.concatenate([class_codes(target, table[target.name]) for table in tables])
    _, groups = np.unique(inputs, return_inverse=True)
    pairs = np.unique(np.stack([groups, codes]), axis=1)
    several = np.bincount(pairs[0]) > 1
    rows = int(several[groups].sum())
    if not rows:
        return []
    kind = " and ".join(sorted(kinds))
    return [
        Warned(
            f"{rows:,} rows contradict each other: the same {kind} with another class.",
            "correct their classes, or leave them out",
        )
    ]


def _listed(words: list[str]) -> str:
    return ", ".join(words[:LISTED]) + (" ..." if len(words) > LISTED else "")
