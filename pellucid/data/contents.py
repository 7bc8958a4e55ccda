"""What data holds, before anybody has said what to learn from it.

Tasks look at `Contents` to say whether they can learn from data, and what (`data/offers.py`).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import pyarrow as pa

from pellucid.config import DataConfig
from pellucid.data import images, inputs
from pellucid.data.compute import pc
from pellucid.data.dataset import Column, Dataset
from pellucid.data.kinds.kind import FEW
from pellucid.data.sources.folder import holds_images
from pellucid.data.sources.open_source import Form, open_source, with_splits
from pellucid.data.targets.choose import choose
from pellucid.errors import BadCellsError, BadDataError, PellucidError, UntaggedError
from pellucid.record.spec import TaskSpec

ROWS_READ = frozenset(
    ("source", "subset", "target", "inputs", "columns", "encoding", "class_from", "skip_bad", "csv", "stack")
)
"""The settings in `data` that decide what is read, before it is split."""
LEAST_SIDE = 8
"""Rows and columns of an array (H, W) from which it may be a picture; smaller ones may be anything."""
LONG = 20
"""Characters of a text on average from which there is something to learn from its order of words."""


@dataclass(frozen=True)
class Contents:
    """What data holds.

    Attributes:
        config: how it was opened.
        dataset: with its target where one can be predicted; with or without splits.
        refusal: why nothing can be predicted; None where something can, or where there is no target at all.
        named_target: whether a column was named as the target, or has a usual name of one.
        fixed: whether its columns are what they are, because it is in memory.
    """

    config: DataConfig
    dataset: Dataset
    refusal: BadDataError | None = None
    named_target: bool = False
    fixed: bool = False

    @property
    def predicts(self) -> str | None:
        """What its target is for: classification, regression ...; None if nothing can be predicted."""
        return None if self.refusal is not None or self.config.stack else self.dataset.task

    @cached_property
    def table(self) -> pa.Table:
        """The training rows; all rows before the splits are made."""
        return self.dataset.splits["train"]

    @cached_property
    def rows(self) -> int:
        """The number of rows to learn from, about; those to be held out are not counted."""
        shares = {"validation": self.config.validation, "test": self.config.test}
        held_out = sum(share for split, share in shares.items() if split not in self.dataset.splits)
        rows = int(len(self.table) * (1 - held_out) * self.config.fraction + 0.5)
        return max(1, min(rows, self.config.training_rows or rows))

    @cached_property
    def image(self) -> Column | None:
        """The column of images, also of arrays (C, H, W) or (H, W); None if there is none."""
        for column in self.dataset.inputs:
            if column.kind == "image" or _is_picture(self._shape(column)):
                return column
        return None

    @cached_property
    def image_size(self) -> tuple[int, int] | None:
        """The most frequent (width, height) of the images; None if there are no files of images."""
        if self.image is None or self.image.kind != "image":
            return None
        return next(iter(images.shapes(self.table[self.image.name], 200).sizes))

    @cached_property
    def has_maps(self) -> bool:
        """Whether the input is one column of arrays of two or three dimensions."""
        found = inputs.whole_column(self.dataset.inputs, self.table.schema)
        return found is not None and len(self._shape(found[0])) > 1

    @property
    def classes(self) -> tuple[str, ...]:
        """The classes of its rows, also where they cannot be predicted; () without any."""
        return self.dataset.classes if self.dataset.task == "classification" else ()

    @cached_property
    def documents(self) -> bool:
        """Whether it is whole texts, without anything else."""
        return self.dataset.target is None and [c.kind for c in self.dataset.columns] == ["text"]

    @cached_property
    def texts(self) -> tuple[Column, ...]:
        """The columns of texts, the target included, the one that was named first."""
        found = [column for column in self.dataset.columns if column.kind == "text"]
        return tuple(sorted(found, key=lambda column: column.name == self.config.target))

    @cached_property
    def longest_text(self) -> Column | None:
        """The input column of the longest texts; None if no texts have more than a few words."""
        lengths = {
            column: _mean_length(self.table[column.name])
            for column in self.texts
            if column.name != self.dataset.target
        }
        best = max(lengths, key=lengths.__getitem__, default=None)
        return best if best is not None and (self.documents or lengths[best] >= LONG) else None

    @cached_property
    def characters(self) -> int:
        """The number of characters of its longest column of texts, about."""
        if self.longest_text is None:
            return 0
        return int(pc.sum(pc.utf8_length(self.table[self.longest_text.name])).as_py() or 0)

    @property
    def column_names(self) -> tuple[str, ...]:
        """All columns in the order of the source, also those that nothing can be learned from."""
        return self.dataset.read_columns or tuple(column.name for column in self.dataset.columns)

    def named(self) -> str:
        """Say in a few words what it is: "30 images", "a table of 5 columns" ..."""
        rows = f"{len(self.table):,}"
        if self.image is not None and len(self.dataset.inputs) == 1:
            classes = f" of {len(self.classes)} classes" if len(self.classes) > 1 else ""
            return f"{rows} pictures{classes or ' of one class' * bool(self.classes) or ' without classes'}"
        if self.documents:
            return "one text" if rows == "1" else f"{rows} texts"
        columns = ", ".join(f"{column.name} ({column.kind})" for column in self.dataset.columns[:6])
        more = f" and {len(self.dataset.columns) - 6} more" if len(self.dataset.columns) > 6 else ""
        return f"{rows} rows with the columns {columns}{more}"

    def read(self, config: DataConfig, spec: TaskSpec) -> Dataset:
        """Return the data as a task reads it, with splits unless the task makes them itself.

        Args:
            config: how to open it.
            spec: of the task.

        Raises:
            DataError: it cannot be read in this way.
        """
        if spec.form == "series":
            return self.dataset if self.fixed else open_source(config, labelled=False, form="series")
        if self.fixed or self._is_read_as(config, spec):
            return with_splits(self.dataset, config, labelled=spec.labelled)
        wanted = next(iter(spec.targets), None)
        opened = open_source(config, labelled=spec.labelled, form=spec.form, task=wanted)
        return with_splits(opened, config, labelled=spec.labelled)

    def _is_read_as(self, config: DataConfig, spec: TaskSpec) -> bool:
        if config.model_dump(include=set(ROWS_READ)) != self.config.model_dump(include=set(ROWS_READ)):
            return False
        if spec.form == "tagged" or (spec.targets and self.dataset.task not in spec.targets):
            return False
        if spec.form == "texts":
            return self.dataset.source.kind == "text" and self.documents
        return spec.labelled == (self.refusal is None) and not (spec.labelled and self.documents)

    def _shape(self, column: Column) -> tuple[int, ...]:
        return tuple(getattr(self.table.schema.field(column.name).type, "shape", ()))


def _is_picture(shape: tuple[int, ...]) -> bool:
    """Whether an array may be a picture; one of two dimensions if neither is far longer than the other."""
    return len(shape) == 3 or (len(shape) == 2 and min(shape) >= LEAST_SIDE and max(shape) <= 4 * min(shape))


def _mean_length(column: pa.ChunkedArray) -> float:
    chosen = np.unique(np.linspace(0, len(column) - 1, min(len(column), 1000)).astype(np.int64))
    return float(pc.mean(pc.utf8_length(column.take(pa.array(chosen)))).as_py() or 0)


def look(config: DataConfig) -> Contents:
    """Open data as its content suggests: with a target where one can be predicted, else without.

    Raises:
        DataError: it cannot be read; or it can, but has a target with cells that do not fit.
    """
    if config.stack:
        return Contents(config, open_source(config, labelled=False))
    try:
        dataset = open_source(config)
        return Contents(config, dataset, named_target=_has_named_target(dataset, config))
    except BadDataError as refusal:
        dataset = _without_target(config, refusal)
        named = _has_named_target(dataset, config) or isinstance(refusal, BadCellsError)
        found = None if named else _with_classes(config, dataset)
        return found or Contents(config, dataset, refusal, named)


def _with_classes(config: DataConfig, dataset: Dataset) -> Contents | None:
    """Return texts with their only column of classes as the target, wherever it stands."""
    few = [c.name for c in dataset.columns if c.kind in ("category", "boolean") and len(c.categories) <= FEW]
    if len(few) != 1 or not all(
        column.kind == "text" for column in dataset.columns if column.name not in few
    ):
        return None
    config = config.model_copy(update={"target": few[0]})
    try:
        found = open_source(config)
    except PellucidError:
        return None
    note = f"predicts {few[0]!r}, the only column of classes; --target names another"
    return Contents(config, replace(found, notes=(*found.notes, note)))


def _without_target(config: DataConfig, refusal: BadDataError) -> Dataset:
    """Open data without a target; raise the refusal if it cannot be read without one either."""
    path = Path(config.source).expanduser()
    forms: tuple[Form, ...] = ("rows", "texts", "tagged") if path.is_file() else ("rows", "tagged")
    for form in ("pairs", *forms) if config.target is None and path.exists() else forms:
        try:
            return open_source(config, labelled=False, form=form)
        except UntaggedError as error:
            refusal = error
        except PellucidError as error:
            if form == "rows" and not path.is_file() and holds_images(path):
                raise error from None  # what hinders all tasks, such as a broken image
    raise refusal


def _has_named_target(dataset: Dataset, config: DataConfig) -> bool:
    """Return whether a column was named as the target, or has a usual name of one; folders have neither."""
    if config.target is not None:
        return True
    return bool(dataset.read_columns) and bool(choose(dataset.read_columns, None, needed=False)[0])
