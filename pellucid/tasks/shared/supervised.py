"""What the tasks that predict a target share."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, ClassVar, cast

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor, nn

from pellucid.batch import describe, map_tensors
from pellucid.config import Config
from pellucid.data.augment import Augmenter
from pellucid.data.batches import Batches, MemoryRows
from pellucid.data.dataset import Dataset
from pellucid.data.id_inputs import IdInputs
from pellucid.data.preprocess import Preprocess
from pellucid.errors import ConfigError, ModelError, PellucidError, UsageError
from pellucid.evaluation import Outcome, Trained, forward
from pellucid.nn.device import device_of
from pellucid.tasks.options import NoOptions, read_loss_options, read_options
from pellucid.tasks.prepared import EVAL_BATCH, EVALUATED, Prepared, encode_rows, sample
from pellucid.tasks.shared import attribution, scoring
from pellucid.tasks.shared.prediction import Prediction, read_shown, read_thresholds
from pellucid.tasks.task import Baselines, Task, answer
from pellucid.train.baseline import TargetType, baselines
from pellucid.train.catalogue import find_entry
from pellucid.train.explain import of_inputs, told
from pellucid.train.losses import LOSSES
from pellucid.train.objective import Objective, forward_inputs, read_logits

EVAL_TOKENS_BATCH = 256
"""Texts in a batch that is measured; they may be long."""
TRAIN_SAMPLE = 60_000
"""Most rows that the linear model is fitted on."""
EVAL_SAMPLE = 25_000
"""Most rows that the linear model is measured on."""

SAME = {"label_smoothing": "label_smoothing", "class_weights": "weight"}
"""Settings of the objective that are options of a loss, by the name of the option."""


def prepare_rows(
    task: str, dataset: Dataset, config: Config, reads_tokens: bool, fitted: Preprocess | None
) -> Prepared:
    """Fit the preprocessing on the training rows and encode all rows with their targets; see `Task.prepare`.

    Raises:
        ConfigError: the target of the dataset is for another task, or the model reads no tokens.
    """
    if dataset.task != task:
        raise ConfigError(
            f"objective.name is {task!r}, but the target {dataset.target!r} makes this {dataset.task}.",
            remedy=f"pellucid.arrays(X, y, task={task!r}), or objective={dataset.task!r}"
            if dataset.source.kind == "arrays"
            else f"--set objective.name={dataset.task}, or another --set data.target=COLUMN",
        )
    data = config.data
    if data.text.tokenizer and not reads_tokens:
        raise ConfigError(
            f"data.text.tokenizer is {data.text.tokenizer!r}, but {config.model.name} reads no tokens.",
            remedy="--set data.text.tokenizer=null for counts of words, or a model such as lstm",
        )
    preprocess, encoded, held = encode_rows(dataset, config, reads_tokens, fitted)
    augment = None
    if any(data.augment.model_dump().values()):
        augment = Augmenter(data.augment, preprocess.num_outputs)
    return Prepared(
        config,
        dataset,
        preprocess,
        encoded,
        held,
        augment,
        eval_batch=EVAL_BATCH if preprocess.vocab_size is None else EVAL_TOKENS_BATCH,
    )


class Supervised(Task):
    """What the three tasks with a target share.

    Attributes:
        usual_loss: name of the loss that learns where the config names none.
    """

    not_explained = ""
    usual_loss: ClassVar[str]

    def prepare(
        self, dataset: Dataset, config: Config, reads_tokens: bool, fitted: Preprocess | None = None
    ) -> Prepared:
        return prepare_rows(self.name, dataset, config, reads_tokens, fitted)

    def objective(self, config: Config, prepared: Prepared | None = None) -> Objective:
        read_options(NoOptions, config)
        self._check_loss(config)
        section = config.objective
        if prepared is not None:
            self._refuse_unused(config)
        return self._objective(
            config,
            prepared,
            loss=section.loss or self.usual_loss,
            options=self._loss_options(config),
            l1=section.l1,
            l2=section.l2,
        )

    def _refuse_unused(self, config: Config) -> None:
        """Refuse settings of another loss, which would change nothing."""
        section = config.objective
        name = section.loss or self.usual_loss
        for setting, option in SAME.items():
            if getattr(section, setting) and option not in LOSSES[name].types:
                if setting == "class_weights" and self.name == "regression":
                    raise ConfigError(
                        f"Class weights are for classes, and this is {self.name}.",
                        remedy="sample_weight= weighs rows; in a config, objective.class_weights: false",
                    )
                raise ConfigError(
                    f"objective.{setting} is {getattr(section, setting)!r}, but the loss {name} has no such "
                    "option.",
                    remedy=f"--set objective.{setting}={'0' if setting == 'label_smoothing' else 'false'}",
                )

    def _loss_options(self, config: Config) -> dict[str, Any]:
        """Return the options of the loss.

        Raises:
            UnknownNameError, ConfigError: an option does not exist, is of the wrong type, or is set twice.
        """
        section, options = config.objective, read_loss_options(config, self.usual_loss)
        for setting, option in SAME.items():
            if getattr(section, setting) and options.get(option) is not None:
                raise ConfigError(
                    f"objective.{setting} and objective.loss_options.{option} are the same; both are set.",
                    remedy=f"set only objective.{setting}",
                )
        return options

    def _objective(self, config: Config, prepared: Prepared | None, **shared: Any) -> Objective:
        raise NotImplementedError

    def _check_loss(self, config: Config) -> None:
        """Refuse a loss made for another task, such as a squared error between logits and class ids."""
        name = config.objective.loss
        if name is None:
            return
        loss = find_entry("loss", name, LOSSES)
        if self.name not in loss.tasks:
            fitting = ", ".join(other.name for other in LOSSES.values() if self.name in other.tasks)
            raise ConfigError(
                f"objective.loss {name!r} is for {' or '.join(loss.tasks)}, and this is {self.name}.",
                remedy=f"one of: {fitting}",
            )

    def check(self, model: nn.Module, objective: Objective, prepared: Prepared) -> None:
        source = prepared.rows["train"]
        batch = next(source.batches([torch.arange(min(2, len(source)))]))
        training = model.training
        device = device_of(model)
        try:
            with torch.no_grad():
                made = objective.forward(model.eval(), map_tensors(lambda tensor: tensor.to(device), batch))
                outputs = read_logits(made)
        except PellucidError:
            raise
        except Exception as error:
            raise ModelError(
                f"The model cannot take inputs of shape {tuple(batch[0].shape)}: {told(error)}",
                remedy=of_inputs(error, model, batch),
            ) from error
        finally:
            model.train(training)
        expected = (len(batch[0]), prepared.preprocess.num_outputs)
        if self.name == "classification" and tuple(outputs.shape) in (expected[:1], (expected[0], 1)):
            raise ModelError(
                f"The model returns one number for each row, and {prepared.dataset.name} has {expected[1]} "
                f"classes: expected {expected[1]} logits.",
                remedy=f"a last layer of {expected[1]}",
            )
        if tuple(outputs.shape) != expected and tuple(outputs.shape) != expected[: outputs.ndim]:
            raise ModelError(
                f"The model's outputs have shape {tuple(outputs.shape)}, expected {expected}: "
                f"one logit for each of the {expected[1]} outputs of {prepared.dataset.name}.",
                remedy=_where_read(model, batch) or f"a last layer of {expected[1]}",
            )

    def baselines(self, prepared: Prepared) -> Baselines:
        """Guessing, and a linear model; of texts, on counts of their words."""
        encoded = prepared.preprocess.encoded
        texts = encoded.vocab_size is not None and not isinstance(encoded, IdInputs)
        numbers = _counted(prepared.dataset) if texts else partial(_sampled, vocab_size=encoded.vocab_size)
        sources = prepared.dataset.splits if texts else prepared.rows
        evals = {
            prefix: numbers(sources[split], EVAL_SAMPLE)
            for split, prefix in EVALUATED.items()
            if split in sources
        }
        found = baselines(*numbers(sources["train"], TRAIN_SAMPLE), evals, cast(TargetType, self.name))
        target = prepared.preprocess.target
        unit = target.unit if target is not None else None
        return {name: in_own_units(values, unit) for name, values in found.items()}

    def evaluate(self, trained: Trained, prepared: Prepared, split: str) -> Outcome:
        table = prepared.dataset.splits[split]
        outputs, targets = forward(trained, prepared.batches(split))
        preprocess = trained.preprocess
        metrics, summary, predictions = self._score(outputs, targets, trained)
        if trained.objective.score is not None:
            total, count = trained.objective.score(outputs, (None, targets))["loss"]
            metrics["loss"] = (total / count).item()
        columns = {"row": np.arange(len(table)), **predictions}
        chosen = scoring.worth_seeing(columns, classes=self.name == "classification")
        examples = scoring.shown(
            {key: values[chosen] for key, values in columns.items()}, table, preprocess.columns
        )
        summary = {"rows": len(table), "task": self.name, **summary}
        blocks = attribution.blocks(trained, table, columns)
        return Outcome(metrics, summary, pa.table(columns), examples, blocks)

    def _score(self, outputs: Tensor, targets: Tensor, trained: Trained) -> scoring.Measured:
        raise NotImplementedError

    def predict(self, trained: Trained, inputs: Any, **options: Any) -> Prediction:
        """Predict the target of rows.

        Options, where classes are predicted: `threshold`, the probability from which on a label holds, or the
        second of two classes is predicted; one number, or numbers by class. `probabilities`: how many of them
        rows show, "all", "none" or a number.
        """
        return answer(_predict, trained, inputs, options)


def _where_read(model: nn.Module, batch: Any) -> str | None:
    """Say which of several outputs of a model was read; None where it returns one."""
    with torch.no_grad():
        returned = forward_inputs(model, batch)
    if isinstance(returned, Tensor):
        return None
    return f"the model returns {describe(returned)}: name the logits 'logits', or return them first"


def _predict(trained: Trained, inputs: Any, threshold: Any = None, probabilities: Any = None) -> Prediction:
    preprocess, shown = trained.preprocess, read_shown(probabilities)
    target, several = preprocess.target, trained.task == "multilabel"
    thresholds = None
    if preprocess.classes:
        asked = trained.threshold if threshold is None else threshold
        thresholds = read_thresholds(asked, preprocess.classes, several=several)
    elif threshold is not None:
        raise UsageError("A threshold is for probabilities of classes; this run predicts numbers.")
    encoded = preprocess.inputs(preprocess.table_from(inputs))
    outputs, _ = forward(trained, Batches(MemoryRows(encoded, torch.zeros(len(encoded))), EVAL_BATCH))
    if target is not None and preprocess.classes:
        probs, names = trained.objective.probs(outputs).numpy(), tuple(preprocess.classes)
        return Prediction(probs, target.labels, names, (), several, thresholds, shown)
    values = preprocess.untarget(outputs).numpy()
    names = target.column.categories if target is not None else ()
    if values.ndim == 2 and values.shape[1] == 1:
        return Prediction(values[:, 0])
    return Prediction(values, targets=names if any(not name.isdecimal() for name in names) else ())


MOST_IDS = 20_000
"""Most different ids that the linear model counts."""


def _sampled(rows: Any, limit: int, vocab_size: int | None) -> tuple[Tensor, Tensor]:
    """Return inputs and targets of up to `limit` rows; of ids, how often each occurs in a row."""
    inputs, targets = sample(rows, limit)
    if vocab_size is None or vocab_size > MOST_IDS:
        return inputs.float(), targets
    counts = torch.zeros(len(inputs), vocab_size)
    return counts.scatter_add_(1, inputs.clamp(0, vocab_size - 1), torch.ones(inputs.shape)), targets


def _counted(dataset: Dataset) -> Callable[[pa.Table, int], tuple[Tensor, Tensor]]:
    """Return a function from a table of texts and a limit to word counts and targets."""
    preprocess = Preprocess.fit(dataset)

    def numbers(table: pa.Table, limit: int) -> tuple[Tensor, Tensor]:
        if len(table) > limit:
            order = torch.randperm(len(table), generator=torch.Generator().manual_seed(0))
            table = table.take(pa.array(order[:limit].sort().values.numpy()))
        return preprocess.inputs(table), preprocess.targets(table)

    return numbers


def in_own_units(values: Mapping[str, float], unit: float | None) -> dict[str, float]:
    """Bring errors on encoded targets to the units of the data; leave them out where there is no one unit."""
    errors = [key for key in values if key.endswith(("/mae", "/rmse"))]
    if unit is None:
        return {key: value for key, value in values.items() if key not in errors}
    return {key: value * unit if key in errors else value for key, value in values.items()}
