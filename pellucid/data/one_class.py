"""Keep only rows of one class, for models that learn what is normal."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
import pyarrow as pa

from pellucid.data.dataset import Dataset
from pellucid.data.targets.classes import class_codes
from pellucid.errors import BadDataError


def of_class(dataset: Dataset, name: str, splits: Collection[str]) -> Dataset:
    """Keep only the rows of one class in some splits; the other splits stay whole.

    Args:
        dataset: with a target of classes.
        name: one of `dataset.classes`.
        splits: those in which only the class is kept.

    Raises:
        BadDataError: a split has no row of the class.
    """
    assert dataset.target is not None
    target, kept = dataset.column(dataset.target), dict(dataset.splits)
    for split in splits:
        table = dataset.splits[split]
        codes = class_codes(target, table[target.name])
        kept[split] = table.filter(pa.array(codes == dataset.classes.index(name)))
        if not len(kept[split]):
            raise BadDataError(
                f"{dataset.name}: the {split} split has {len(table):,} rows, none of them of the class "
                f"{name!r}: expected at least 1.",
                remedy=f"more rows of it, or a larger data.fraction or data.{split}",
            )
    sizes = ", ".join(f"{split} {len(kept[split]):,}" for split in splits)
    return dataset.with_splits(kept, f"only rows of the class {name!r} are kept: {sizes}")


def with_both_kinds_in_test(dataset: Dataset, name: str) -> Dataset:
    """Make sure that the test split holds rows of a class and others, as far as there are any.

    Rows of other classes in the other splits are of no use to a model of one class, so all of them are moved
    to the test split if it has none; if it has no row of the class, every second one of validation is.

    Args:
        dataset: with a target of classes.
        name: one of `dataset.classes`.
    """
    if "test" not in dataset.splits:
        return dataset
    inside = _rows_of_class(dataset, name, dataset.splits["test"])
    splits, moved = dict(dataset.splits), []
    for split in [split for split in ("train", "validation") if split in splits]:
        table, normal = splits[split], _rows_of_class(dataset, name, splits[split])
        taken = ~normal if inside.all() else np.zeros(len(table), bool)
        if not inside.any() and split == "validation":
            taken[np.flatnonzero(normal)[1::2]] = True
        if taken.any():
            moved.append(table.filter(pa.array(taken)))
            splits[split] = table.filter(pa.array(~taken))
    if not moved:
        return dataset
    splits["test"] = pa.concat_tables([splits["test"], *moved])
    count, kind = sum(map(len, moved)), "other classes" if inside.all() else f"the class {name!r}"
    return dataset.with_splits(splits, f"{count:,} rows of {kind} moved to the test split, which had none")


def _rows_of_class(dataset: Dataset, name: str, table: pa.Table) -> np.ndarray:
    assert dataset.target is not None
    codes = class_codes(dataset.column(dataset.target), table[dataset.target])
    return np.asarray(codes == dataset.classes.index(name))
