"""From the rows of a table to the tensors of a batch, as fitted on the training rows alone.

A `Preprocess` travels with its model as `preprocess.json`, so that a prediction is made of exactly what
was trained on.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa
import torch

from pellucid.config import TextConfig
from pellucid.data import encoders, inputs, prediction_input, schema, split
from pellucid.data.dataset import Column, Dataset, Task
from pellucid.data.text.ragged import Ragged
from pellucid.data.text.text_inputs import BOS, EOS, LEARNED, TextInputs
from pellucid.data.text.text_inputs import notes as text_notes
from pellucid.data.text.vocabulary import token_inputs
from pellucid.errors import BadDataError, ModelError

VERSION = 1


@dataclass(frozen=True)
class Preprocess:
    """How rows become tensors.

    Attributes:
        columns: the columns that are learned from.
        target: the column to predict, or None.
        task: classification, multilabel, regression or translation; None where nothing is predicted.
        encoded: how the columns become the input of a model.
        mean: of the training targets, for regression, one for each output.
        std: likewise.
        notes: what is changed on the way (resized, filled in ...), one line each.
        target_tokens: how a target that is text becomes tokens; None for all others.
    """

    columns: tuple[Column, ...]
    target: Column | None
    task: Task | None
    encoded: inputs.Inputs
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    notes: tuple[str, ...] = ()
    target_tokens: TextInputs | None = None

    @classmethod
    def fit(
        cls,
        dataset: Dataset,
        *,
        image_size: int | None = None,
        normalize: bool = True,
        text: TextConfig | None = None,
        whole_texts: bool = False,
        shared_tokens: bool = False,
    ) -> Preprocess:
        """Fit on the training split.

        Args:
            dataset: with its splits made.
            image_size: side in pixels that images are resized to; None: the most common size.
            normalize: bring inputs to mean 0 and deviation 1.
            text: read a column of text as tokens, learned in this way; None: as counts of words beside the
                other columns.
            whole_texts: texts are read on end, so that none is cut.
            shared_tokens: a text to translate and its translation are cut into tokens in the same way.

        Raises:
            BadDataError: naming an image that cannot be decoded; or all texts are empty.
            ModelError: tokens are asked for, and no column holds text; or a text is to be predicted, and no
                tokens are asked for.
        """
        train = dataset.splits["train"]
        target = dataset.column(dataset.target) if dataset.target else None
        encoded, used, notes = inputs.fit(
            dataset.inputs,
            train,
            image_size=image_size,
            normalize=normalize,
            text=text,
            also=target if shared_tokens else None,
        )
        target_tokens = None
        if target is not None and dataset.task == "translation":
            if text is None or not isinstance(encoded, TextInputs):
                raise ModelError(f"The target {target.name!r} is text: expected a model such as seq2seq.")
            if shared_tokens:
                target_tokens = replace(encoded, name=target.name)
            else:
                target_tokens = token_inputs(target, train, text)
        for tokens in (encoded, target_tokens):
            if isinstance(tokens, TextInputs):
                notes += text_notes(tokens, dataset.splits, origin=_origin(text), whole=whole_texts)
        mean, std = _target_scale(train[target.name]) if target and dataset.task == "regression" else ((), ())
        return cls(used, target, dataset.task, encoded, mean, std, tuple(notes), target_tokens)

    # ---- shapes ------------------------------------------------------------------------------------

    @property
    def input_shape(self) -> tuple[int, ...]:
        """The shape of one example: (C, H, W) for images, (F,) for tables, (T,) for tokens, T the most."""
        return self.encoded.shape

    @property
    def vocab_size(self) -> int | None:
        """How many different tokens there are; None where the input is not tokens."""
        return self.encoded.vocab_size if isinstance(self.encoded, TextInputs) else None

    @property
    def num_outputs(self) -> int:
        """How many logits or amounts a model must give."""
        return len(self.mean) if self.task == "regression" else len(self.classes)

    @property
    def classes(self) -> tuple[str, ...]:
        """The class names in the order of the logits; () where no classes are predicted."""
        return self.target.categories if self.target and self.task != "regression" else ()

    @property
    def feature_names(self) -> tuple[str, ...]:
        """The name of every number of a table's input; () for images and arrays."""
        return self.encoded.names if isinstance(self.encoded, inputs.TableInputs) else ()

    # ---- tensors -----------------------------------------------------------------------------------

    def inputs(self, table: pa.Table) -> torch.Tensor:
        """Turn rows into the input of a model.

        Args:
            table: N rows with at least the columns that are learned from.

        Returns:
            (N, *input_shape) float32; for tokens (N, T) int64, padded with 0 to the longest of these rows.

        Raises:
            ModelError: a column is missing or of another type than in training.
            BadDataError: naming an image that cannot be decoded.
        """
        self._check(table)
        return torch.from_numpy(self.encoded.apply(table))

    def targets(self, table: pa.Table) -> torch.Tensor:
        """Turn rows into what a model is to give.

        Returns:
            (N,) int64 classes; (N, K) float32 of 0 and 1 for several labels; (N,) or (N, D) float32
            standardized amounts; (N, T) int64 tokens, BOS ... EOS, padded with 0.

        Raises:
            ModelError: the target column is missing.
            BadDataError: a value is none of the classes, or missing.
        """
        if self.target is None:
            raise ModelError("There is no target to predict.", remedy="--target names a column")
        if self.target.name not in table.column_names:
            raise ModelError(
                f"Expected the target column {self.target.name!r}, received {table.column_names}."
            )
        if self.target_tokens is not None:
            return torch.from_numpy(self.target_rows(table).padded())
        column = table[self.target.name]
        if self.task == "classification":
            return torch.from_numpy(split.class_codes(self.target, column).copy())
        values = _numbers(column)
        if len(holes := np.flatnonzero(~np.isfinite(values).reshape(len(values), -1).all(axis=1))):
            raise BadDataError(f"The target {self.target.name!r} is missing in row {holes[0] + 1:,}.")
        if self.task == "regression":
            mean, std = np.asarray(self.mean), np.asarray(self.std)
            values = (values - mean) / std if values.ndim == 2 else (values - mean[0]) / std[0]
        return torch.from_numpy(values.astype(np.float32))

    def target_rows(self, table: pa.Table) -> Ragged:
        """The texts to predict as tokens, each between BOS and EOS.

        Raises:
            ModelError: the target is no text.
        """
        if self.target_tokens is None:
            raise ModelError(f"Expected a target that is text, received {self.task or 'none'}.")
        return self.target_tokens.rows(table).framed(BOS, EOS)

    def untarget(self, preds: torch.Tensor) -> torch.Tensor:
        """Bring standardized amounts, (N,), (N, 1) or (N, D), back to the units of the data."""
        mean, std = (
            torch.tensor(part, dtype=preds.dtype, device=preds.device) for part in (self.mean, self.std)
        )
        return preds * std + mean

    def pixels(self, table: pa.Table) -> torch.Tensor:
        """Decode images without scaling them: (N, C, H, W) uint8, mapped from disk where it can be.

        Raises:
            ModelError: the input is no image.
        """
        if not isinstance(self.encoded, inputs.ImageInputs):
            raise ModelError("This model learns from no images.")
        self._check(table)
        return torch.from_numpy(np.asarray(self.encoded.pixels(table)))

    def table_from(self, source: Any) -> pa.Table:
        """Turn something to predict into a table with the columns that are learned from.

        Args:
            source: an image file, a folder of images, a CSV, Parquet or .npy file, an array, a tensor, a
                PIL image, a data frame, a mapping of names to values; for a model that learned from texts a
                text, a list of texts, or a .txt file.

        Raises:
            DataNotFoundError: there is no such file.
            ModelError: it has another shape, type or other columns than the model was trained on.
            BadDataError: naming the file, row and column that cannot be read.
        """
        return prediction_input.table_from(source, self.columns, self.input_shape)

    def _check(self, table: pa.Table) -> None:
        for column in self.columns:
            if column.name not in table.column_names:
                raise ModelError(
                    f"Expected the columns {', '.join(repr(c.name) for c in self.columns)}; "
                    f"received {', '.join(map(repr, table.column_names)) or 'none'}, without {column.name!r}."
                )
            prediction_input.check_type(column, table.schema.field(column.name).type, self.input_shape)

    # ---- on disk -----------------------------------------------------------------------------------

    def state(self) -> dict[str, Any]:
        """Everything as plain JSON values."""
        return {
            "version": VERSION,
            "task": self.task,
            "columns": [_column_state(column) for column in self.columns],
            "target": _column_state(self.target) if self.target else None,
            "inputs": self.encoded.state(),
            "mean": list(self.mean),
            "std": list(self.std),
            "notes": list(self.notes),
            "target_tokens": self.target_tokens.state() if self.target_tokens else None,
        }

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> Preprocess:
        """Make it again from `state()`.

        Raises:
            ModelError: the state is of another version or damaged.
        """
        try:
            if state["version"] != VERSION:
                raise ModelError(f"preprocess.json has version {state['version']}: expected {VERSION}.")
            columns = tuple(_column(values) for values in state["columns"])
            return cls(
                columns=columns,
                target=_column(state["target"]) if state["target"] else None,
                task=state["task"],
                encoded=inputs.restore(state["inputs"], columns),
                mean=tuple(state["mean"]),
                std=tuple(state["std"]),
                notes=tuple(state["notes"]),
                target_tokens=TextInputs.restore(target) if (target := state.get("target_tokens")) else None,
            )
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise ModelError(
                f"preprocess.json is damaged: {type(error).__name__}: {error}.", remedy="train the run again"
            ) from None


def _numbers(column: pa.ChunkedArray) -> np.ndarray:
    if isinstance(column.type, pa.FixedShapeTensorType):
        return schema.tensor_values(column).astype(np.float64)
    return column.cast(pa.float64()).to_numpy()


def _target_scale(column: pa.ChunkedArray) -> tuple[tuple[float, ...], tuple[float, ...]]:
    mean, std = encoders.scale(_numbers(column), True, axis=0)
    return tuple(np.atleast_1d(mean).tolist()), tuple(np.atleast_1d(std).tolist())


def _column_state(column: Column) -> dict[str, Any]:
    return {
        "name": column.name,
        "kind": column.kind,
        "categories": list(column.categories),
        "reason": column.reason,
    }


def _column(values: Mapping[str, Any]) -> Column:
    return Column(values["name"], values["kind"], tuple(values["categories"]), values["reason"])


def _origin(text: TextConfig | None) -> str:
    """Where the tokens of a text come from."""
    if text is None or text.pretrained is None:
        return LEARNED
    return f"those of {text.pretrained}"
