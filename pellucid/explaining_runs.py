"""What a run has to explain: its model, its inputs as `predict` reads them, and the names of everything."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from pellucid import inference
from pellucid.batch import Batch, call_model
from pellucid.data.input_rows import InputRows
from pellucid.data.inputs import TableInputs
from pellucid.data.text.text_inputs import TextInputs
from pellucid.errors import DataError, RunError, UnknownNameError, UsageError
from pellucid.evaluation import Trained
from pellucid.lens.explain.attribute import Form
from pellucid.lens.explain.explanation import Part
from pellucid.lens.explain.labels import labelled
from pellucid.lens.explain.pictures import as_png
from pellucid.lens.explain.question import Points, Question
from pellucid.record import Run
from pellucid.runner.load import load_trained
from pellucid.tasks import get_task
from pellucid.tasks.custom.loader_data import own_inputs
from pellucid.tasks.prepared import sample
from pellucid.train.objective import read_logits

LANGUAGE = "language_model"
EMPTY_TEXT = "no text: embeddings of zeros"
"""What texts are compared with."""
MEAN_ROWS = 20_000
"""Training rows that the means of columns are computed on."""


@dataclass
class RunSubject:
    """A run's side of an explanation; see `pellucid.explaining.Subject`."""

    run: Run
    trained: Trained
    target: Any
    title: str
    rows: InputRows | None = None
    inputs: Any = None
    own: Any = None
    names: list[dict[str, Any]] = field(default_factory=list)
    predictions: list[str] = field(default_factory=list)
    predicted: list[int | None] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def model(self) -> nn.Module:
        return self.trained.model

    @property
    def encoded(self) -> Any:
        return self.trained.preprocess.encoded

    @property
    def task(self) -> str:
        return self.trained.task

    @property
    def input_name(self) -> str:
        return self.trained.preprocess.columns[0].name

    @property
    def classes(self) -> bool:
        return bool(self.trained.preprocess.classes)

    @property
    def unit(self) -> str:
        return "logit" if self.classes or self.task == LANGUAGE else "value"

    # ---- outputs -----------------------------------------------------------------------------------

    def call(self, model: nn.Module, inputs: Any) -> Any:
        if self.task == LANGUAGE:
            return call_model(model, inputs)
        return self.trained.objective.forward(model, Batch(inputs))

    def read(self, returned: Any) -> Tensor:
        outputs = read_logits(returned)
        return outputs[:, -1] if self.task == LANGUAGE else outputs

    def scale(self, target: int) -> float:
        """Numbers are learned standardized; the deviation brings them to the units of the data."""
        deviations = getattr(self.trained.preprocess.target, "std", None)
        return float(deviations[target]) if deviations and not self.classes else 1.0

    def offset(self, target: int) -> float:
        """The mean of a number in the training rows, which is 0 for the model."""
        means = getattr(self.trained.preprocess.target, "mean", None)
        return float(means[target]) if means and not self.classes else 0.0

    def target_of(self, row: int) -> int | None:
        """Return which output is explained.

        Raises:
            UsageError: there is none of this name.
        """
        wanted, names = self.target, self._output_names()
        if self.task == LANGUAGE:
            return self._token(str(wanted))
        if wanted is None:
            return self.predicted[row] if self.classes else 0
        if str(wanted) in names:
            return names.index(str(wanted))
        if not self.classes and str(wanted).isdecimal():
            return int(wanted)
        raise UnknownNameError("class" if self.classes else "number", str(wanted), names)

    def say_target(self, question: Question) -> str:
        names = self._output_names()
        if self.task == LANGUAGE:
            return f"{self.encoded.pieces([question.target])[0]!r} as the next token"
        if question.target < len(names):
            return names[question.target]
        return f"output {question.target}"

    def _output_names(self) -> list[str]:
        preprocess = self.trained.preprocess
        if preprocess is None or preprocess.target is None:
            return []
        if self.classes:
            return list(preprocess.classes)
        column = preprocess.target.column
        return list(column.categories) if column.categories else [column.name]

    def _token(self, word: str) -> int:
        ids = self.encoded.encode([word]).ids.tolist()
        if len(ids) != 1:
            pieces = self.encoded.pieces(ids)
            raise UsageError(
                f"target={word!r} is {len(ids)} tokens of this model ({', '.join(map(repr, pieces[:8]))}): "
                "expected one that is to follow the text.",
                remedy=f"target={pieces[0]!r}" if pieces else None,
            )
        return int(ids[0])

    # ---- inputs ------------------------------------------------------------------------------------

    def form(self, point: Tensor, is_tokens: bool) -> Form:
        if is_tokens:
            return Form("text")
        encoded = self.encoded
        if isinstance(encoded, TableInputs):
            return Form("table", tuple(_groups(encoded)))
        layout = getattr(encoded, "layout", "image")
        if layout in ("series", "plain") and point.ndim == 3:
            return Form("series", channels_first=getattr(encoded, "channel_axis", 1) == 0)
        return Form("picture" if point.ndim == 4 and layout in ("image", "plain") else "table")

    def dress(self, part: Part, form: Form, shown: Tensor, row: int) -> Part:
        rows = self.rows
        assert rows is not None
        if form.kind == "text" and isinstance(self.encoded, TextInputs):
            ids = shown[0].tolist()
            kept, labels = [place for place, token in enumerate(ids) if token], self.encoded.pieces(ids)
            return replace(
                part, values=[part.values[place] for place in kept], labels=[labels[place] for place in kept]
            )
        if form.kind == "picture":
            return replace(part, image=self._picture(row, shown))
        if form.groups:
            cells = [_plain(rows.table[name][row].as_py()) for name, _ in form.groups]
            return replace(part, labels=[name for name, _ in form.groups], cells=cells)
        return labelled(part, form, shown, self.input_name)

    def _picture(self, row: int, shown: Tensor) -> str:
        assert self.rows is not None
        try:
            pixels = np.asarray(self.trained.preprocess.pixels(self.rows.table.slice(row, 1)))[0]
        except Exception:  # arrays of images have no pixels of their own
            return as_png(shown[0])
        return as_png(pixels)

    def baselines(self, points: Points) -> tuple[Points, str]:
        """Return what stands for "nothing", and what it is called."""
        zeros = tuple(map(torch.zeros_like, points))
        encoded = self.encoded
        if encoded.vocab_size is not None:
            return zeros, EMPTY_TEXT
        if isinstance(encoded, TableInputs):
            if self._means is not None:
                return (self._means.to(points[0])[None],), "the means of the training rows"
            return zeros, "the means of columns of numbers, and no category"
        normalized = any(getattr(encoded, "mean", (0.0,)))
        if len(points[0].shape) == 4:
            return zeros, "the mean color of the training pictures" if normalized else "black"
        return zeros, "the means of the training rows" if normalized else "zeros"

    @functools.cached_property
    def _means(self) -> Tensor | None:
        """The means of the encoded training rows; None where the data is gone."""
        try:
            own = [getattr(self.run, name, None) for name in ("dataset", "supplied")]
            _, prepared = inference.reopen(self.run, self.model, *own, allow_changed_data=True)
            return sample(prepared.rows["train"], MEAN_ROWS)[0].float().mean(0)
        except (DataError, RunError, OSError):
            self.notes.append(
                "the training data is not found, so columns are compared with the mean of numbers"
            )
            return None


def _groups(encoded: TableInputs) -> list[tuple[str, range]]:
    made, start = [], 0
    for column, encoder in zip(encoded.columns, encoded.encoders, strict=True):
        made.append((column.name, range(start, start + len(encoder.names))))
        start += len(encoder.names)
    return made


def _plain(cell: Any) -> Any:
    return cell if cell is None or isinstance(cell, (int, float, bool)) else str(cell)


# ---- reading ------------------------------------------------------------------------------------------


def run_subject(run: Run, inputs: Any, target: Any, model: nn.Module | None, skip_bad: bool) -> RunSubject:
    """Load a run and read inputs as its `predict` does.

    Raises:
        UsageError: its task has nothing to explain.
    """
    name = inference.task_name(run)
    _refuse(name, target)
    trained = load_trained(run, model)
    title = f"{type(trained.model).__name__} of run {run.id}"
    found = RunSubject(run, trained, target, title)
    if trained.preprocess is None or not trained.preprocess.columns:
        batches = own_inputs(trained.model, inputs, None)
        found.own = batches[0]
        if len(batches) > 1:
            found.notes.append(f"the first of {len(batches)} batches is explained")
        return found
    task = get_task(name)
    found.rows = task.read(trained, inputs, skip_bad=skip_bad)
    rows = found.rows if isinstance(found.rows, InputRows) else trained.preprocess.read(found.rows)
    found.rows, found.names = rows, [dict(row) for row in rows.names]
    found.notes += [*rows.notes, *(f"left out: {dict(row)}" for row in rows.left_out)]
    if name == LANGUAGE:
        texts = [text or "" for text in rows.table[found.input_name].to_pylist()]
        ids = [
            found.encoded.encode([text]).ids.tolist()[-trained.preprocess.input_shape[0] :] for text in texts
        ]
        if empty := [row + 1 for row, tokens in enumerate(ids) if not tokens]:
            raise UsageError(f"The text of row {empty[0]} is empty: there is nothing to explain.")
        found.inputs = _Rows([torch.tensor([tokens]) for tokens in ids])
        found.predictions = ["" for _ in ids]
        return found
    found.inputs = trained.preprocess.inputs(rows.table)
    answer = task.predict(trained, rows)
    found.predictions = [_said(row) for row in answer.rows()]
    if found.classes:
        found.predicted = [_index(trained, label) for label in getattr(answer, "labels", [])]
    return found


class _Rows:
    """Rows of different lengths, sliced like a tensor."""

    def __init__(self, rows: list[Tensor]):
        self._rows = rows

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, rows: slice) -> Tensor:
        return self._rows[rows.start]


def _refuse(name: str, target: Any) -> None:
    if name == LANGUAGE and target is None:
        raise UsageError(
            "A language model says how likely every token is: which one is to be explained?",
            remedy="--target TOKEN, the one that is to follow the text",
        )
    reason = get_task(name).not_explained
    if reason:
        raise UsageError(
            f"A model trained for {name.replace('_', ' ')} {reason}.",
            remedy="explain a run of classification, multilabel or regression",
        )


def _index(trained: Trained, label: Any) -> int | None:
    """Return the output of a predicted class; of several labels the largest is taken (None)."""
    labels = list(trained.preprocess.target.labels) if trained.preprocess.target is not None else []
    return labels.index(label) if not isinstance(label, tuple) and label in labels else None


def _said(row: Mapping[str, Any]) -> str:
    predicted = row["prediction"]
    if isinstance(predicted, float):
        predicted = f"{predicted:.6g}"
    elif isinstance(predicted, Mapping):
        predicted = ", ".join(f"{name} {value:.6g}" for name, value in predicted.items())
    elif isinstance(predicted, list):
        shown = (f"{value:.6g}" if isinstance(value, float) else str(value) for value in predicted)
        predicted = ", ".join(shown) or "none"
    sure = f" ({100 * row['confidence']:.1f} %)" if "confidence" in row else ""
    return f"predicted {predicted}{sure}"
