"""Use a finished run: evaluate its model on a split, or predict for new inputs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from torch import nn

from pellucid.config import Config
from pellucid.data.dataset import Dataset
from pellucid.errors import ModelError, UnknownNameError
from pellucid.evaluation import Outcome
from pellucid.record import Run
from pellucid.runner import load_needed, load_trained, prepare
from pellucid.tasks import get_task
from pellucid.tasks.prepared import EVALUATED
from pellucid.tasks.shared.supervised import Prediction
from pellucid.tasks.task import Answer

__all__ = ["Prediction", "evaluate", "input_path", "predict"]


def evaluate(
    run: Run,
    split: str = "test",
    model: nn.Module | None = None,
    dataset: Dataset | None = None,
) -> Outcome:
    """Evaluate a run's model on a split of its data.

    Args:
        run: a finished run.
        split: name of the split.
        model: see `load_trained`.
        dataset: the data of the run; None to load it again.

    Raises:
        UnknownNameError: the data has no such split.
    """
    trained = load_trained(run, model)
    config = Config.read(run.path / "config.yaml")
    prepared = prepare(config, dataset, trained.preprocess)
    if split not in prepared.dataset.splits:
        raise UnknownNameError("split", split, set(EVALUATED) & set(prepared.dataset.splits))
    prepared = replace(prepared, needed=load_needed(config, run.path.parent))
    return get_task(trained.task).evaluate(trained, prepared, split)


def predict(run: Run, inputs: Any, model: nn.Module | None = None, **options: Any) -> Answer:
    """Predict for new inputs with a run's model.

    Args:
        run: a finished run.
        inputs: an image file, a folder of images, a CSV, Parquet or .npy file, an array, a table or a text.
        model: see `load_trained`.
        options: options of the task, e.g. the length of a generated text.

    Raises:
        ModelError, BadDataError: the inputs do not have the form of the training data.
    """
    trained = load_trained(run, model)
    return get_task(trained.task).predict(trained, inputs, **options)


def input_path(text: str) -> Path:
    """Return the path of an input of `predict`.

    Raises:
        ModelError: there is no such file or folder.
    """
    path = Path(text)
    if not path.exists():
        raise ModelError(
            f"There is no file or folder {text}.", remedy="an image, a folder of images, a CSV or a .npy"
        )
    return path
