"""Keep only rows of one class, for models that learn what is normal."""

from __future__ import annotations

from collections.abc import Collection

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
