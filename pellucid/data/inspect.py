"""Inspect data before training: what it contains, what stands out, and a config that trains on it.

Counts are of all rows; what would be slow for many rows (distinct values, copies, leaks) is found in an even
sample, and the result says so.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np
import pyarrow as pa

from pellucid.config import Config, DataConfig
from pellucid.data import hashing, kinds, parse, targets
from pellucid.data.class_warnings import Warned, warnings_of_classes
from pellucid.data.compute import pc
from pellucid.data.contents import Contents, look
from pellucid.data.dataset import Column, Dataset
from pellucid.data.offers import Proposal, Suggestion, choose, proposals
from pellucid.data.sources.open_source import make_splits
from pellucid.data.split import is_document
from pellucid.data.suggest_series import series_hint
from pellucid.data.targets.classes import class_codes
from pellucid.record.spec import find_spec

SAMPLE = 200_000
"""Number of rows that are searched for copies, leaks and distinct values."""
TREE_ROWS = 20_000
"""Number of rows that are used to find columns which reveal the target."""
TELLING = 0.995
"""A single column that predicts this share of the targets is suspected of containing the target."""
MOST_COLUMNS = 100
"""Columns that training searches for copies of rows between splits."""
QUICK = 2**29
"""Bytes of images and arrays that training searches for them."""
LISTED = 5


@dataclass(frozen=True)
class ColumnFacts:
    """What is in one column of the training rows.

    Attributes:
        name: of the column.
        kind: as inferred, or set by the user.
        reason: why this kind.
        missing: number of missing values.
        distinct: number of different values; in the sample, if there are more rows than that.
        range: smallest and largest, as text; () where there is no order.
        common: the most common values with their counts.
        note: sizes and modes of images, the shape of arrays.
    """

    name: str
    kind: str
    reason: str
    missing: int
    distinct: int | None = None
    range: tuple[str, ...] = ()
    common: tuple[tuple[str, int], ...] = ()
    note: str = ""


@dataclass(frozen=True)
class Offered:
    """What can be learned: what `--task` calls it, the name of the task, and what it would learn."""

    name: str
    task: str
    learns: str


@dataclass(frozen=True)
class Inspection:
    """The result of inspecting a dataset.

    Attributes:
        name, source, licence: of the dataset.
        rows: by split, as they will be used.
        columns: the inputs, then the target.
        target, task: what to predict, and how.
        classes: rows of each class, by split.
        copies: rows of a split that repeat an earlier one of it.
        leaks: rows of validation and test that are also in train.
        sampled: number of rows that were searched for copies and leaks; None: all.
        warnings: what stands out.
        skipped, notes: what the reader skipped and decided.
        offers: what can be learned from it, the likeliest first.
        chosen: the name of the offer that the config is for.
        reasons: why the config is so.
        config: a config that trains as it is, as YAML.
    """

    name: str
    source: str
    licence: str
    rows: dict[str, int]
    columns: tuple[ColumnFacts, ...]
    target: str | None
    task: str | None
    classes: dict[str, dict[str, int]] = field(default_factory=dict)
    copies: dict[str, int] = field(default_factory=dict)
    leaks: dict[str, int] = field(default_factory=dict)
    sampled: int | None = None
    warnings: tuple[Warned, ...] = ()
    skipped: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    offers: tuple[Offered, ...] = ()
    chosen: str = ""
    reasons: tuple[str, ...] = ()
    config: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain JSON values."""
        return asdict(self)


def inspect_data(config: DataConfig, task: str | None = None) -> Inspection:
    """Inspect the data that a config describes.

    Args:
        config: how to open it.
        task: what to learn, by a name that users have for it (see `pellucid.data.offers`); None: the
            likeliest.

    Raises:
        DataError: it cannot be read, or the task cannot be learned from it; the message says what to do.
    """
    contents = look(config)
    proposed = proposals(contents)
    chosen = choose(contents, task, proposed)
    suggested = chosen.suggest(None)
    spec = find_spec(chosen.task)
    if spec.form == "series":
        dataset = make_splits(contents.dataset, config, labelled=contents.predicts is not None)
    else:
        dataset = contents.read(suggested.config.data, spec)
    found = _inspected(dataset, suggested)
    hint = series_hint(contents.dataset, config) if spec.form != "series" else None
    why = contents.refusal
    unlabelled = f"no class or number to predict: {why.message} To predict: {why.remedy}" if why else None
    notes = (*found.notes, *(note for note in (hint, unlabelled) if note))
    return replace(found, chosen=chosen.name, offers=_offered(proposed), notes=notes)


def inspect_dataset(dataset: Dataset, config: DataConfig | None = None) -> Inspection:
    """Inspect a dataset that has its splits."""
    contents = _contents(dataset, config)
    proposed = proposals(contents)
    chosen = choose(contents, None, proposed)
    found = _inspected(dataset, chosen.suggest(None))
    return replace(found, chosen=chosen.name, offers=_offered(proposed))


def _offered(proposed: list[Proposal]) -> tuple[Offered, ...]:
    """Return what is offered, each name once: that of the likelier task."""
    found = {offer.name: offer for offer in reversed(proposed)}
    return tuple(Offered(offer.name, offer.task, offer.learns) for offer in reversed(found.values()))


def _inspected(dataset: Dataset, suggested: Suggestion) -> Inspection:
    train = dataset.splits["train"]
    cells = dict(zip(train.column_names, train.columns, strict=True))
    facts = tuple(_column_facts(column, cells[column.name]) for column in dataset.columns)
    classes = _class_counts(dataset)
    copies, leaks, sampled = _copies(dataset)
    return Inspection(
        name=dataset.name,
        source=f"{dataset.source.kind}: {dataset.source.name}",
        licence=dataset.source.licence,
        rows={split: len(table) for split, table in dataset.splits.items()},
        columns=facts,
        target=dataset.target,
        task=dataset.task,
        classes=classes,
        copies=copies,
        leaks=leaks,
        sampled=sampled,
        warnings=tuple(_warnings(dataset, {column.name: column.missing for column in facts}, classes, leaks)),
        skipped=dataset.skipped,
        notes=dataset.notes,
        reasons=suggested.reasons,
        config=suggested.config.to_yaml(),
    )


def suggest_config(dataset: Dataset, data: DataConfig | None = None, task: str | None = None) -> Config:
    """Return a config that trains on a dataset as it is.

    Args:
        dataset: with its splits made.
        data: how it was opened; None: by the name of its source.
        task: what to learn, by a name that users have for it; None: the likeliest.
    """
    return choose(_contents(dataset, data), task).suggest(None).config


def _contents(dataset: Dataset, data: DataConfig | None) -> Contents:
    data = data or DataConfig.model_validate({"source": dataset.source.name})
    return Contents(data, dataset, fixed=True)


def warnings_of(dataset: Dataset) -> list[Warned]:
    """Return what stands out in a dataset that has its splits, as `inspect_dataset` would."""
    classes, leaks, table = _class_counts(dataset), {}, dataset.splits["train"]
    plain = {column.kind for column in dataset.inputs} <= {"number", "boolean", "category", "date", "text"}
    quick = plain or sum(part.nbytes for part in dataset.splits.values()) < QUICK
    if quick and len(dataset.inputs) <= MOST_COLUMNS and not is_document(dataset):
        leaks = _copies(dataset)[1]
    missing = {
        name: column.null_count for name, column in zip(table.column_names, table.columns, strict=True)
    }
    return _warnings(dataset, missing, classes, leaks)


def _goal(found: Inspection) -> str:
    """Return what there is to predict; where the chosen task predicts no target, what it learns."""
    if not found.target:
        return "nothing to predict"
    for offer in found.offers:
        if offer.name == found.chosen and offer.task != found.task and not find_spec(offer.task).labelled:
            return f"nothing to predict; {found.chosen} learns {offer.learns}"
    return f"predicts {found.target!r} ({found.task})"


def describe(found: Inspection) -> list[str]:
    """Describe the result in lines of text."""
    rows = ", ".join(f"{split} {count:,}" for split, count in found.rows.items())
    lines = [f"{found.name} ({found.source}): {rows} rows", _goal(found), ""]
    for facts in found.columns:
        parts = [facts.note, " to ".join(facts.range)]
        counted = facts.distinct is not None and "different" not in facts.reason
        parts += [f"{facts.distinct:,} different"] if counted else []
        parts += [f"{facts.missing:,} missing"] if facts.missing else []
        more = ", ".join(part for part in parts if part)
        lines.append(f"  {facts.name}: {facts.kind} ({facts.reason})" + (f"; {more}" if more else ""))
    for split, counts in found.classes.items():
        shown = ", ".join(f"{name} {count:,}" for name, count in list(counts.items())[:12])
        lines.append(f"  {split} classes: {shown}" + (" ..." if len(counts) > 12 else ""))
    if found.offers:
        lines += ["", "What can be learned from it, the likeliest first:"]
        width = max(len(offer.name) for offer in found.offers)
        lines += [f"  --task {offer.name:{width}}  {offer.learns}" for offer in found.offers]
    for warned in found.warnings:
        lines += ["", f"! {warned.seen}", f"  Try: {warned.remedy}"]
    return lines + ([""] if found.notes else []) + [f"- {note}" for note in found.notes]


# ---- columns -------------------------------------------------------------------------------------


def _column_facts(column: Column, values: pa.ChunkedArray) -> ColumnFacts:
    seen = kinds.find(column.kind).describe(column, values, _sampled(values))
    return ColumnFacts(column.name, column.kind, column.reason, values.null_count, **vars(seen))


def _sampled(values: Any, most: int | None = None) -> Any:
    """Return every n-th row of a column or table, so that at most `most` (usually `SAMPLE`) remain."""
    most = most or SAMPLE
    if len(values) <= most:
        return values
    return values.take(pa.array(np.linspace(0, len(values) - 1, most).astype(np.int64)))


# ---- rows ----------------------------------------------------------------------------------------


def _class_counts(dataset: Dataset) -> dict[str, dict[str, int]]:
    """Count the rows of each class by split; with several labels a row, the rows that have each."""
    target = targets.of(dataset)
    if target is None or dataset.target is None:
        return {}
    column = dataset.column(dataset.target)
    counts = {
        split: target.counts(column, table[column.name].drop_null())  # some rows may have no label
        for split, table in dataset.splits.items()
    }
    return {split: found for split, found in counts.items() if found}


def _copies(dataset: Dataset) -> tuple[dict[str, int], dict[str, int], int | None]:
    """Count rows with equal inputs within each split, and between train and the others."""
    names = [column.name for column in dataset.inputs]
    most = max(len(table) for table in dataset.splits.values())
    hashed = {split: hashing.rows(_sampled(table), names) for split, table in dataset.splits.items()}
    copies = {split: len(rows) - len(np.unique(rows)) for split, rows in hashed.items()}
    leaks = {
        split: int(np.isin(hashed[split], hashed["train"]).sum())
        for split in ("validation", "test")
        if split in hashed
    }
    return copies, leaks, SAMPLE if most > SAMPLE else None


# ---- what stands out -----------------------------------------------------------------------------


def _warnings(
    dataset: Dataset,
    missing: dict[str, int],
    classes: dict[str, dict[str, int]],
    leaks: dict[str, int],
) -> list[Warned]:
    found = []
    for split, count in leaks.items():
        if count:
            found.append(
                Warned(
                    f"{count:,} rows of {split} are also in train, so {split} scores will look too good.",
                    f"remove them from {split}, or let Pellucid make the split, which keeps copies together",
                )
            )
    found += [*_imbalance(dataset, classes), *warnings_of_classes(dataset, classes)]
    rows = len(dataset.splits["train"])
    for name, count in missing.items():
        if count > rows / 2:
            found.append(
                Warned(
                    f"{name}: {count:,} of {rows:,} values are missing.",
                    "leave it out with --set data.inputs=[...], unless missing values carry information",
                )
            )
    if revealing := revealing_columns(dataset):
        found.append(_reveals(revealing))
    if rows < 200 and not is_document(dataset):
        found.append(
            Warned(
                f"There {_are(rows)}: scores will vary a lot from seed to seed.",
                "train several seeds",
            )
        )
    return found


def _are(rows: int) -> str:
    return "is 1 training row" if rows == 1 else f"are {rows:,} training rows"


def _imbalance(dataset: Dataset, classes: dict[str, dict[str, int]]) -> list[Warned]:
    counts = {name: count for name, count in classes.get("train", {}).items() if count}
    if dataset.task != "classification" or len(counts) < 2:
        return []
    total, (most, many), (least, few) = sum(counts.values()), _largest(counts), _smallest(counts)
    if many < 4 * few and many < 0.8 * total:
        return []
    return [
        Warned(
            f"Classes are uneven: {most!r} has {many:,} of {total:,} training rows, {least!r} {few:,}; "
            f"always predicting {most!r} is right {many / total:.1%} of the time.",
            "compare with that number, look at recall by class, or --set objective.class_weights=true",
        )
    ]


def _largest(counts: dict[str, int]) -> tuple[str, int]:
    return max(counts.items(), key=lambda item: item[1])


def _smallest(counts: dict[str, int]) -> tuple[str, int]:
    return min(counts.items(), key=lambda item: item[1])


def _reveals(found: list[tuple[str, float]]) -> Warned:
    names = ", ".join(f"{name!r} ({share:.1%})" for name, share in found[:LISTED])
    more = f" and {len(found) - LISTED:,} more" if len(found) > LISTED else ""
    name, share = found[0]
    return Warned(
        f"{name!r} predicts the target by itself ({share:.1%}): it may contain the target."
        if len(found) == 1
        else f"Each of these predicts the target by itself, and may contain it: {names}{more}.",
        "leave it out unless it is known before the target: --set data.inputs=[...]",
    )


def revealing_columns(dataset: Dataset) -> list[tuple[str, float]]:
    """Return the columns that reveal the target, with the share that each explains."""
    if dataset.task not in ("classification", "regression") or dataset.target is None:
        return []
    table = _sampled(dataset.splits["train"], TREE_ROWS)
    cells = dict(zip(table.column_names, table.columns, strict=True))
    target = dataset.column(dataset.target)
    if len(table) < 20 or target.kind == "tensor":
        return []
    if dataset.task == "regression":
        return _correlated(dataset, cells)
    codes, found = class_codes(target, cells[target.name]), []
    base = np.bincount(codes).max() / len(codes)
    for column in dataset.inputs:
        if base > 0.98 or not _has_rule(cells[column.name].type):
            continue
        share = _explained(cells[column.name], codes)
        if share >= TELLING:
            found.append((column.name, share))
    return found


def _has_rule(kind: pa.DataType) -> bool:
    """Whether a column has cuts or values that a rule can be made of: numbers, booleans and text."""
    plain = pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind)
    return plain or parse.is_text(kind)


def _explained(values: pa.ChunkedArray, codes: np.ndarray) -> float:
    """Return the share of targets that a rule on one column predicts: a few cuts, or a class by value."""
    if not parse.is_text(values.type) and not pa.types.is_boolean(values.type):
        numbers = values.cast(pa.float64(), safe=False).to_numpy()  # missing ones are NaN, which trees accept
        if not _may_be_explained(numbers, codes):
            return 0.0
        from sklearn.tree import DecisionTreeClassifier  # here, since few columns come this far

        rule = DecisionTreeClassifier(max_leaf_nodes=_leaves(codes), random_state=0)
        return float(rule.fit(numbers[:, None], codes).score(numbers[:, None], codes))
    groups = pc.fill_null(pc.index_in(values, value_set=parse.distinct(values)), -1).to_numpy() + 1
    if groups.max() >= len(codes) // 4:
        return 0.0
    table = np.zeros((int(groups.max()) + 1, int(codes.max()) + 1), np.int64)
    np.add.at(table, (groups, codes), 1)
    return float(table.max(axis=1).sum() / len(codes))


def _leaves(codes: np.ndarray) -> int:
    return min(2 * int(codes.max() + 1), 64)


def _may_be_explained(numbers: np.ndarray, codes: np.ndarray) -> bool:
    """Whether a few cuts could be enough: sorted by the numbers, the class changes seldom.

    A tree of L leaves has at most L runs of one class, and every row that it gets wrong adds at most two.
    """
    runs = 1 + np.count_nonzero(np.diff(codes[np.lexsort((codes, numbers))]))
    return bool(runs <= _leaves(codes) + 2 * np.ceil((1 - TELLING) * len(codes)))


def _correlated(dataset: Dataset, cells: dict[str, pa.ChunkedArray]) -> list[tuple[str, float]]:
    assert dataset.target is not None
    target, found = cells[dataset.target].cast(pa.float64(), safe=False).to_numpy(), []
    for column in dataset.inputs:
        values = cells[column.name]
        if not kinds.find(column.kind).numeric or values.null_count:
            continue
        numbers = values.cast(pa.float64(), safe=False).to_numpy()
        if numbers.std() > 0 and target.std() > 0:
            share = float(np.corrcoef(numbers, target)[0, 1] ** 2)
            if share >= TELLING:
                found.append((column.name, share))
    return found
