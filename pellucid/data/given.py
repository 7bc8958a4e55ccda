"""The doors of `fit`: what a caller has at hand, as a dataset or as batches.

A pair (X, y), a data frame, a dict of arrays or of splits, and a dataset of Hugging Face become a `Dataset`;
what gives batches by itself stays as it is.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pyarrow as pa

from pellucid.data import several_inputs
from pellucid.data.build_dataset import DataOptions, RawTables, build_dataset
from pellucid.data.dataset import Dataset, Source, Task
from pellucid.data.loaders import is_loader
from pellucid.data.picture_column import with_pictures
from pellucid.data.prediction_objects import table_of
from pellucid.data.sources import hub
from pellucid.data.sources.array_files import from_named
from pellucid.data.sources.arrays import arrays, table_of_columns
from pellucid.data.sources.tables import SPLIT_NAMES
from pellucid.data.targets.choose import choose
from pellucid.errors import UsageError

READING = ("inputs", "columns", "skip_bad")
"""Settings in `data` that decide how the columns of a table are read."""


@dataclass(frozen=True)
class Given:
    """What to learn from.

    Attributes:
        data: a dataset, a name, or batches.
        validation, test: batches to measure on; None where `data` is not batches.
        settings: what was said by the way, such as the share of the rows for validation.
    """

    data: Any
    validation: Any = None
    test: Any = None
    settings: Mapping[str, Any] = field(default_factory=dict)


def take(
    data: Any,
    validation: Any = None,
    test: Any = None,
    *,
    target: str | None = None,
    labelled: bool = True,
    task: Task | None = None,
    settings: Mapping[str, Any] | None = None,
) -> Given:
    """Return what was passed to `fit` as data.

    Args:
        data: a dataset, a name or path, (X, y), a data frame of any library, a dict of arrays, a dataset of
            Hugging Face, a dict of splits ("train", "validation", "test") of these, or batches. X may be
            several inputs by name or in a list, and y a target for each pixel; these become batches.
        validation: what to measure on, in the form of `data`; or the share of the rows, between 0 and 1.
        test: likewise.
        target: the column to predict; several with commas between them.
        labelled: whether a target is needed.
        task: what to read the target as; None: by its values.
        settings: by dotted key; those in `data` that decide how a table is read are followed.

    Raises:
        UsageError: it is none of these, or the target is not said; says what to call.
        DataError: its values cannot be used.
    """
    data = str(data) if isinstance(data, Path) else data
    if _is_splits(data):
        parts = {SPLIT_NAMES[str(name).lower()]: part for name, part in data.items()}
        validation, test = parts.get("validation", validation), parts.get("test", test)
        data = parts["train"]
    if _is_mapping(data) or is_hugging_face(data) or table_of(data) is not None:
        said = {key: (settings or {})[f"data.{key}"] for key in READING if f"data.{key}" in (settings or {})}
        options = DataOptions(target=target, labelled=labelled, task=task if labelled else None, **said)
        made = _table(data, _passed(validation), _passed(test), options)
        return Given(made, settings=_shares(validation, test))
    if isinstance(data, tuple) and len(data) == 2:
        return _pair(data, validation, test, task)
    if isinstance(data, (Dataset, str)):
        return _named(data, validation, test, target)
    return _batches(data, validation, test)


def _pair(data: tuple[Any, Any], validation: Any, test: Any, task: Task | None) -> Given:
    """Return (X, y) as a dataset, or as batches where a table cannot hold it."""
    if several_inputs.needs_batches(*data):
        return _several(data, validation, test)
    if isinstance(data[0], Mapping):
        data = (table_of_columns(data[0]), data[1])
    made = arrays(*data, validation=_passed(validation), test=_passed(test), task=task)
    return Given(made, settings=_shares(validation, test))


def _named(data: Dataset | str, validation: Any, test: Any, target: str | None) -> Given:
    """Return a dataset, or the name of one, with what was said about its rows.

    Raises:
        UsageError: rows to measure on were passed too.
    """
    if any(part is not None and not _is_share(part) for part in (validation, test)):
        raise UsageError(
            "validation= and test= go with batches or (X, y); a dataset has splits of its own.",
            remedy="validation=0.2 for a share of the rows, or pellucid.arrays(X, y, validation=(X2, y2))",
        )
    named = {"data.target": target} if target is not None and isinstance(data, str) else {}
    return Given(data, settings=_shares(validation, test) | named)


def _batches(data: Any, validation: Any, test: Any) -> Given:
    """Return batches as they are.

    Raises:
        UsageError: they are none, or are to be split.
    """
    if not is_loader(data):
        raise UsageError(
            f"Expected a dataset, a name, (X, y), a data frame or batches, received {type(data).__name__}.",
            remedy="pellucid.fit(model, (X, y)), pellucid.fit(model, frame, target='column'), or a path",
        )
    for key, share in _shares(validation, test).items():
        raise UsageError(
            f"{key.partition('.')[2]}={share:g} is a share of rows, and batches were passed.",
            remedy="validation=DataLoader(...); or (X, y), whose rows can be split",
        )
    return Given(data, validation, test)


def _several(data: Any, validation: Any, test: Any) -> Given:
    """Return several inputs, or targets of images, as batches; rows are held out where none were passed."""
    rows, asked = several_inputs.rows_of(*data), {"validation": validation, "test": test}
    shares = {split: part for split, part in asked.items() if part is None or _is_share(part)}
    splits = several_inputs.held_out(rows, shares)
    passed = {
        split: several_inputs.rows_of(*part) if isinstance(part, tuple) and len(part) == 2 else part
        for split, part in asked.items()
        if split not in shares
    }
    return Given(splits.pop("train"), **{**splits, **passed})


def is_hugging_face(data: Any) -> bool:
    """Whether this is a dataset of Hugging Face that can be read by the number of a row."""
    return hasattr(data, "column_names") and hasattr(data, "features") and hasattr(data, "with_format")


def _is_share(part: Any) -> bool:
    return isinstance(part, (int, float)) and not isinstance(part, bool)


def _passed(part: Any) -> Any:
    """Return what to measure on; None where only its share of the rows was said."""
    return None if _is_share(part) else part


def _shares(validation: Any, test: Any) -> dict[str, float]:
    """Return the shares of the rows to hold out, as settings."""
    asked = {"data.validation": validation, "data.test": test}
    return {key: float(share) for key, share in asked.items() if _is_share(share)}


def _is_mapping(data: Any) -> bool:
    return isinstance(data, Mapping) and all(hasattr(part, "__len__") for part in data.values())


def _is_splits(data: Any) -> bool:
    """Whether a mapping names splits, one of which is for training."""
    if not isinstance(data, Mapping) or not data:
        return False
    names = [SPLIT_NAMES.get(str(name).lower()) for name in data]
    return "train" in names and None not in names


def _table(data: Any, validation: Any, test: Any, options: DataOptions) -> Dataset:
    """Read a table, and those to measure on, together."""
    if (
        isinstance(data, Mapping)
        and options.target is None
        and (named := from_named(data, options.task)) is not None
    ):
        return named
    hugging_face = is_hugging_face(data)
    classes = hub.classes_of(getattr(data, "features", None) or {}) if hugging_face else {}
    splits = {}
    for split, part in (("train", data), ("validation", validation), ("test", test)):
        if part is not None:
            splits[split] = _rows(part, split)
    if options.target is None and options.labelled and not classes:
        _check_target(splits["train"])
    kind = "datasets" if hugging_face else "arrays"
    made = build_dataset(RawTables(kind, splits, Source(kind, "arrays"), classes=classes), options)
    return replace(made, name=kind)


def _rows(part: Any, split: str) -> pa.Table:
    table = table_of_columns(part) if isinstance(part, Mapping) else table_of(part)
    if table is None:
        raise UsageError(
            f"{split}= expects a table with the columns of data, received {type(part).__name__}.",
            remedy=f"{split}=0.2 for a share of the rows",
        )
    return with_pictures(table.replace_schema_metadata(None))


def _check_target(table: pa.Table) -> None:
    """Refuse a table without a column that has a usual name of a target.

    Raises:
        UsageError: naming the columns.
    """
    names = table.column_names
    if choose(names, None, needed=False)[0]:
        return
    listed = ", ".join(names[:8]) + (f" and {len(names) - 8} more" if len(names) > 8 else "")
    raise UsageError(
        f"Which column to predict was not said: the table has {listed}.",
        remedy=f"pellucid.fit(model, data, target={names[-1]!r}), or (X, y)",
    )
