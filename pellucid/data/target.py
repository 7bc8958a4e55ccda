"""What to predict: which column, and whether it is classes, several yes-or-no labels, an amount or a text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from pellucid.data import images, parse, schema
from pellucid.data.compute import pc
from pellucid.data.dataset import Column, Task
from pellucid.errors import BadDataError, UnknownNameError

USUAL = (
    *("target", "label", "labels", "class", "classes", "y", "outcome", "survived", "species", "diagnosis"),
    *("category", "sentiment", "churn", "quality", "price", "saleprice", "medv", "rating", "result"),
)
"""Names that a target usually has, the likeliest first."""

_CLASS_NAMES = frozenset(
    ("label", "labels", "class", "classes", "category", "species", "diagnosis", "sentiment")
)


@dataclass(frozen=True)
class Target:
    """The column to predict, read.

    Attributes:
        column: its schema; the categories are the classes in the order of the logits.
        values: class indices (int64) or names, a tensor of several values, or numbers.
        task: what kind of prediction it is.
        bad: (N,) True where there is no value, or none of the right kind; None where all are good.
        expected: what a cell should have been.
    """

    column: Column
    values: pa.ChunkedArray
    task: Task
    bad: np.ndarray | None = None
    expected: str = "a value"


def choose(
    names: Sequence[str], wished: str | None, labelled: Sequence[str] = (), *, needed: bool = True
) -> tuple[list[str], str]:
    """Decide which columns to predict.

    Args:
        names: the columns there are.
        wished: what the person said: a name, or several with commas between them.
        labelled: columns that the source itself declares as class labels.
        needed: whether there must be one; otherwise the last column is not taken for want of a better.

    Returns:
        The names ([] where there is none and none is needed), and a note on how they were found ("" where
        the person said so).

    Raises:
        UnknownNameError: a wished column is not there.
    """
    if wished is not None:
        parts = [wished] if wished in names else [part.strip() for part in wished.split(",")]
        for part in parts:
            if part not in names:
                raise UnknownNameError("column to predict", part, names)
        return list(dict.fromkeys(parts)), ""
    lower = {name.strip().lower(): name for name in reversed(names)}
    found = next((lower[usual] for usual in USUAL if usual in lower), None)
    if found is not None:
        if found in labelled:
            return [found], ""
        return [found], f"predicts {found!r}, a usual name of a target; --target names another"
    if labelled:
        return [labelled[-1]], f"predicts {labelled[-1]!r}, declared as class labels; --target names another"
    if not needed:
        return [], ""
    note = f"predicts {names[-1]!r}, the last column, since none has a usual name; --target names another"
    return [names[-1]], note


def read_target(
    names: Sequence[str],
    columns: Sequence[pa.ChunkedArray],
    *,
    kinds: Sequence[str | None] = (),
    classes: Sequence[str] | None = None,
    task: Task | None = None,
) -> Target:
    """Read what is to be predicted.

    Args:
        names: of the columns, one or several.
        columns: their raw values.
        kinds: what the person said each is; a number is then an amount, a category a class, a text is
            translated into.
        classes: the class names, where the source declares them and the values are their indices.
        task: what the person said the task is.

    Raises:
        BadDataError: it holds nothing that can be predicted.
    """
    if len(names) > 1:
        return _several(names, columns, task)
    name, raw = names[0], columns[0]
    kind = kinds[0] if kinds else None
    if kind == "text":
        return _text(name, raw)
    if classes is not None:
        return _declared(name, raw, classes)
    if raw.null_count == len(raw):
        raise BadDataError(
            f"The target column {name!r} has no values.", remedy="--target names another column"
        )
    if isinstance(raw.type, pa.FixedShapeTensorType):
        return _vector(name, raw, task)
    if (
        pa.types.is_list(raw.type)
        or pa.types.is_large_list(raw.type)
        or pa.types.is_fixed_size_list(raw.type)
    ):
        return _label_lists(name, raw)
    if kind == "category" or (task == "classification" and kind is None):
        return _classes(name, raw, "as told")
    reading = schema.read_column("", raw, "number" if kind == "number" or task == "regression" else None)
    if reading.kind == "number":
        return _number(name, reading, forced=kind == "number" or task == "regression")
    if reading.kind in ("boolean", "category", "text"):
        return _classes(name, raw, reading.reason)
    raise BadDataError(
        f"The target column {name!r} cannot be predicted: expected classes or numbers, "
        f"received {reading.kind or 'nothing'} ({reading.reason}).",
        remedy="--target names another column",
    )


# ---- one column ----------------------------------------------------------------------------------


def _number(name: str, reading: schema.Reading, *, forced: bool) -> Target:
    values = reading.values
    bad = _missing(values)
    if not forced and parse.whole(values):
        counts = pc.count_distinct(values).as_py()
        if counts <= schema.FEW or (name.lower() in _CLASS_NAMES and counts <= schema.MANY):
            return _whole_classes(name, values, bad, f"{counts} different whole numbers")
        return Target(
            Column(name, "number", reason=f"{counts:,} different whole numbers"),
            values,
            "regression",
            bad,
            "a number",
        )
    reason = "as told" if forced else "numbers with decimals"
    return Target(Column(name, "number", reason=reason), values, "regression", bad, "a number")


def _whole_classes(name: str, values: pa.ChunkedArray, bad: np.ndarray | None, reason: str) -> Target:
    values = values.cast(pa.int64())
    known = pc.sort_indices(distinct := parse.distinct(values))
    ordered = distinct.take(known)
    column = Column(name, "category", tuple(map(str, ordered.to_pylist())), reason)
    codes = pc.index_in(values, value_set=ordered).cast(pa.int64())
    return Target(column, codes, "classification", bad, "a class")


def _classes(name: str, raw: pa.ChunkedArray, reason: str) -> Target:
    if pa.types.is_boolean(raw.type):
        column = Column(name, "category", ("false", "true"), reason)
        return Target(column, raw.cast(pa.int64()), "classification", _missing(raw), "a class")
    if pa.types.is_integer(raw.type) or (pa.types.is_floating(raw.type) and parse.whole(raw)):
        return _whole_classes(name, raw, _missing(raw), reason)
    values = schema.read_column(name, raw, "category").values
    found = parse.distinct(values).to_pylist()
    if len(found) > max(2, min(schema.MANY, (len(values) - values.null_count) // 2)):
        raise BadDataError(
            f"The target column {name!r} has {len(found):,} different texts in {len(values):,} rows: "
            "expected numbers, or classes with several rows each.",
            remedy="--target names another column",
        )
    column = Column(name, "category", tuple(sorted(found, key=images.natural)), reason)
    return Target(column, values, "classification", _missing(values), "a class")


def _text(name: str, raw: pa.ChunkedArray) -> Target:
    reading = schema.read_column(name, raw, "text")
    column = Column(name, "text", reason=reading.reason)
    return Target(column, reading.values, "translation", _missing(reading.values), "a text")


def _declared(name: str, raw: pa.ChunkedArray, classes: Sequence[str]) -> Target:
    """Indices into declared class names; what is outside (often -1) means that there is no label."""
    if pa.types.is_list(raw.type) or pa.types.is_large_list(raw.type):
        return _label_lists(name, raw, classes)
    values = raw.cast(pa.int64())
    outside = pc.or_(pc.less(values, 0), pc.greater_equal(values, len(classes)))
    values = pc.if_else(outside, pa.scalar(None, pa.int64()), values)
    column = Column(name, "category", tuple(classes), "declared as class labels")
    return Target(column, values, "classification", _missing(values), "a class")


# ---- several values a row ------------------------------------------------------------------------


def _several(names: Sequence[str], columns: Sequence[pa.ChunkedArray], task: Task | None) -> Target:
    readings = [schema.read_column("", column) for column in columns]
    for name, reading in zip(names, readings, strict=True):
        if reading.kind not in ("number", "boolean"):
            raise BadDataError(
                f"Several targets must all be numbers: {name!r} is {reading.kind} ({reading.reason}).",
                remedy="name one column with --target",
            )
    floats = [reading.values.cast(pa.float64()) for reading in readings]
    bad = np.logical_or.reduce([pc.is_null(column).to_numpy() for column in floats])
    stacked = np.stack([pc.fill_null(column, 0.0).to_numpy() for column in floats], axis=1)  # (N, K)
    return _vector(", ".join(names), schema.tensor(stacked), task, names, bad if bad.any() else None)


def _vector(
    name: str,
    column: pa.ChunkedArray,
    task: Task | None,
    names: Sequence[str] = (),
    bad: np.ndarray | None = None,
) -> Target:
    values = schema.tensor_values(column)
    if values.ndim != 2:
        raise BadDataError(f"The target {name!r} has shape {values.shape[1:]} a row: expected one dimension.")
    names = tuple(names) or tuple(map(str, range(values.shape[1])))
    yes_no = bool(np.isin(values, (0, 1)).all())
    if task == "multilabel" and not yes_no:
        raise BadDataError(f"The target {name!r} must hold 0 and 1 alone for several labels a row.")
    chosen: Task = "multilabel" if yes_no and task != "regression" else "regression"
    reason = f"{len(names)} columns of 0 and 1" if chosen == "multilabel" else f"{len(names)} numbers"
    holes = np.logical_not(np.isfinite(values).all(axis=1))
    if holes.any():
        bad = holes if bad is None else np.logical_or(bad, holes)
    return Target(Column(name, "tensor", names, reason), column, chosen, bad, "numbers")


def _label_lists(name: str, raw: pa.ChunkedArray, classes: Sequence[str] | None = None) -> Target:
    """Lists of labels as one row of 0 and 1 each."""
    lists = raw.combine_chunks()
    flat, rows = pc.list_flatten(lists), pc.list_parent_indices(lists).to_numpy()
    if classes is None:
        if not (parse.is_text(flat.type) or pa.types.is_integer(flat.type)):
            reading = schema.read_column(name, raw, "tensor")
            if reading.bad is not None:
                raise BadDataError(
                    f"The target {name!r} holds lists of several lengths, or no numbers: expected one shape.",
                    remedy="--target names another column",
                )
            return _vector(name, reading.values, None)
        found = parse.distinct(pa.chunked_array([flat])).to_pylist()
        known = sorted(found, key=lambda label: images.natural(str(label)))
        codes = pc.index_in(flat, value_set=pa.array(known, flat.type)).to_numpy()
        classes = tuple(map(str, known))
    else:
        codes = flat.to_numpy()
    hot = np.zeros((len(lists), len(classes)), np.float32)
    hot[rows, codes] = 1
    bad = pc.is_null(lists).to_numpy(zero_copy_only=False)
    column = Column(name, "tensor", tuple(classes), "lists of labels")
    return Target(column, schema.tensor(hot), "multilabel", bad if bad.any() else None, "a list of labels")


def _missing(values: pa.ChunkedArray) -> np.ndarray | None:
    return pc.is_null(values).to_numpy() if values.null_count else None
