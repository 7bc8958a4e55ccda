"""The base of all tasks: how rows become batches, what is optimized, how the result is measured.

Training is the same for every task: `runner.training` calls the methods of `Task` and knows no task by name.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection, Iterator, Mapping
from functools import partial
from keyword import iskeyword
from typing import Any, ClassVar, Literal, Protocol

import numpy as np
import pyarrow as pa
import torch
from torch import nn

from pellucid.config import Config
from pellucid.data.batches import Batches
from pellucid.data.dataset import Dataset
from pellucid.data.preprocess import Preprocess
from pellucid.data.sources.open_source import Form
from pellucid.errors import ConfigError, ModelError, PellucidError, UnknownNameError, UsageError
from pellucid.evaluation import Outcome, Trained
from pellucid.record import Run
from pellucid.record.spec import TaskSpec
from pellucid.tasks.options import predict_options
from pellucid.tasks.prepared import Prepared
from pellucid.train.callbacks import Callback
from pellucid.train.objective import Objective

Baselines = dict[str, dict[str, float]]
"""Metrics such as "test/loss", by the name of the baseline."""


class Answer(Protocol):
    """Predictions for new inputs: one dict a row, each with at least "prediction"."""

    def rows(self) -> list[dict[str, Any]]: ...


class Task:
    """Base of all tasks. One instance serves all runs; it holds no state.

    Attributes:
        spec: what the task says about itself.
        returns_several: whether `predict` takes `output=`, a key or index of what the model returns.
        saves_pictures: whether `predict` makes pictures, and takes `folder=` to save them in.
        takes_loss: whether `objective.loss` may name a loss of the catalogue.
        answers_each_step: whether models return something for every step, as ours do with pooling="none".
        outputs: what a pretrained model is to output: values for each row, an embedding, or logits of tokens.
        not_explained: why `pellucid.explain` refuses its models, to follow "A model trained for NAME"; "": it
            explains them.
        predict_options: the dataclass of the options of `predict`, see `pellucid.tasks.options`; None:
            `predict` reads them itself.
    """

    spec: ClassVar[TaskSpec]
    returns_several: ClassVar[bool] = False
    saves_pictures: ClassVar[bool] = False
    takes_loss: ClassVar[bool] = True
    answers_each_step: ClassVar[bool] = False
    outputs: ClassVar[Literal["values", "vectors", "next_tokens", "masked_tokens"]] = "values"
    not_explained: ClassVar[str] = "returns no class and no number of a row to explain"
    predict_options: ClassVar[type | None] = None

    option_kind: ClassVar[str] = "this prediction"
    """What messages call the options of `predict`."""

    @property
    def name(self) -> str:
        """What configs write at `objective.name`."""
        return self.spec.name

    @property
    def labelled(self) -> bool:
        """Whether every row needs a target."""
        return self.spec.labelled

    @property
    def form(self) -> Form:
        """What the task makes of a source: "rows", whole "texts", or "series" in the order of time."""
        return self.spec.form

    @property
    def ordered(self) -> bool:
        """Whether rows are a time series, so that the task must split them itself."""
        return self.form == "series"

    def needs(self, config: Config) -> dict[str, str]:
        """Return the finished runs whose models this task uses, by role; they come back in `Prepared.needed`.

        Raises:
            ConfigError: an option does not fit the task.
        """
        return {}

    def prepare(
        self, dataset: Dataset, config: Config, reads_tokens: bool, fitted: Preprocess | None = None
    ) -> Prepared:
        """Fit the preprocessing on the training split and encode every split.

        Args:
            dataset: split.
            config: all of it.
            reads_tokens: whether the model takes token ids, not numbers.
            fitted: use this preprocessing instead of fitting one.

        Raises:
            PellucidError: the data does not fit the task.
        """
        raise self._missing("prepare", "Prepared(config, dataset, preprocess, rows, where)")

    def num_outputs(self, preprocess: Preprocess) -> int:
        """Return the number of outputs a model needs."""
        return preprocess.num_outputs

    def objective(self, config: Config, prepared: Prepared | None = None) -> Objective:
        """Build the objective; without data, only to evaluate a finished model.

        Raises:
            ConfigError: an option does not fit the task.
        """
        raise self._missing("objective", "an Objective, such as supervised(name, loss, score)")

    def check(self, model: nn.Module, objective: Objective, prepared: Prepared) -> None:
        """Refuse a model that does not fit the data, before anything is written.

        Raises:
            ModelError: the model cannot take the inputs, or returns something else than expected.
        """
        inputs, targets = next(iter(Batches(prepared.rows["train"], 2, augment=prepared.corrupt)))
        training = model.training
        try:
            with torch.no_grad():
                objective.measure(model.eval(), (inputs, targets))
        except PellucidError:
            raise
        except Exception as error:
            shape = tuple(inputs.shape)
            raise ModelError(f"The model cannot learn from inputs of shape {shape}: {error}") from error
        finally:
            model.train(training)

    def check_threshold(self, threshold: float | str, prepared: Prepared) -> None:
        """Refuse a threshold, `objective.threshold`, where nothing is decided by it.

        Args:
            threshold: a number, or what to choose it by on the validation rows.
            prepared: the data.

        Raises:
            ConfigError: it decides nothing.
        """
        raise no_threshold(f"the task {self.name.replace('_', ' ')}")

    def baselines(self, prepared: Prepared) -> Baselines:
        """Measure methods without a network; {} if there are none.

        Returns:
            Numbers by the name of the baseline and by the split and name of the measure:
            {"prior": {"val/loss": 0.7, "test/loss": 0.69}}; see `check_baselines`.
        """
        return {}

    def warnings(self, prepared: Prepared) -> list[str]:
        """Return what the user should know of this data before training starts, one line each."""
        return []

    def callbacks(self, run: Run, prepared: Prepared) -> list[Callback]:
        """Make what shows progress during training, e.g. samples after every epoch."""
        return []

    def evaluate(self, trained: Trained, prepared: Prepared, split: str) -> Outcome:
        """Measure a trained model on a split."""
        raise self._missing("evaluate", "an Outcome")

    def read(self, trained: Trained, inputs: Any, *, skip_bad: bool = False) -> Any:
        """Read what `predict` gets: rows with their names; what is not rows is returned as it is.

        Args:
            trained: knows the columns.
            inputs: of the user.
            skip_bad: leave out rows and files that cannot be read, instead of raising.
        """
        if trained.preprocess is None or not trained.preprocess.columns:
            return inputs
        return trained.preprocess.read(inputs, skip_bad=skip_bad)

    def reading(self, options: Mapping[str, Any]) -> dict[str, Any]:
        """Return the options of `predict` that say how to read its inputs, as arguments of `read`."""
        return {}

    def check_options(self, options: Mapping[str, Any]) -> None:
        """Refuse wrong options of `predict`, before the model is loaded.

        Raises:
            UnknownNameError: there is no such option.
            UsageError: a value has another type, or is out of its range.
        """
        if self.predict_options is not None:
            predict_options(self.predict_options, options, self.option_kind)

    def predict(self, trained: Trained, inputs: Any, **options: Any) -> Answer:
        """Predict for new inputs: what `read` made of them, or a user's own, which
        `trained.preprocess.table_from` takes both.

        Returns:
            An object with `rows()`: a list of one dict for each input, each with at least "prediction".

        Raises:
            UsageError: the task has no predictions, or not for such inputs.
        """
        raise UsageError(f"A model trained for {self.name.replace('_', ' ')} has no predictions.")

    def embed(self, trained: Trained, table: pa.Table) -> np.ndarray:
        """Return a vector for every row of a table, (N, D) float32; see `embed_rows`.

        Raises:
            ModelError: the model has no vectors of its inputs.
        """
        from pellucid.tasks.shared.vectors import embed_rows

        return embed_rows(trained, table)

    def stream(self, trained: Trained, text: str, **options: Any) -> Iterator[str]:
        """Yield a text that continues another piece by piece.

        Raises:
            UsageError: the task does not write texts token by token.
        """
        raise UsageError(
            f"A model trained for {self.name.replace('_', ' ')} does not write a text token by token.",
            remedy="run.predict(...)",
        )

    @property
    def streams(self) -> bool:
        """Whether the task writes texts token by token."""
        return type(self).stream is not Task.stream

    def _missing(self, method: str, returned: str) -> UsageError:
        return UsageError(
            f"The task {self.name!r} ({type(self).__name__}) does not define {method}, "
            f"which must return {returned}."
        )


def no_threshold(what: str, remedy: str = "") -> ConfigError:
    """Return the refusal of a threshold, given what it would decide, and what to try besides none."""
    return ConfigError(
        f"objective.threshold decides between two classes, and this is {what}.",
        remedy="--set objective.threshold=null" + (f"; {remedy}" if remedy else ""),
    )


def check_baselines(task: str, found: Any) -> Baselines:
    """Return the baselines of a task as plain numbers.

    Args:
        task: the name of the task, for messages.
        found: what `Task.baselines` returned: at least one "split/measure" for each baseline; other numbers,
            such as the seconds it took, are kept as they are.

    Raises:
        UsageError: it is not {baseline: {"split/measure": number}}.
    """
    expected = f"The baselines of the task {task!r} must be {{name: {{'test/loss': number, ...}}}}; received"
    if not isinstance(found, Mapping):
        raise UsageError(f"{expected} {found!r:.80}.")
    checked: Baselines = {}
    for name, numbers in found.items():
        if not isinstance(numbers, Mapping) or (numbers and not any("/" in str(key) for key in numbers)):
            raise UsageError(f"{expected} for {name!r} {numbers!r:.80}.")
        checked[str(name)] = Outcome(dict(numbers), {"task": task}).metrics
    return checked


def answer(function: Callable[..., Any], trained: Trained, inputs: Any, options: Mapping[str, Any]) -> Any:
    """Call a function that predicts, with the options of the call.

    Options that are keywords of Python, such as class, are parameters with an underscore, `class_`.

    Raises:
        UnknownNameError: an option it does not have.
    """
    python = {f"{name}_" if iskeyword(name) else name: value for name, value in options.items()}
    bound = function.keywords if isinstance(function, partial) else {}
    _check_options("option of this prediction", options, function, ("trained", "inputs", *bound))
    return function(trained, inputs, **python)


def _check_options(
    kind: str, options: Mapping[str, Any], function: Callable[..., Any], taken: Collection[str]
) -> None:
    names = [name for name in inspect.signature(function).parameters if name not in taken]
    known = [_plain(name) for name in names]
    for option in options:
        if _plain(option) not in known:
            raise UnknownNameError(kind, option, known)


def _plain(name: str) -> str:
    """Return an option as it is written on the command line: class for `class_`."""
    plain = name.removesuffix("_")
    return plain if iskeyword(plain) else name
