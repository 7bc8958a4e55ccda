"""The noun behind `objective.name`: how rows become batches, what is optimized, how a result is measured.

A training is the same for every task: `build.training` asks the task for its parts and never looks at what
they are made of.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection, Mapping
from typing import Any, ClassVar, Protocol

import torch
from torch import nn

from pellucid.config import Config
from pellucid.data.batches import Batches
from pellucid.data.dataset import Dataset
from pellucid.data.preprocess import Preprocess
from pellucid.errors import ModelError, PellucidError, UnknownNameError, UsageError
from pellucid.evaluation import Outcome, Trained
from pellucid.record import Run
from pellucid.record.spec import TaskSpec
from pellucid.tasks.prepared import Prepared
from pellucid.train.callbacks import Callback
from pellucid.train.objective import Objective

Baselines = dict[str, dict[str, float]]
"""Metrics such as "test/loss" by the name of what reached them without a network."""


class Answer(Protocol):
    """What a model says about new inputs: one dict a row, each with at least "prediction"."""

    def rows(self) -> list[dict[str, Any]]: ...


class Task:
    """Base: what most tasks share. One instance serves all runs; it holds no state.

    Attributes:
        spec: what the task says about itself.
        labelled: whether every row needs a target.
        ordered: whether rows stand in the order of time, so that the task must split them itself.
    """

    spec: ClassVar[TaskSpec]
    labelled: ClassVar[bool] = True
    ordered: ClassVar[bool] = False

    @property
    def name(self) -> str:
        """What configs write at `objective.name`."""
        return self.spec.name

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
            reads_tokens: whether the model takes token ids rather than numbers.
            fitted: use this preprocessing instead of fitting one.

        Raises:
            PellucidError: the data do not suit the task.
        """
        raise NotImplementedError

    def num_outputs(self, preprocess: Preprocess) -> int:
        """How many numbers a model must give for each thing it predicts."""
        return preprocess.num_outputs

    def objective(self, config: Config, prepared: Prepared | None = None) -> Objective:
        """Build what is optimized; without data, for measuring a finished model.

        Raises:
            ConfigError: an option does not fit the task.
        """
        raise NotImplementedError

    def check(self, model: nn.Module, objective: Objective, prepared: Prepared) -> None:
        """Refuse a model that does not fit the data before anything is written.

        Raises:
            ModelError: saying what the model was given and what it made of it.
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

    def baselines(self, prepared: Prepared) -> Baselines:
        """Measure what needs no network; {} if nothing stands beside this task."""
        return {}

    def callbacks(self, run: Run, prepared: Prepared) -> list[Callback]:
        """Make what shows progress during training, e.g. samples after every epoch."""
        return []

    def evaluate(self, trained: Trained, prepared: Prepared, split: str) -> Outcome:
        """Measure a trained model on a split."""
        raise NotImplementedError

    def predict(self, trained: Trained, inputs: Any, **options: Any) -> Answer:
        """Ask a trained model about new inputs.

        Raises:
            UsageError: this task has no predictions, or not of such inputs.
        """
        raise UsageError(f"A model trained for {self.name.replace('_', ' ')} predicts nothing from an input.")


def answer(function: Callable[..., Any], trained: Trained, inputs: Any, options: Mapping[str, Any]) -> Any:
    """Call what answers, with the options of a prediction.

    Raises:
        UnknownNameError: an option it does not have.
    """
    _check_options("option of this prediction", options, function, ("trained", "inputs"))
    return function(trained, inputs, **options)


def _check_options(
    kind: str, options: Mapping[str, Any], function: Callable[..., Any], taken: Collection[str]
) -> None:
    known = [name for name in inspect.signature(function).parameters if name not in taken]
    for option in options:
        if option not in known:
            raise UnknownNameError(kind, option, known)
