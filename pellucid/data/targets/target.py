"""A target: how the columns to predict are read, encoded for a loss, and decoded from a prediction."""

from __future__ import annotations

import functools
import re
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
import pyarrow as pa

from pellucid.data import schema
from pellucid.data.compute import pc
from pellucid.data.dataset import Column
from pellucid.data.encoder import FitOptions, Inputs, with_tuples
from pellucid.data.kinds.kind import Reading
from pellucid.data.kinds.tensor import is_list
from pellucid.data.marks import UNKNOWN, Marks
from pellucid.data.tensor_column import tensor, tensor_values
from pellucid.errors import BadDataError, ModelError

if TYPE_CHECKING:
    from torch import Tensor

    from pellucid.data.text.ragged import Ragged


WORDS = 0.5
"""A column of which a larger share is no number does not become numbers by learning regression."""


@dataclass(frozen=True)
class TargetColumn:
    """The columns to predict, read as one.

    Attributes:
        column: its schema; the categories are the classes in the order of the logits.
        values: class indices (int64) or names, a tensor of several values, numbers, or texts.
        bad: (N,) True where there is no value, or none of the right kind; None where all are good.
        expected: what a cell should have been.
        task: what kind of prediction it is.
        encoding: the name of the target that read it.
        note: what was decided, if a user may be surprised.
    """

    column: Column
    values: pa.ChunkedArray
    bad: np.ndarray | None = None
    expected: str = "a value"
    task: str = ""
    encoding: str = ""
    note: str = ""


class TargetCells:
    """The columns to predict before anybody knows what they are.

    Args:
        names: of the columns, one or several.
        columns: their raw values.
        kind: the kind of column, or the target, that the user named; None: it is inferred.
        classes: the class names, where the source declares them and the values are their indices.
        task: the task that the user named; None: it is inferred.
        marks: what is known of how text cells are written.
        written: whether the cells come from a file that holds only text.
    """

    def __init__(
        self,
        names: Sequence[str],
        columns: Sequence[pa.ChunkedArray],
        kind: str | None = None,
        classes: Sequence[str] | None = None,
        task: str | None = None,
        marks: Marks = UNKNOWN,
        written: bool = False,
    ):
        self.names, self.columns = tuple(names), tuple(columns)
        self.kind, self.classes, self.task, self.marks = kind, classes, task, marks
        self.written = written

    @property
    def name(self) -> str:
        """The names, joined by commas."""
        return ", ".join(self.names)

    @property
    def raw(self) -> pa.ChunkedArray | None:
        """The only column; None where there are several."""
        return self.columns[0] if len(self.columns) == 1 else None

    @property
    def is_list(self) -> bool:
        """Whether there is one column, of lists."""
        return self.raw is not None and is_list(self.raw.type)

    @functools.cached_property
    def reading(self) -> Reading:
        """The only column as it was read; as numbers where the user asked for them and most cells are."""
        assert self.raw is not None
        asked = self.kind == "number" or (self.task == "regression" and self.kind is None)
        read = schema.read_column("", self.raw, "number" if asked else None, marks=self.marks)
        words = self.kind is None and asked and read.bad is not None and read.bad.mean() > WORDS
        return schema.read_column("", self.raw, marks=self.marks) if words else read

    @functools.cached_property
    def vector(self) -> Vector | None:
        """Several numbers a row; None where there is one value a row.

        Raises:
            BadDataError: one of several columns is not numbers, or lists differ in length.
        """
        if self.raw is None:
            return _stacked(self.names, self.columns, self.marks)
        if isinstance(self.raw.type, pa.FixedShapeTensorType):
            return _vector(self.name, self.raw)
        return _vector(self.name, _as_tensor(self.name, self.raw)) if self.is_list else None


@dataclass(frozen=True)
class Vector:
    """Several numbers a row.

    Attributes:
        values: N rows of K numbers, as a tensor column.
        names: of the K numbers.
        bad: (N,) True for rows that lack a number; None where none does.
        is_binary: whether all numbers are 0 or 1.
        is_one_hot: whether in addition every row has exactly one 1, so that it names a class.
    """

    values: pa.ChunkedArray
    names: tuple[str, ...]
    bad: np.ndarray | None
    is_binary: bool
    is_one_hot: bool = False


def _stacked(names: Sequence[str], columns: Sequence[pa.ChunkedArray], marks: Marks) -> Vector:
    readings = [schema.read_column("", column, marks=marks) for column in columns]
    for name, reading in zip(names, readings, strict=True):
        if reading.kind not in ("number", "boolean"):
            raise BadDataError(
                f"Several targets must all be numbers: {name!r} is {reading.kind} ({reading.reason}).",
                remedy="name one column with --target",
            )
    floats = [reading.values.cast(pa.float64(), safe=False) for reading in readings]
    bad = np.logical_or.reduce([pc.is_null(column).to_numpy() for column in floats])
    stacked = np.stack([pc.fill_null(column, 0.0).to_numpy() for column in floats], axis=1)  # (N, K)
    return _vector(", ".join(names), tensor(stacked), names, bad)


def _vector(
    name: str, column: pa.ChunkedArray, names: Sequence[str] = (), bad: np.ndarray | None = None
) -> Vector:
    values = tensor_values(column)
    if values.ndim != 2:
        raise BadDataError(f"The target {name!r} has shape {values.shape[1:]} a row: expected one dimension.")
    names = tuple(names) or tuple(map(str, range(values.shape[1])))
    lacking = np.logical_not(np.isfinite(values).all(axis=1))
    if bad is not None:
        lacking = np.logical_or(lacking, bad)
    is_binary = bool(np.isin(values, (0, 1)).all())
    one_hot = is_binary and values.shape[1] > 1 and len(values) > 1 and bool((values.sum(axis=1) == 1).all())
    return Vector(column, names, lacking if lacking.any() else None, is_binary, one_hot)


def _as_tensor(name: str, raw: pa.ChunkedArray) -> pa.ChunkedArray:
    reading = schema.read_column(name, raw, "tensor")
    if reading.bad is not None:
        raise BadDataError(
            f"The target {name!r} holds lists of several lengths, or no numbers: expected one shape.",
            remedy="--target names another column",
        )
    return reading.values


_LABELS: dict[str, Any] = {"int": int, "float": float, "bool": lambda name: name.lower() == "true"}


def label_type(raw: pa.ChunkedArray, classes: Sequence[str], *, written: bool) -> str:
    """Return the type of classes: "int", "float", "bool" or "str".

    Args:
        raw: the cells.
        classes: their names.
        written: whether cells of text come from a file that holds only text, where numbers are text too.
    """
    kind = raw.type
    if isinstance(kind, pa.FixedShapeTensorType):  # columns of 0 and 1, named by their places
        return "int" if list(classes) == list(map(str, range(len(classes)))) else "str"
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    if is_list(kind):
        kind = kind.value_type
    for name, is_type in (("bool", pa.types.is_boolean), ("int", pa.types.is_integer)):
        if is_type(kind):
            return name
    if pa.types.is_floating(kind) or pa.types.is_decimal(kind):
        return "float"
    if not written or not classes or kind != raw.type:
        return "str"
    if {name.lower() for name in classes} <= {"true", "false"}:
        return "bool"
    if not all(_WHOLE.match(name) for name in classes):
        return "str"
    return "float" if pc.any(pc.match_substring(raw, ".")).as_py() else "int"


_WHOLE = re.compile(r"^-?(0|[1-9][0-9]*)(\.0+)?$")


def missing(values: pa.ChunkedArray) -> np.ndarray | None:
    """Return (N,) True where a value is missing; None where none is."""
    return pc.is_null(values).to_numpy() if values.null_count else None


class Target(ABC):
    """What a model predicts. Subclasses are dataclasses whose fields are `column` and what was fitted.

    Attributes:
        name: in `preprocess.json` and `data.columns`; the name of its file.
        task: the task that learns it.
        order: targets are tried in this order on the columns to predict.
        stratified: how rows are balanced over the splits, in words.
        column: what is predicted.
    """

    name: ClassVar[str]
    task: ClassVar[str]
    order: ClassVar[int]
    stratified: ClassVar[str] = "at random"
    column: Column

    # ---- reading -----------------------------------------------------------------------------------

    @classmethod
    @abstractmethod
    def read(cls, cells: TargetCells) -> TargetColumn | None:
        """Read the columns to predict; None if they are a target of another kind.

        Raises:
            BadDataError: they are of this kind and cannot be predicted.
        """

    @classmethod
    def strata(cls, column: Column, values: pa.ChunkedArray) -> np.ndarray:
        """Return a number for each of N rows; splits have about equal shares of each number."""
        return np.zeros(len(values), np.int64)

    @classmethod
    def counts(cls, column: Column, values: pa.ChunkedArray) -> dict[str, int]:
        """Count the rows of each class; {} where there are no classes."""
        return {}

    # ---- encoding ----------------------------------------------------------------------------------

    @classmethod
    @abstractmethod
    def fit(cls, column: Column, train: pa.Table, options: FitOptions, inputs: Inputs) -> Self:
        """Fit on the training rows, given the fitted inputs."""

    @property
    @abstractmethod
    def num_outputs(self) -> int:
        """Number of values that a model outputs for a row."""

    @property
    def classes(self) -> tuple[str, ...]:
        """The class names in the order of the logits; () where there are no classes."""
        return ()

    @property
    def labels(self) -> tuple[Any, ...]:
        """The classes in the type that the data had: whole numbers, decimals, truth values or texts."""
        read = _LABELS.get(self.column.form.get("type", ""), str)
        return tuple(read(name) for name in self.classes)

    @property
    def sources(self) -> tuple[str, ...]:
        """The columns of a table that hold it."""
        names = self.column.name, *(self.column.categories if self.column.kind == "tensor" else ())
        return tuple(dict.fromkeys(names))

    @property
    def max_len(self) -> int | None:
        """Most tokens that a model writes for a row, with BOS; None where a row is not a sequence."""
        return None

    @property
    def unit(self) -> float | None:
        """What a difference of 1 in the encoded target is in the data; None where that is not one number."""
        return None

    def notes(self, splits: Mapping[str, pa.Table], options: FitOptions) -> list[str]:
        """Return what the user should know about the encoding, one line each."""
        return []

    @abstractmethod
    def apply(self, table: pa.Table) -> Tensor:
        """Encode the target of N rows as what a loss compares with: (N, ...).

        Raises:
            BadDataError: a value is missing, or not one that can be predicted.
        """

    def rows(self, table: pa.Table) -> Tensor | Ragged:
        """Encode as `apply` does, or as rows of different lengths."""
        return self.apply(table)

    @abstractmethod
    def invert(self, encoded: Tensor) -> Any:
        """Bring what `apply` gives, or a model predicts in its place, back to what the data holds."""

    # ---- on disk -----------------------------------------------------------------------------------

    def state(self) -> dict[str, Any]:
        """Return everything as plain JSON values."""
        return {"kind": self.name, **asdict(self)}  # type: ignore[call-overload]

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> Self:
        """Restore from `state()`."""
        return cls(**{**with_tuples(state), "column": Column.from_state(state["column"])})

    def values(self, table: pa.Table) -> pa.ChunkedArray:
        """Return the column to predict.

        Raises:
            ModelError: the table does not have it.
        """
        if self.column.name not in table.column_names:
            raise ModelError(
                f"Expected the target column {self.column.name!r}, received {table.column_names}."
            )
        return table[self.column.name]


@dataclass(frozen=True)
class NamedTarget(Target):
    """A target whose outputs are the categories of its column; there is nothing else to fit."""

    column: Column

    @classmethod
    def fit(cls, column: Column, train: pa.Table, options: FitOptions, inputs: Inputs) -> Self:
        return cls(column)

    @property
    def num_outputs(self) -> int:
        return len(self.classes)

    @property
    def classes(self) -> tuple[str, ...]:
        return self.column.categories

    def names(self, classes: Sequence[int] | np.ndarray) -> list[str]:
        """Return the names of indices of classes."""
        return [self.classes[index] for index in classes]


@dataclass(frozen=True)
class ScaledTarget(Target):
    """A target of D numbers that a model learns with mean 0 and standard deviation 1.

    Attributes:
        column: what is predicted.
        mean: of the training rows, for each of D numbers.
        std: of the training rows, for each of D numbers.
    """

    column: Column
    mean: tuple[float, ...]
    std: tuple[float, ...]

    @property
    def num_outputs(self) -> int:
        return len(self.mean)

    @property
    def unit(self) -> float | None:
        return self.std[0] if len(self.std) == 1 else None
