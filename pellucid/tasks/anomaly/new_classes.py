"""New data to measure a run on: every class that is not the normal one is a kind of anomaly, known or not."""

from __future__ import annotations

from dataclasses import replace

import pyarrow as pa

from pellucid.data.compute import pc
from pellucid.data.dataset import Column, Dataset
from pellucid.data.preprocess import Preprocess
from pellucid.data.targets.classes import Classes
from pellucid.errors import BadDataError


def is_new(dataset: Dataset) -> bool:
    """Whether a dataset is new data, of which all rows are measured."""
    return dataset.splits.get("test") is dataset.splits["train"]


def adopt(dataset: Dataset, fitted: Preprocess) -> tuple[Dataset, Preprocess]:
    """Make classes that training had not seen known, as further kinds of anomaly.

    Args:
        dataset: new data.
        fitted: the preprocessing of the run.

    Raises:
        BadDataError: it does not say which images are normal, though the run learned from classes.
    """
    if not isinstance(fitted.target, Classes):
        return dataset, fitted
    if dataset.target is None:
        normal = fitted.classes[0] if len(fitted.classes) == 1 else "good"
        raise BadDataError(
            f"{dataset.name} does not say which images are normal, so nothing can be measured.",
            remedy=f"move them to {normal}/ and to a folder for each kind of anomaly, such as scratch/; or "
            "score them: pellucid predict RUN FOLDER",
        )
    known, table = fitted.target.column, dataset.splits["test"]
    column = replace(known, categories=(*known.categories, *_unknown(table[dataset.target], known)))
    columns = tuple(column if old.name == dataset.target else old for old in dataset.columns)
    target = replace(fitted.target, column=column)
    return replace(dataset, columns=columns), replace(fitted, target=target)


def _unknown(cells: pa.ChunkedArray, known: Column) -> list[str]:
    """Return the classes of rows that are none of the known ones, each once; () where they are numbers."""
    if not (pa.types.is_string(cells.type) or pa.types.is_large_string(cells.type)):
        return []
    return sorted(set(pc.unique(cells.drop_null()).to_pylist()) - set(known.categories))
