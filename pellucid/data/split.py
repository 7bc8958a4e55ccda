"""Training, validation and test splits: stratified, seeded, with equal rows in the same split.

Splits that the source already has are kept: a given test split is used as it is, and validation rows are then
taken only from the training rows.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
import pyarrow as pa

from pellucid.config import SplitConfig
from pellucid.data import hashing, split_rules, targets
from pellucid.data.dataset import SPLITS, UNLABELED, Dataset
from pellucid.data.targets.classes import class_codes
from pellucid.errors import BadDataError, ConfigError

SMALLEST = 3
FEW = 10
"""Fewer documents than this are each split by position, not among the splits."""


def split(
    dataset: Dataset,
    *,
    validation: float = 0.1,
    test: float = 0.1,
    seed: int = 0,
    labelled: bool = True,
    rule: SplitConfig | None = None,
) -> Dataset:
    """Give a dataset the splits it lacks; a single document is cut by position.

    Args:
        dataset: with at least a training split.
        validation: share of all rows held out to watch training, in (0, 1).
        test: share of all rows held out for the final evaluation, in [0, 1); 0: no test split at all.
        seed: the same seed and rows give the same split.
        labelled: whether its classes are learned, so that there must be enough rows of each.
        rule: which rows are held out; None: at random.

    Returns:
        A dataset with train, validation and test, and notes on what was done.

    Raises:
        BadDataError: there are too few rows, a single class, or classes that no training row has.
    """
    rule = rule or SplitConfig()
    if rule.column is not None:
        dataset = split_rules.by_column(dataset, rule.column)
    elif rule.folds is not None:
        dataset = split_rules.without_test(dataset)
        test = 1 / rule.folds
    wanted = {
        name: share
        for name, share in (("test", test), ("validation", validation))
        if name not in dataset.splits and share > 0
    }
    made, notes = dict(dataset.splits), []
    if wanted:
        if sum(wanted.values()) >= 1:
            raise BadDataError(
                f"{' and '.join(wanted)} would take {sum(wanted.values()):.0%} of the rows: expected less.",
                remedy="--set data.validation=0.1 --set data.test=0.1",
            )
        cut = is_document(dataset) or _few_documents(dataset)
        if cut and (rule.time or rule.group or rule.folds):
            raise ConfigError(
                f"{dataset.name} is text without rows: data.split cannot be applied.",
                remedy="--set data.split=null splits documents by position",
            )
        if rule.time is not None:
            parts, notes = split_rules.by_time(dataset, rule.time, wanted)
        else:
            parts, notes = _by_position(dataset, wanted) if cut else _take(dataset, wanted, seed, rule)
        made |= parts
        notes = [*notes, *split_rules.straddling(made, rule)]
    elif rule.time or rule.group:
        raise BadDataError(
            f"{dataset.name} comes with the splits {', '.join(dataset.splits)}, so data.split makes none.",
            remedy="--set data.split=null, or put all rows into one file",
        )
    if UNLABELED in made:
        made[UNLABELED], said = drop_leaks(dataset, made)
        notes = [*notes, *said]
    if not test and made.pop("test", None) is not None:
        notes = [*notes, "test: not used, since data.test is 0"]
    ordered = {name: made[name] for name in (*SPLITS, UNLABELED) if name in made}
    result = dataset.with_splits(ordered, *notes)
    if labelled:
        check_classes(result)
    return result


def drop_leaks(dataset: Dataset, made: Mapping[str, pa.Table]) -> tuple[pa.Table, list[str]]:
    """Remove unlabelled rows that are copies of held-out ones; return the others, and notes."""
    names = [column.name for column in dataset.inputs]
    held_out = [hashing.rows(made[name], names) for name in ("validation", "test") if name in made]
    copies = np.isin(hashing.rows(made[UNLABELED], names), np.concatenate(held_out))
    if not copies.any():
        return made[UNLABELED], []
    kept = made[UNLABELED].filter(pa.array(~copies))
    return kept, [f"{UNLABELED}: {copies.sum():,} rows that are copies of held-out ones are left out"]


def is_document(dataset: Dataset) -> bool:
    """Return whether a dataset is one text without a target, which is split by position, not by row."""
    kinds = [column.kind for column in dataset.columns]
    return kinds == ["text"] and len(dataset.splits["train"]) == 1


def _few_documents(dataset: Dataset) -> bool:
    """Return whether a dataset is so few different texts that each is split by position."""
    texts = dataset.source.kind == "text" and [column.kind for column in dataset.columns] == ["text"]
    return texts and len(np.unique(hashing.rows(dataset.splits["train"], [dataset.columns[0].name]))) < FEW


def _by_position(dataset: Dataset, wanted: Mapping[str, float]) -> tuple[dict[str, pa.Table], list[str]]:
    """Split documents: train first, then validation, then test, since later text must not be known."""
    name = dataset.columns[0].name
    texts, end, parts = dataset.splits["train"][name].to_pylist(), 1.0, {}
    for split, share in wanted.items():
        start = end - share
        parts[split] = [text[round(start * len(text)) : round(end * len(text))] for text in texts]
        end = start
    sizes = [f"{split} ({sum(map(len, part)):,} characters)" for split, part in parts.items()]
    of = (
        "the document; train is its beginning"
        if len(texts) == 1
        else "each document; train is the beginnings"
    )
    note = f"{' and '.join(reversed(sizes))} taken from the end of {of}"
    parts["train"] = [text[: round(end * len(text))] for text in texts]
    parts = {split: [text for text in part if text.strip()] for split, part in parts.items()}
    if not all(parts.values()):
        raise BadDataError(f"{dataset.name} is too short to be split: {sum(map(len, texts)):,} characters.")
    return {split: _documents(name, part) for split, part in parts.items()}, [note]


def _documents(name: str, texts: list[str]) -> pa.Table:
    return pa.table({name: pa.array(texts, pa.large_string())})


def check_classes(dataset: Dataset) -> None:
    """Raise for classes that a classifier cannot be trained or evaluated on.

    Raises:
        BadDataError: a single class, or classes that occur in validation or test and not in train.
    """
    if dataset.task != "classification":
        return
    present = {name: _present(dataset, dataset.splits[name]) for name in SPLITS if name in dataset.splits}
    everywhere = set().union(*present.values())
    if len(everywhere) < 2:
        raise BadDataError(
            f"{dataset.name} has a single class, {next(iter(everywhere), None)!r}: expected at least 2.",
            remedy="--target names another column",
        )
    for name, classes in present.items():
        extra = sorted(classes - present["train"])
        if extra:
            raise BadDataError(
                f"{dataset.name}: {len(extra)} of {len(everywhere)} classes are in {name} and not in train: "
                f"{', '.join(map(repr, extra[:5]))}.",
                remedy=f"add training rows of them, or remove them from {name}",
            )


def subset(dataset: Dataset, fraction: float, seed: int = 0) -> Dataset:
    """Keep a share of every split, stratified and seeded, for a quick look.

    Args:
        fraction: in (0, 1]; at least one row of every class stays.
    """
    if fraction >= 1:
        return dataset
    kept = {}
    for name, table in dataset.splits.items():
        if is_document(dataset) and len(table) == 1:
            text = table.column(0)[0].as_py()
            kept[name] = _documents(table.column_names[0], [text[: max(1, round(fraction * len(text)))]])
            continue
        strata, _ = _strata(dataset, table)
        order = _shuffled(strata, np.random.default_rng([seed, len(table)]))
        chosen = _systematic(order, fraction, np.random.default_rng([seed, 1]))
        chosen[_firsts(strata, order)] = True
        kept[name] = table.take(pa.array(np.flatnonzero(chosen)))
    sizes = ", ".join(f"{name} {len(table):,}" for name, table in kept.items())
    return dataset.with_splits(kept, f"only {100 * fraction:.3g} % of each split is used: {sizes}")


def limit_rows(dataset: Dataset, rows: int, seed: int = 0) -> Dataset:
    """Keep `rows` training rows, stratified and seeded; the other splits stay whole.

    A smaller selection is part of every larger one.

    Args:
        rows: at most as many as there are; at least one row of every class stays.

    Raises:
        BadDataError: there are fewer.
    """
    table = dataset.splits["train"]
    if rows > len(table):
        raise BadDataError(
            f"data.training_rows asks for {rows:,}: {dataset.name} has {len(table):,} training rows.",
            remedy=f"--set data.training_rows={len(table)}",
        )
    strata, _ = _strata(dataset, table)
    order = _shuffled(strata, np.random.default_rng([seed, 2]))
    strata = strata[order]
    counts = np.bincount(strata)
    rank = np.arange(len(order)) - (np.cumsum(counts) - counts)[strata]
    rows = max(rows, int(np.count_nonzero(counts)))
    chosen = order[np.argsort(rank / counts[strata], kind="stable")[:rows]]
    kept = table.take(pa.array(np.sort(chosen)))
    note = f"only {rows:,} of {len(table):,} training rows are used"
    return dataset.with_splits({**dataset.splits, "train": kept}, note)


# ---- taking rows ---------------------------------------------------------------------------------


def _take(
    dataset: Dataset, wanted: dict[str, float], seed: int, rule: SplitConfig
) -> tuple[dict[str, pa.Table], list[str]]:
    """Move shares of the training rows to new splits."""
    table = dataset.splits["train"]
    if len(table) < SMALLEST:
        raise BadDataError(
            f"{dataset.name} has {len(table)} rows: expected at least {SMALLEST} to train, validate and test."
        )
    heads, groups = (
        _groups(dataset, table) if rule.group is None else split_rules.groups(dataset, table, rule.group)
    )
    strata, small = _strata(dataset, table)
    strata, random = strata[heads], np.random.default_rng(seed)
    order = _shuffled(strata, random)
    place = np.zeros(len(heads), np.int8)  # 0 stays in train
    fixed = np.zeros(len(heads), bool)
    fixed[_firsts(strata, order)] = dataset.task == "classification"
    left = 1.0
    if rule.folds is not None:
        place[split_rules.fold_rows(order, rule)] = 1  # test is the first that is wanted
        left -= wanted["test"]
    for code, (name, share) in enumerate(wanted.items(), start=1):
        if rule.folds is not None and name == "test":
            continue
        free = order[(place[order] == 0) & ~fixed[order]]
        aim = share / left * np.count_nonzero(place == 0)
        taken = _systematic(np.arange(len(free)), min(aim / max(len(free), 1), 1), random)
        if not taken.any() and len(free):
            taken[random.integers(len(free))] = True
        if not taken.any():
            raise BadDataError(
                f"{dataset.name}: no row can be held out for {name}; expected classes with at least 2 rows, "
                f"received {len(heads):,} different rows in {len(np.unique(strata)):,} classes.",
                remedy="add rows, or provide validation and test files",
            )
        place[free[taken]] = code
        left -= share
    rows = place[groups]
    parts = {name: table.filter(pa.array(rows == code)) for code, name in enumerate(("train", *wanted))}
    copies = 0 if rule.group else len(table) - len(heads)
    return parts, [
        *split_rules.describe(rule, len(heads)),
        *(split_rules.uneven(rule, parts, wanted) if rule.group else []),
        *_notes(dataset, parts, wanted, copies, small, seed),
    ]


def _notes(
    dataset: Dataset,
    parts: Mapping[str, pa.Table],
    wanted: Iterable[str],
    copies: int,
    small: list[str],
    seed: int,
) -> list[str]:
    target = targets.of(dataset)
    how = target.stratified if target else "at random"
    sizes = " and ".join(f"{name} ({len(parts[name]):,} rows)" for name in wanted)
    notes = [f"{sizes} taken from the training rows, {how}, seed {seed}"]
    if copies:
        notes.append(f"{copies:,} rows are copies of another; copies were kept in one split")
    if small:
        shown = ", ".join(map(repr, small[:5])) + (" ..." if len(small) > 5 else "")
        notes.append(
            f"{len(small)} classes have fewer than {SMALLEST} rows and so are not in every split: {shown}"
        )
    return notes


def _groups(dataset: Dataset, table: pa.Table) -> tuple[np.ndarray, np.ndarray]:
    """Group rows with equal inputs: the first row of every group, and the group of every row."""
    hashed = hashing.rows(table, [column.name for column in dataset.inputs])
    _, heads, groups = np.unique(hashed, return_index=True, return_inverse=True)
    return heads, groups


def _strata(dataset: Dataset, table: pa.Table) -> tuple[np.ndarray, list[str]]:
    """Return a number for every row that says what it is balanced by, and the classes with very few rows."""
    target = targets.of(dataset)
    column = table[dataset.target] if dataset.target is not None else None
    if target is None or column is None or column.null_count:  # some splits have no labels
        return np.zeros(len(table), np.int64), []
    assert dataset.target is not None
    strata = target.strata(dataset.column(dataset.target), column)
    if dataset.task != "classification":
        return strata, []
    counts = np.bincount(strata, minlength=len(dataset.classes))
    small = [name for name, count in zip(dataset.classes, counts, strict=False) if 0 < count < SMALLEST]
    return strata, small


def _present(dataset: Dataset, table: pa.Table) -> set[str]:
    assert dataset.target is not None
    codes = class_codes(dataset.column(dataset.target), table[dataset.target])
    return {dataset.classes[code] for code in np.unique(codes)}


def _shuffled(strata: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Return row numbers sorted by stratum, in random order within each."""
    return np.lexsort((random.permutation(len(strata)), strata))


def _firsts(strata: np.ndarray, order: np.ndarray) -> np.ndarray:
    """Return one row of every stratum."""
    _, first = np.unique(strata[order], return_index=True)
    return order[first]


def _systematic(order: np.ndarray, share: float, random: np.random.Generator) -> np.ndarray:
    """Mark every (1 / share)-th row from a random start: each stratum gives its share, to within one row."""
    ticks = np.floor(np.arange(len(order) + 1) * share + random.random()).astype(np.int64)
    chosen = np.zeros(len(order), bool)
    chosen[order[np.diff(ticks) > 0]] = True
    return chosen
