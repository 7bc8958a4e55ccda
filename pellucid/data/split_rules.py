"""Splits that a column decides: by group, by time, by the names of splits; and folds."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pyarrow as pa

from pellucid.config import SplitConfig
from pellucid.data.dataset import Dataset
from pellucid.errors import BadDataError, UnknownNameError

SPLIT_WORDS = {
    **dict.fromkeys(("train", "training", "tr"), "train"),
    **dict.fromkeys(("validation", "valid", "val", "dev"), "validation"),
    **dict.fromkeys(("test", "testing", "te", "eval", "holdout"), "test"),
}
"""How tables name splits."""


def rule_columns(rule: SplitConfig) -> tuple[str, ...]:
    """Return the columns that a rule reads."""
    return tuple(name for name in (rule.group, rule.time, rule.column) if name)


def without_rule_columns(dataset: Dataset, rule: SplitConfig, inputs: list[str] | None) -> Dataset:
    """Take the columns of groups and split names out of the inputs; they stay in the tables.

    Args:
        dataset: before it is split.
        rule: which rows are held out.
        inputs: the columns that the user wants as inputs, which stay; None: not said.

    Raises:
        UnknownNameError: there is no such column.
    """
    for name in rule_columns(rule):
        if name not in dataset.splits["train"].column_names:
            raise UnknownNameError("column of data.split", name, dataset.splits["train"].column_names)
    dropped = {rule.group, rule.column} - set(inputs or ()) - {dataset.target}
    kept = tuple(column for column in dataset.columns if column.name not in dropped)
    if rule.time and inputs is not None and rule.time not in inputs:
        kept = tuple(column for column in kept if column.name != rule.time)
    if not any(column.name != dataset.target for column in kept):
        raise BadDataError(f"{dataset.name} has no column to learn from but those of data.split.")
    return replace(dataset, columns=kept)


def by_column(dataset: Dataset, name: str) -> Dataset:
    """Return a dataset with the splits that a column names.

    Raises:
        BadDataError: a value names no split, or none is train; lists the values.
    """
    if list(dataset.splits) != ["train"]:
        raise BadDataError(
            f"{dataset.name} comes with the splits {', '.join(dataset.splits)}, so data.split.column={name} "
            "cannot make others.",
            remedy="--set data.split.column=null",
        )
    table = dataset.splits["train"]
    words = ["" if value is None else str(value).strip().lower() for value in table[name].to_pylist()]
    places = np.array([SPLIT_WORDS.get(word, "") for word in words])
    unknown: dict[str, int] = {}  # where each first occurs
    for row in np.flatnonzero(places == ""):
        unknown.setdefault(words[row], int(row) + 1)
    if unknown or "train" not in places:
        seen = [f"{repr(word) if word else 'nothing'} in row {row:,}" for word, row in unknown.items()]
        received = ", ".join((seen or list(map(repr, sorted(set(words)))))[:5])
        raise BadDataError(
            f"Column {name!r}: expected names of splits (train, validation, test), received {received}.",
            remedy="another column at data.split.column",
        )
    made = {
        split: table.filter(pa.array(places == split))
        for split in ("train", "validation", "test")
        if (places == split).any()
    }
    sizes = ", ".join(f"{split} {len(part):,}" for split, part in made.items())
    return dataset.with_splits(made, f"split by the column {name!r}: {sizes} rows")


def without_test(dataset: Dataset) -> Dataset:
    """Leave out the test split of the source: folds are taken from the training rows."""
    if "test" not in dataset.splits:
        return dataset
    kept = {split: table for split, table in dataset.splits.items() if split != "test"}
    return dataset.with_splits(kept, "test: not used, since the folds are of the training rows")


def by_time(
    dataset: Dataset, name: str, wanted: Mapping[str, float]
) -> tuple[dict[str, pa.Table], list[str]]:
    """Take the newest rows; rows of one time stay together.

    Raises:
        BadDataError: the column holds neither dates nor numbers, or misses values, or has too few times.
    """
    table = dataset.splits["train"]
    column = table[name]
    ordered = pa.types.is_temporal(column.type) or pa.types.is_integer(column.type)
    if not (ordered or pa.types.is_floating(column.type)):
        raise BadDataError(f"data.split.time={name}: expected dates or numbers, received {column.type}.")
    if column.null_count:
        row = column.to_pylist().index(None)
        raise BadDataError(f"Column {name!r} has no time in row {row + 1:,}.", remedy="remove the row")
    stamps = column.cast(pa.int64()).to_numpy() if pa.types.is_temporal(column.type) else column.to_numpy()
    order = np.argsort(stamps, kind="stable")
    place, end, words = np.zeros(len(table), np.int8), len(table), []
    for code, (split, share) in enumerate(wanted.items(), start=1):
        cut = min(max(end - max(round(share * len(table)), 1), 0), len(table) - 1)
        cut = int(np.searchsorted(stamps[order], stamps[order][cut], side="left"))
        if cut <= 0 or cut >= end:
            raise BadDataError(f"{dataset.name}: {name!r} has too few different times to hold out {split}.")
        place[order[cut:end]] = code
        words.append(f"{split} ({end - cut:,} rows) from {column[int(order[cut])]} on")
        end = cut
    parts = {split: table.filter(pa.array(place == code)) for code, split in enumerate(("train", *wanted))}
    return parts, [f"split by the time {name!r}: {', '.join(words)}"]


def groups(dataset: Dataset, table: pa.Table, name: str) -> tuple[np.ndarray, np.ndarray]:
    """Return the first row of every group, and the group of every row; a missing value is a group of its own.

    Raises:
        BadDataError: there are too few groups.
    """
    keys = [
        f"row {row}" if value is None else f"= {value}" for row, value in enumerate(table[name].to_pylist())
    ]
    found, heads, codes = np.unique(np.array(keys), return_index=True, return_inverse=True)
    if len(found) < 3:
        raise BadDataError(
            f"Column {name!r} has {len(found)} different values: expected at least 3 groups to train, "
            "validate and test.",
            remedy="another column at data.split.group",
        )
    return heads, codes


def fold_rows(order: np.ndarray, rule: SplitConfig) -> np.ndarray:
    """Return the rows, or groups, of the fold that is the test split.

    Args:
        order: all of them by stratum, in random order within each.
        rule: the number of folds, and which.
    """
    assert rule.folds is not None
    if len(order) < rule.folds:
        raise BadDataError(
            f"{rule.folds} folds need at least {rule.folds} "
            f"{f'values of {rule.group!r}' if rule.group else 'different rows'}, received {len(order)}.",
            remedy=f"--set data.split.folds={len(order)}" if len(order) > 1 else None,
        )
    return order[np.arange(len(order)) % rule.folds == rule.fold - 1]


def straddling(made: Mapping[str, pa.Table], rule: SplitConfig) -> list[str]:
    """Warn of groups and times that the splits of the source do not keep apart.

    Args:
        made: all splits.
        rule: how those were made that the source lacked.
    """
    notes, names = [], [name for name in ("train", "validation", "test") if name in made]
    for before, after in itertools.combinations(names, 2):
        if rule.group is not None:
            own, other = (set(made[name][rule.group].drop_null().to_pylist()) for name in (before, after))
            if both := own & other:
                shown = ", ".join(sorted(map(str, both))[:3]) + (" ..." if len(both) > 3 else "")
                notes.append(
                    f"warning: {len(both):,} values of {rule.group!r} are in {before} and in {after}, since "
                    f"the source comes with a split: {shown}"
                )
        if rule.time is not None:
            newest = max(made[before][rule.time].drop_null().to_pylist())
            oldest = min(made[after][rule.time].drop_null().to_pylist())
            if newest >= oldest:
                notes.append(
                    f"warning: {before} reaches to {newest}, {after} begins at {oldest}, since the source "
                    "comes with a split"
                )
    return notes


def uneven(rule: SplitConfig, parts: Mapping[str, pa.Table], wanted: Mapping[str, float]) -> list[str]:
    """Warn of held-out splits that have far more rows than asked for, since groups differ in size."""
    total = sum(map(len, parts.values()))
    return [
        f"warning: {name} has {len(parts[name]) / total:.0%} of the rows, not {share:.0%}: the groups of "
        f"{rule.group!r} differ in size or are few; another data.split_seed makes another choice"
        for name, share in wanted.items()
        if len(parts[name]) > max(2 * share, share + 0.1) * total
    ]


def describe(rule: SplitConfig, count: int) -> list[str]:
    """Say which rule was used."""
    notes = [f"rows of one {rule.group!r} stay in one split, {count:,} groups"] if rule.group else []
    return notes + ([f"test is fold {rule.fold} of {rule.folds}"] if rule.folds else [])
