"""From the rows of a table to the tensors of a batch, fitted on the training rows only.

A `Preprocess` is saved with its model as `preprocess.json`, so that predictions are made from exactly what
the model was trained on.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np
import pyarrow as pa
import torch

from pellucid.config import ImageFit, TextConfig
from pellucid.data import inputs, kinds, prediction_input, targets
from pellucid.data.dataset import Column, Dataset
from pellucid.data.encoder import FitOptions, Inputs
from pellucid.data.input_rows import InputRows
from pellucid.data.targets.target import Target
from pellucid.data.text.ragged import Ragged
from pellucid.errors import ModelError, UnknownNameError
from pellucid.extensions import Registry

VERSION = 2


@dataclass(frozen=True)
class Preprocess:
    """How rows become tensors: the inputs of a model, and its target.

    Attributes:
        columns: the columns that the model learns from.
        encoded: how they become the input of a model.
        target: how the column to predict is encoded; None where nothing is predicted.
        notes: what is changed (resized, filled in ...), one line each.
        written: how the files of text were written, as in `data.csv`; other files are read the same way.
    """

    columns: tuple[Column, ...]
    encoded: Inputs
    target: Target | None = None
    notes: tuple[str, ...] = ()
    written: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def fit(
        cls,
        dataset: Dataset,
        *,
        image_size: int | None = None,
        normalize: bool = True,
        text: TextConfig | None = None,
        whole_texts: bool = False,
        layout: bool = False,
        shared_tokens: bool = False,
        image_fit: ImageFit | None = None,
        pixels: bool = False,
        images_of: str | None = None,
    ) -> Preprocess:
        """Fit on the training split.

        Args:
            dataset: with its splits made.
            image_size: longer side in pixels that images are resized to; None: the most common size.
            normalize: bring inputs to mean 0 and standard deviation 1.
            text: how a column of text becomes tokens, for a model that reads tokens; None: texts become
                word counts, concatenated with the other columns.
            whole_texts: texts are concatenated rather than truncated.
            layout: line breaks and indentation are words, since texts are written with these tokens.
            shared_tokens: a text and its translation use one vocabulary.
            image_fit: how images of other shapes get one size; None: they are stretched.
            pixels: bring arrays of images to pixels in 0..1, whatever range they have.
            images_of: the pretrained model whose size, mean and deviation of images are used; None: measured.

        Raises:
            BadDataError: an image cannot be decoded, which is named; or all texts are empty.
            ModelError: the model reads tokens, and no column holds text; or a text is to be predicted by a
                model that does not read tokens.
        """
        train = dataset.splits["train"]
        column = dataset.column(dataset.target) if dataset.target else None
        shared = column if shared_tokens else None
        options = FitOptions(
            image_size,
            normalize,
            text,
            whole_texts,
            layout,
            shared,
            image_fit or "stretch",
            pixels=pixels,
            images_of=images_of,
        )
        encoded, used, notes = inputs.fit(dataset.inputs, train, options)
        notes += encoded.notes(dataset.splits, options)
        kind, target = targets.of(dataset), None
        if kind is not None and column is not None:
            target = kind.fit(column, train, options, encoded)
            notes += target.notes(dataset.splits, options)
        return cls(used, encoded, target, tuple(notes), dataset.written)

    # ---- shapes ------------------------------------------------------------------------------------

    @property
    def input_shape(self) -> tuple[int, ...]:
        """The shape of one example: (C, H, W) images, (F,) tables, (T,) tokens, at most T of them."""
        return self.encoded.shape

    @property
    def vocab_size(self) -> int | None:
        """Number of different tokens; None where the input is not tokens."""
        return self.encoded.vocab_size

    @property
    def num_outputs(self) -> int:
        """Number of logits or amounts that a model outputs for a row."""
        return self.target.num_outputs if self.target else 0

    @property
    def task(self) -> str | None:
        """What is predicted: classification, multilabel, regression ...; None where nothing is."""
        return self.target.task if self.target else None

    @property
    def classes(self) -> tuple[str, ...]:
        """The class names in the order of the logits; () where no classes are predicted."""
        return self.target.classes if self.target else ()

    @property
    def feature_names(self) -> tuple[str, ...]:
        """The name of every number of a table's input; () for images and arrays."""
        return self.encoded.feature_names

    # ---- tensors -----------------------------------------------------------------------------------

    def inputs(self, table: pa.Table) -> torch.Tensor:
        """Encode rows as the input of a model.

        Args:
            table: N rows with at least the columns that the model learns from.

        Returns:
            (N, *input_shape) float32; for tokens (N, T) int64, padded with 0 to the longest of these rows.

        Raises:
            ModelError: a column is missing or of another type than in training.
            BadDataError: an image cannot be decoded, which is named.
        """
        self._check(table)
        return torch.from_numpy(self.encoded.apply(table))

    def targets(self, table: pa.Table) -> torch.Tensor:
        """Encode the target of N rows, as what a loss compares with.

        Returns:
            (N,) int64 classes; (N, K) float32 of 0 and 1 for several labels; (N,) or (N, D) float32
            standardized numbers; (N, T) int64 tokens, BOS ... EOS, padded with 0.

        Raises:
            ModelError: the target column is missing.
            BadDataError: a value is none of the classes, or missing.
        """
        return self._known_target().apply(table)

    def target_rows(self, table: pa.Table) -> torch.Tensor | Ragged:
        """Encode the target as `targets` does; rows that differ in length stay so."""
        return self._known_target().rows(table)

    def untarget(self, preds: torch.Tensor) -> Any:
        """Invert the encoding of the target, e.g. bring standardized numbers to the units of the data."""
        return self._known_target().invert(preds)

    def _known_target(self) -> Target:
        if self.target is None:
            raise ModelError("There is no target to predict.", remedy="--target names a column")
        return self.target

    def pixels(self, table: pa.Table) -> torch.Tensor:
        """Decode images without scaling them: (N, C, H, W) uint8, mapped from disk where it can be.

        Raises:
            ModelError: the input is not an image.
        """
        self._check(table)
        return torch.from_numpy(np.asarray(self.encoded.pixels(table)))

    def read(self, source: Any, *, skip_bad: bool = False) -> InputRows:
        """Read prediction inputs as rows of the columns that the model learns from, each with its name.

        Args:
            source: a file or a folder of images, tables or arrays, or a list of paths; an array, a tensor, a
                sparse matrix, PIL images; a data frame, a series, a table of any library; a mapping of names
                to values, or a list of these; for a model that learned from texts a text, texts, or files.
            skip_bad: leave out rows and files that cannot be read, instead of raising.

        Raises:
            DataNotFoundError: there is no such file.
            ModelError: it has another shape, type or other columns than the training data.
            BadDataError: a cell cannot be read; names file, row and column.
        """
        wanted = prediction_input.Wanted(
            self.columns,
            self.input_shape,
            self.written,
            self.target.sources if self.target else (),
            skip_bad,
            self.encoded.plain_source,
            self.encoded.from_bytes,
        )
        rows = prediction_input.read(source, wanted)
        if rows is not source:
            self.encoded.check_new(rows.table)
            rows = replace(rows, notes=(*rows.notes, *self.encoded.new_notes(rows.table)))
        return rows

    def table_from(self, source: Any) -> pa.Table:
        """Return the table of `read`."""
        return self.read(source).table

    def check(self, table: pa.Table) -> None:
        """Refuse new rows with other columns than the training rows, or on another scale.

        Raises:
            ModelError: says what was expected.
        """
        self._check(table)
        self.encoded.check_new(table)

    def _check(self, table: pa.Table) -> None:
        found, shape = dict(zip(table.column_names, table.schema.types, strict=True)), self.input_shape
        for column in self.columns:
            if column.name not in found:
                raise ModelError(
                    f"Expected the columns {', '.join(repr(c.name) for c in self.columns)}; "
                    f"received {', '.join(map(repr, table.column_names)) or 'none'}, without {column.name!r}."
                )
            prediction_input.check_type(column, found[column.name], shape)

    # ---- on disk -----------------------------------------------------------------------------------

    def state(self) -> dict[str, Any]:
        """Return everything as plain JSON values."""
        return {
            "version": VERSION,
            "columns": [asdict(column) for column in self.columns],
            "inputs": self.encoded.state(),
            "target": self.target.state() if self.target else None,
            "notes": list(self.notes),
            "csv": dict(self.written),
            **self._modules(),
        }

    def _modules(self) -> dict[str, Any]:
        """Name the modules of the kinds and the target that are not ours, so that they can be found again."""
        found = {
            "kinds": kinds.REGISTRY.modules(column.kind for column in self.columns),
            "targets": targets.REGISTRY.modules([self.target.name] if self.target else []),
        }
        return {"modules": found} if any(found.values()) else {}

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> Preprocess:
        """Restore from `state()`, also from that of version 0.1.

        Raises:
            ModelError: the state is of an unknown version, or damaged; or it needs a kind of column or a
                target that is not registered and cannot be imported.
        """
        try:
            if state["version"] not in (1, VERSION):
                raise ModelError(f"preprocess.json has version {state['version']}: expected {VERSION}.")
            columns = tuple(Column.from_state(values) for values in state["columns"])
            target = _first_target(state) if state["version"] == 1 else state["target"]
            _recall(columns, target, state.get("modules") or {})
            return cls(
                columns=columns,
                encoded=inputs.restore(state["inputs"], columns),
                target=targets.restore(target) if target else None,
                notes=tuple(state["notes"]),
                written=state.get("csv") or {},
            )
        except (KeyError, TypeError, ValueError, AttributeError, UnknownNameError) as error:
            raise ModelError(
                f"preprocess.json is damaged: {type(error).__name__}: {error}.", remedy="train the run again"
            ) from None


def _recall(
    columns: Iterable[Column], target: Mapping[str, Any] | None, modules: Mapping[str, Mapping[str, str]]
) -> None:
    """Make sure that the kinds of the columns and the target are registered.

    Args:
        columns: the columns that the model learns from.
        target: the state of the target.
        modules: "kinds" and "targets": the modules that define those that are not ours, by name.

    Raises:
        ModelError: one is not registered, and the module that defined it cannot be imported.
    """
    wanted: list[tuple[str, Registry[Any], str]]
    wanted = [("kinds", kinds.REGISTRY, name) for name in dict.fromkeys(c.kind for c in columns)]
    if target:
        wanted.append(("targets", targets.REGISTRY, target["kind"]))
    for group, registry, name in wanted:
        if reason := registry.recall(name, modules.get(group, {}).get(name)):
            raise ModelError(
                f"preprocess.json needs the {registry.word} {name!r}, which is not registered: {reason}.",
                remedy=f"import the module that registers it (pellucid.data.{group}.register) before you "
                "load the run, or put its folder on PYTHONPATH",
            )


def _first_target(state: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the state of the target from a `preprocess.json` of version 1."""
    column = state["target"]
    fitted: dict[str | None, dict[str, Any]] = {
        "classification": {"kind": "classes"},
        "multilabel": {"kind": "labels"},
        "regression": {"kind": "numbers", "mean": state["mean"], "std": state["std"]},
        "translation": {"kind": "tokens", "tokens": state.get("target_tokens")},
    }
    return {"column": column, **fitted[state["task"]]} if column else None
