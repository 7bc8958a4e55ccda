"""A finished run, used: its model loaded, evaluated on a split, or asked about new inputs."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from torch import nn

from pellucid import evaluation
from pellucid.build import EVAL_BATCH, EVALUATED, OWN_MODEL, make_model, make_objective, prepare
from pellucid.config import Config
from pellucid.data.batches import Batches, MemoryRows
from pellucid.data.dataset import Dataset
from pellucid.data.preprocess import Preprocess
from pellucid.errors import ModelError, RunError, UnknownNameError
from pellucid.evaluation import Outcome, Trained
from pellucid.record import Run
from pellucid.train import checkpoint, objectives


@dataclass(frozen=True)
class Prediction:
    """What a model says about some rows.

    Attributes:
        outputs: (N, K) probabilities of the classes, or (N,) / (N, D) values in the target's own units.
        classes: the names of the K classes; () for regression.
    """

    outputs: np.ndarray
    classes: tuple[str, ...]

    @property
    def labels(self) -> list[Any]:
        """The most probable class of each row, or the value itself."""
        if not self.classes:
            return self.outputs.tolist()
        return [self.classes[index] for index in self.outputs.argmax(1)]

    def rows(self, top: int = 3) -> list[dict[str, Any]]:
        """One dict a row: the prediction, and for classes the most probable `top` of them."""
        if not self.classes:
            return [{"prediction": value} for value in self.outputs.tolist()]
        order = np.argsort(-self.outputs, axis=1)[:, :top]
        return [
            {
                "prediction": self.classes[best[0]],
                "confidence": float(probs[best[0]]),
                "probs": {self.classes[index]: float(probs[index]) for index in best},
            }
            for probs, best in zip(self.outputs, order, strict=True)
        ]


def load_trained(run: Run, model: nn.Module | None = None) -> Trained:
    """Load the model a run ended with.

    Args:
        run: a run with a checkpoint.
        model: for a run that trained a module of the caller's own, a module of the same form.

    Raises:
        RunError: there is no sound checkpoint.
        ModelError: the weights are of another model, or the module must be given.
    """
    config = Config.read(run.path / "config.yaml")
    preprocess = load_preprocess(run)
    if model is None:
        if config.model.name == OWN_MODEL:
            raise ModelError(
                f"Run {run.id} trained a module of your own, {run.facts['model']['name']}.",
                remedy="pellucid.Run(path).predict(inputs, model=YourModule()) in Python",
            )
        model = make_model(config, preprocess)
    weights = checkpoint.find_weights(run, "best" if config.train.restore_best else "last")
    checkpoint.load_weights(model, weights)
    objective = objectives.BUILDERS[config.objective.name](config.objective.loss)
    return Trained(model, objective, preprocess, torch.device("cpu"))


def load_preprocess(run: Run) -> Preprocess:
    """Load what a run fitted on its training split."""
    path = run.path / "preprocess.json"
    try:
        return Preprocess.from_state(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, KeyError) as error:
        raise RunError(f"{path} cannot be read: {error}.", remedy="train again") from None


def evaluate(
    run: Run, split: str = "test", model: nn.Module | None = None, dataset: Dataset | None = None
) -> Outcome:
    """Measure a run's model on one split of its own data, loaded again unless it is given.

    Raises:
        UnknownNameError: the data has no such split.
    """
    config = Config.read(run.path / "config.yaml")
    trained = load_trained(run, model)
    prepared = prepare(config, dataset)
    make_objective(config, prepared)
    if split not in prepared.dataset.splits:
        raise UnknownNameError("split", split, set(EVALUATED) & set(prepared.dataset.splits))
    table = prepared.dataset.splits[split]
    return evaluation.evaluate(trained, _encoded(trained.preprocess, table), table)


def predict(run: Run, inputs: Any, model: nn.Module | None = None) -> Prediction:
    """Ask a run's model about new inputs.

    Args:
        run: a finished run.
        inputs: an image file, a folder of images, a CSV, Parquet or .npy file, an array or a table.
        model: see `load_trained`.

    Raises:
        ModelError, BadDataError: the inputs are not of the form the model learned from.
    """
    return predict_with(load_trained(run, model), inputs)


def predict_with(trained: Trained, inputs: Any) -> Prediction:
    """Ask a loaded model about new inputs."""
    encoded = trained.preprocess.inputs(trained.preprocess.table_from(inputs))
    rows = MemoryRows(encoded, torch.zeros(len(encoded)))
    outputs, _ = evaluation.forward(trained, Batches(rows, EVAL_BATCH))
    if trained.preprocess.classes:
        return Prediction(trained.objective.probs(outputs).numpy(), tuple(trained.preprocess.classes))
    return Prediction(trained.preprocess.untarget(outputs).numpy(), ())


def _encoded(preprocess: Preprocess, table: pa.Table) -> Batches:
    return Batches(MemoryRows(preprocess.inputs(table), preprocess.targets(table)), EVAL_BATCH)


def input_path(text: str) -> Path:
    """Return the path of a predict input.

    Raises:
        ModelError: nothing is there.
    """
    path = Path(text)
    if not path.exists():
        raise ModelError(
            f"There is no file or folder {text}.", remedy="an image, a folder of images, a CSV or a .npy"
        )
    return path
