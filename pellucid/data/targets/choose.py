"""Which columns are predicted, and what they are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pyarrow as pa

from pellucid.data import kinds, targets
from pellucid.data.marks import UNKNOWN, Marks
from pellucid.data.targets.target import TargetCells, TargetColumn, label_type
from pellucid.errors import BadDataError, UnknownNameError
from pellucid.extensions import import_object

USUAL = (
    *("target", "label", "labels", "class", "classes", "y", "outcome", "survived", "species", "diagnosis"),
    *("category", "sentiment", "churn", "quality", "price", "saleprice", "medv", "rating", "result"),
)
"""Names that a target usually has, the most likely first."""


def choose(
    names: Sequence[str], asked: str | None, declared: Sequence[str] = (), *, needed: bool = True
) -> tuple[list[str], str]:
    """Choose the columns to predict.

    Args:
        names: the columns there are.
        asked: the column the user named, or several with commas between them.
        declared: columns that the source itself declares as class labels.
        needed: whether there must be one; otherwise the last column is not taken as a last resort.

    Returns:
        The names ([] where there is none and none is needed), and a note on how they were found ("" where
        the user named them).

    Raises:
        UnknownNameError: a column that the user named is not there.
    """
    if asked is not None:
        parts = [asked] if asked in names else [part.strip() for part in asked.split(",")]
        for part in parts:
            if part not in names:
                raise UnknownNameError("column to predict", part, names)
        return list(dict.fromkeys(parts)), ""
    lower = {name.strip().lower(): name for name in reversed(names)}
    found = next((lower[usual] for usual in USUAL if usual in lower), None)
    if found is not None:
        if found in declared:
            return [found], ""
        return [found], f"predicts {found!r}, because of its name; --target names another"
    if declared:
        return [declared[-1]], f"predicts {declared[-1]!r}, declared as class labels; --target names another"
    if not needed:
        return [], ""
    why = "since none is called target, label, class or the like"
    return [names[-1]], f"predicts {names[-1]!r}, the last column, {why}; --target names another"


def read_target(
    names: Sequence[str],
    columns: Sequence[pa.ChunkedArray],
    *,
    kind: str | None = None,
    classes: Sequence[str] | None = None,
    task: str | None = None,
    marks: Marks = UNKNOWN,
    written: bool = False,
) -> TargetColumn:
    """Read the columns to predict as the first target that recognizes them.

    Args:
        names: of the columns, one or several.
        columns: their raw values.
        kind: the kind of the first column, or the target, that the user named, or its import path: a
            number is then predicted as an amount, a category as a class, a text is translated into.
        classes: the class names, where the source declares them and the values are their indices.
        task: the task that the user named.
        marks: what is known of how text cells are written.
        written: whether the cells come from a file that holds only text.

    Raises:
        BadDataError: it holds nothing that can be predicted.
        UnknownNameError: there is no such kind and no such target.
    """
    cells = TargetCells(names, columns, _named(kind), classes, task, marks, written)
    if cells.raw is not None and classes is None and cells.raw.null_count == len(cells.raw):
        raise BadDataError(
            f"The target column {cells.name!r} has no values.", remedy="--target names another column"
        )
    for target in targets.all_targets():
        found = target.read(cells)
        if found is not None:
            column = found.column
            named = target.task != "regression" and column.categories
            if named and cells.raw is not None and classes is None:
                kind = label_type(cells.raw, column.categories, written=written)
                column = replace(column, form={**column.form, "type": kind}) if kind != "str" else column
            return replace(found, column=column, task=target.task, encoding=target.name)
    raise BadDataError(
        f"The target column {cells.name!r} cannot be predicted: expected classes or numbers, "
        f"received {cells.reading.kind or 'nothing'} ({cells.reading.reason}).",
        remedy="--target names another column",
    )


def _named(kind: str | None) -> str | None:
    """Return the name of a target or of a kind, given either or its import path.

    Raises:
        UnknownNameError: there is no such kind and no such target.
        UsageError: the path does not refer to one.
    """
    if kind is None or kind in {target.name for target in targets.all_targets()}:
        return kind
    if ":" in kind and isinstance(import_object(kind), type):
        return targets.find(kind).name
    return kinds.find(kind).name
