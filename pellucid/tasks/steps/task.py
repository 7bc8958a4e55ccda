"""A class, or numbers, for every step of a series: sleep stages, activities, the load at each hour.

Shapes: N rows, B rows of a batch, T steps, C channels, K classes, D numbers a step.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor, nn

from pellucid.config import Config
from pellucid.data.batches import Batches, MemoryRows
from pellucid.data.dataset import Dataset
from pellucid.data.kinds.tensor import TensorInputs
from pellucid.data.preprocess import Preprocess
from pellucid.data.targets.step_classes import StepClasses
from pellucid.data.targets.step_numbers import StepNumbers
from pellucid.errors import ConfigError
from pellucid.evaluation import Outcome, Trained, forward
from pellucid.tasks.options import NoOptions, read_options
from pellucid.tasks.prepared import EVAL_BATCH, EVALUATED, Prepared, sample
from pellucid.tasks.shared.class_weights import class_weights
from pellucid.tasks.shared.step_check import check_each_step
from pellucid.tasks.shared.step_objective import by_step
from pellucid.tasks.shared.supervised import EVAL_SAMPLE, prepare_rows
from pellucid.tasks.steps import step_blocks
from pellucid.tasks.steps.baselines import Part, class_baselines, number_baselines
from pellucid.tasks.steps.objective import numbers, steps
from pellucid.tasks.steps.prediction import StepPrediction
from pellucid.tasks.steps.scores import score_classes, score_numbers
from pellucid.tasks.steps.spec import SPEC
from pellucid.tasks.task import Baselines, Task, answer
from pellucid.train.objective import Objective

LARGEST = 2**22
"""Outputs of an evaluation batch."""


class Steps(Task):
    """Predict a class, or numbers, for every step of a series."""

    spec = SPEC
    not_explained = "returns a class for every step and not one to explain"
    takes_loss = False
    answers_each_step = True

    def prepare(
        self, dataset: Dataset, config: Config, reads_tokens: bool, fitted: Preprocess | None = None
    ) -> Prepared:
        made = prepare_rows(self.name, dataset, config, reads_tokens, fitted)
        values = made.preprocess.input_shape[0] * made.preprocess.num_outputs
        return replace(made, eval_batch=min(EVAL_BATCH, max(1, LARGEST // values)))

    def objective(self, config: Config, prepared: Prepared | None = None) -> Objective:
        read_options(NoOptions, config)
        target = prepared.preprocess.target if prepared is not None else None
        read = by_step(prepared.preprocess.num_outputs) if prepared is not None else by_step(0)
        if isinstance(target, StepNumbers):
            if config.objective.class_weights:
                raise ConfigError(
                    "objective.class_weights is for classes, and y holds numbers.",
                    remedy="--set objective.class_weights=false",
                )
            return numbers(target.std, read)
        weights = None
        if prepared is not None:
            count = partial(_count, prepared)
            weights = class_weights(config.objective.class_weights, prepared.preprocess.classes, count)
        return steps(config.objective.label_smoothing, weights, read)

    def check(self, model: nn.Module, objective: Objective, prepared: Prepared) -> None:
        preprocess = prepared.preprocess
        of = "logit for each class" if preprocess.classes else "number"
        check_each_step(
            model,
            objective,
            prepared,
            reads="series",
            each=f"one {of} at every step (or the last two turned around)",
            also=f"a last layer of {preprocess.num_outputs} on every step",
        )

    def baselines(self, prepared: Prepared) -> Baselines:
        """Guessing, copying the input where numbers are predicted, and boosting on the steps around."""
        train = _part(prepared, "train")
        evals = {
            prefix: _part(prepared, split) for split, prefix in EVALUATED.items() if split in prepared.rows
        }
        if prepared.preprocess.classes:
            return dict(class_baselines(train, evals, prepared.preprocess.num_outputs))
        return dict(number_baselines(train, evals))

    def evaluate(self, trained: Trained, prepared: Prepared, split: str) -> Outcome:
        table, target = prepared.dataset.splits[split], trained.preprocess.target
        outputs, targets = forward(trained, prepared.batches(split))
        if isinstance(target, StepClasses):
            metrics, columns, blocks = _of_classes(outputs.softmax(2).numpy(), targets.numpy() - 1, target)
        else:
            assert isinstance(target, StepNumbers)
            metrics, columns, blocks = _of_numbers(outputs, targets, target)
        counted = {"rows": len(table), "task": self.name, "steps": int(targets.shape[1])}
        predictions = pa.table({"row": np.arange(len(table)), **columns})
        return Outcome(metrics, counted, predictions, blocks=blocks)

    def predict(self, trained: Trained, inputs: Any, **options: Any) -> StepPrediction:
        """Predict every step of series (N, T, C)."""
        return answer(_predict, trained, inputs, options)


def _predict(trained: Trained, inputs: Any) -> StepPrediction:
    preprocess = trained.preprocess
    target, encoded = preprocess.target, preprocess.inputs(preprocess.table_from(inputs))
    batch = min(EVAL_BATCH, max(1, LARGEST // (encoded.shape[1] * preprocess.num_outputs)))
    nothing = torch.zeros(encoded.shape[:2])
    reading = replace(trained, objective=numbers(read=by_step(preprocess.num_outputs)))
    outputs, _ = forward(reading, Batches(MemoryRows(encoded, nothing), batch))
    if isinstance(target, StepClasses):
        return StepPrediction(outputs.softmax(2).numpy(), target.invert(outputs.argmax(2) + 1), target.labels)
    assert isinstance(target, StepNumbers)
    values = target.invert(outputs).numpy()
    return StepPrediction(values if target.column.form.get("last_axis") else _as_given(values))


def _as_given(values: np.ndarray) -> np.ndarray:
    """Return one number a step as (N, T)."""
    return values[..., 0] if values.shape[2] == 1 else values


# ---- scores --------------------------------------------------------------------------------------

Scored = tuple[dict[str, float], dict[str, list[Any]], list[dict[str, Any]]]
"""Metrics, columns of predictions, and blocks of the report."""


def _of_classes(probs: np.ndarray, wanted: np.ndarray, target: StepClasses) -> Scored:
    known, preds = wanted >= 0, probs.argmax(2)
    names = np.array([*target.classes, None], object)  # the last for no label
    columns = {"target": names[wanted].tolist(), "prediction": names[preds].tolist()}
    if not known.any():
        return {}, columns, []
    blocks = step_blocks.of_classes(probs, wanted, target.classes)
    return score_classes(probs[known], wanted[known]), columns, blocks


def _of_numbers(outputs: Tensor, targets: Tensor, target: StepNumbers) -> Scored:
    preds, wanted = target.invert(outputs).numpy(), target.invert(targets).numpy()
    known = np.isfinite(wanted).all(2)
    columns = {"target": _as_given(wanted).tolist(), "prediction": _as_given(preds).tolist()}
    if not known.any():
        return {}, columns, []
    metrics = score_numbers(preds[known], wanted[known])
    errors = (outputs - targets).square().numpy()[known]
    spread = np.square(wanted[known] - wanted[known].mean(0)).sum(0)
    r2 = 1 - np.square(preds[known] - wanted[known]).sum(0) / np.where(spread > 0, spread, np.nan)
    metrics |= {"loss": float(errors.mean()), "r2": float(r2.mean())}
    return metrics, columns, step_blocks.of_numbers(preds, wanted, target.column.name)


# ---- data ----------------------------------------------------------------------------------------


def _count(prepared: Prepared) -> Tensor:
    """Return the number of steps of each class in training, (K,)."""
    counts = torch.zeros(prepared.preprocess.num_outputs + 1)
    for _, targets in Batches(prepared.rows["train"], EVAL_BATCH):
        counts += torch.bincount(targets.flatten(), minlength=len(counts))
    return counts[1:]


def _part(prepared: Prepared, split: str) -> Part:
    """Return some rows of a split without the scaling: inputs (N, T, C) and classes or numbers."""
    inputs, targets = sample(prepared.rows[split], max(1, EVAL_SAMPLE // prepared.preprocess.input_shape[0]))
    encoded, target = prepared.preprocess.encoded, prepared.preprocess.target
    series = inputs.double().numpy().reshape(*targets.shape[:2], -1)
    if isinstance(encoded, TensorInputs) and encoded.layout == "series":
        series = series * np.asarray(encoded.std) + np.asarray(encoded.mean)
    if isinstance(target, StepNumbers):
        return series, target.invert(targets).numpy()
    return series, targets.numpy() - 1


TASK = Steps()
