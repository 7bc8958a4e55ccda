"""Use a finished run: evaluate its model on a split, or predict for new inputs."""

from __future__ import annotations

import glob
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pyarrow as pa
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader
from torch.utils.data import Dataset as TorchDataset

from pellucid import prediction_file
from pellucid.batch import as_batch
from pellucid.config import Config
from pellucid.config_text import is_reference
from pellucid.data.dataset import Dataset
from pellucid.data.input_rows import InputRows
from pellucid.data.layout import layout_of, set_layout
from pellucid.data.loaders import LoaderBatches, held_out_source, is_loader
from pellucid.data.prediction_input import ADDRESS
from pellucid.data.sources.arrays import arrays
from pellucid.errors import (
    DataNotFoundError,
    RunError,
    UnknownNameError,
    UsageError,
    similar_file,
)
from pellucid.evaluation import Outcome, Trained, own_metrics
from pellucid.record import Run
from pellucid.runner.data import prepare
from pellucid.runner.load import load_needed, load_trained, refuse_study
from pellucid.runner.model_builder import reads_tokens
from pellucid.runner.new_data import check_unchanged, is_new_data, labelled_file
from pellucid.runner.supplied import (
    NOTHING,
    Supplied,
    customized,
    import_object,
    measurable,
    without_own_loss,
)
from pellucid.tasks import get_task
from pellucid.tasks.custom.loader_data import LoaderData
from pellucid.tasks.predictions import Predictions
from pellucid.tasks.shared.supervised import Prediction
from pellucid.tasks.task import Task
from pellucid.train.seed import borrowed_generators

__all__ = ["Prediction", "Predictions", "evaluate", "input_path", "input_paths", "is_text_address", "predict"]


@borrowed_generators()
def evaluate(
    run: Run,
    split: Any = "test",
    model: nn.Module | None = None,
    dataset: Dataset | None = None,
    supplied: Supplied | None = None,
    *,
    allow_changed_data: bool = False,
    settings: Mapping[str, Any] | None = None,
) -> Outcome:
    """Evaluate a run's model on a split of its data, or on new data.

    Args:
        run: a finished run.
        split: name of a split, "validation" also as "val"; or new data: the path of a file or folder, a
            `DataLoader`, a dataset, batches, or (X, y).
        model: see `load_trained`.
        dataset: the data of the run; None to load it again.
        supplied: what was passed to `fit`: the batches, the loss, the objective and the metrics.
        allow_changed_data: split data anew that has changed since training, instead of raising.
        settings: how the file of new data is read, where not as in training: `{"data.encoding": "cp1250"}`.

    Raises:
        UnknownNameError: the data has no such split.
        RunError: the data has changed since training, so that training rows may be in another split.
        UsageError: new data is not of the kind that the run learned from.
        RunError: the run learned from batches that were not passed.
    """
    split = NAMES.get(split, split) if isinstance(split, str) else split
    if _learned_from_batches(run):
        return _evaluate_batches(run, split, model, supplied)
    if isinstance(split, str) and not is_new_data(split):
        trained, prepared = reopen(run, model, dataset, supplied, allow_changed_data=allow_changed_data)
    else:
        trained, prepared = _with_new_data(run, split, model, supplied, settings)
        split = "test"
    if split not in prepared.dataset.splits:
        raise UnknownNameError("split", split, prepared.dataset.splits)
    outcome = get_task(trained.task).evaluate(trained, prepared, split)
    return replace(outcome, metrics=outcome.metrics | own_metrics(trained, prepared.batches(split)))


def reopen(
    run: Run,
    model: nn.Module | None = None,
    dataset: Dataset | None = None,
    supplied: Supplied | None = None,
    *,
    step: int | None = None,
    allow_changed_data: bool = False,
) -> tuple[Trained, Any]:
    """Return the model of a run, with the objective that it was measured by, and its data.

    Args:
        run, model, dataset, supplied, allow_changed_data: see `evaluate`.
        step: see `load_trained`.

    Raises:
        RunError: the data has changed since training, or the run learned from batches that were not passed.
    """
    refuse_study(run)
    config = Config.read(run.path / "config.yaml")
    if _learned_from_batches(run):
        supplied = supplied or _named_loss(config)
        if supplied.data is None:
            raise RunError(
                f"Run {run.id} learned from batches, which are not stored with it.",
                remedy="pass the batches to measure: run.evaluate(loader), or run.evaluate((X, y))",
            )
        loaded = LoaderData(config, supplied.data, supplied.held_out())
        return _with_supplied(load_trained(run, model, step), config, loaded, supplied), loaded
    trained = load_trained(run, model, step)
    weights = supplied.sample_weight if supplied is not None else None
    prepared = prepare(config, dataset, trained.preprocess, weights=weights)
    if not allow_changed_data:
        check_unchanged(run, prepared.facts()["splits"])
    return _finished(trained, config, prepared, supplied, run)


def _with_new_data(
    run: Run,
    data: Any,
    model: nn.Module | None,
    supplied: Supplied | None,
    settings: Mapping[str, Any] | None = None,
) -> tuple[Trained, Any]:
    trained, config = load_trained(run, model), Config.read(run.path / "config.yaml").patch(settings or {})
    found = labelled_file(Path(data), trained, config, settings) if is_new_data(data) else data
    dataset = new_dataset(found, trained)
    tokens = reads_tokens(config, trained.preprocess)
    prepared = get_task(trained.task).prepare(dataset, config, tokens, trained.preprocess)
    return _finished(trained, config, prepared, supplied, run)


def _finished(
    trained: Trained, config: Config, prepared: Any, supplied: Supplied | None, run: Run
) -> tuple[Trained, Any]:
    prepared = replace(prepared, needed=load_needed(config, run.path.parent))
    return _with_supplied(trained, config, prepared, supplied), prepared


NAMES = {"val": "validation"}
"""Short names of splits."""


def _learned_from_batches(run: Run) -> bool:
    return run.facts.get("dataset", {}).get("source", {}).get("kind") == "loader"


def _evaluate_batches(run: Run, split: Any, model: nn.Module | None, supplied: Supplied | None) -> Outcome:
    config = Config.read(run.path / "config.yaml")
    supplied = supplied or _named_loss(config)
    if isinstance(split, str):
        trained, prepared = reopen(run, model, supplied=supplied)
        if split != "train" and split not in supplied.held_out():
            raise UnknownNameError("split", split, ["train", *supplied.held_out()])
        return get_task(trained.task).evaluate(trained, prepared, split)
    data = held_out_source("test", split)
    supplied = replace(supplied, data=data if supplied.data is None else supplied.data)
    prepared, split = LoaderData(config, supplied.data, {"test": data}), "test"
    trained = _with_supplied(load_trained(run, model), config, prepared, supplied)
    return get_task(trained.task).evaluate(trained, cast(Any, prepared), split)


def _named_loss(config: Config) -> Supplied:
    """Return the loss that a config names by its import path, as if it had been passed."""
    name = config.objective.loss
    return Supplied(loss=import_object("objective.loss", name)) if name and is_reference(name) else NOTHING


def _with_supplied(trained: Trained, config: Config, prepared: Any, supplied: Supplied | None) -> Trained:
    """Return the trained model with the objective that it was measured by in training."""
    supplied = supplied or NOTHING
    task = get_task(trained.task)
    objective = supplied.objective or task.objective(without_own_loss(config), prepared)
    known = without_own_loss(config) if supplied.loss is None else config
    objective = customized(objective, known, supplied)
    return replace(trained, objective=measurable(objective, trained.model, prepared, config, supplied))


def new_dataset(data: Any, trained: Trained) -> Dataset:
    """Return new labelled rows as a dataset whose "test" split they are, encoded as in training.

    Args:
        data: a `Dataset`, of which "test" is used and else "train"; (X, y); a data frame that also has the
            target; or batches of both.
        trained: the model to evaluate, trained on rows.

    Raises:
        UsageError: it is none of these, or the task splits its rows itself.
    """
    preprocess, task = trained.preprocess, get_task(trained.task)
    if task.ordered or preprocess is None:
        raise UsageError(
            f"A model trained for {task.name.replace('_', ' ')} cannot be evaluated on new data.",
            remedy='run.evaluate("test")',
        )
    if not isinstance(data, (Dataset, tuple)) and is_loader(data):
        data = _joined(data)
    if preprocess.target is not None and not isinstance(data, Dataset) and hasattr(data, "columns"):
        data = (data, preprocess.target.column.name)
    if isinstance(data, tuple) and len(data) == 2:
        data = arrays(*data, names=_names(data[0], trained), task=preprocess.task)
    if not isinstance(data, Dataset):
        raise UsageError(
            "Expected the name of a split, a dataset, (X, y), a data frame with the target or batches, "
            f"received {type(data).__name__}.",
            remedy='run.evaluate("test"), or run.evaluate((X, y))',
        )
    table = data.splits.get("test", data.splits["train"])
    if preprocess.target is not None and data.target is not None:
        column, name = data.column(data.target), preprocess.target.column.name
        values = table[data.target]
        if column.categories and pa.types.is_integer(values.type):
            values = pa.array(column.categories).take(pa.chunked_array(values).combine_chunks())
        table = table.drop_columns([data.target]).append_column(name, values)
        columns = (*data.inputs, preprocess.target.column)
        data = replace(data, columns=columns, target=name)
    layout = next((layout_of(column) for column in preprocess.columns), None)
    data = set_layout(data.with_splits({"train": table, "test": table}), layout)
    preprocess.check(data.splits["test"])
    return data


def _names(X: Any, trained: Trained) -> list[str] | None:
    """Names for the columns of a matrix: those of the training data where their number is the same."""
    columns = [column.name for column in trained.preprocess.columns]
    matrix = getattr(X, "ndim", 0) == 2 and not hasattr(X, "columns") and X.shape[1] == len(columns)
    return columns if matrix else None


def _joined(data: Any, *, targets: bool = True) -> Any:
    """Return the inputs of batches as one array, or (inputs, targets)."""
    read = [as_batch(batch) for batch in LoaderBatches(data, split="the new data")]
    parts = [[batch.inputs for batch in read], [batch.targets for batch in read]][: 2 if targets else 1]
    if not all(isinstance(value, Tensor) for part in parts for value in part):
        raise UsageError(
            "The run learned from rows, so batches for it must hold one tensor of inputs"
            + (" and one of targets." if targets else "."),
            remedy="pass a dataset, or arrays",
        )
    joined = tuple(torch.cat(part).numpy() for part in parts)
    return joined if targets else joined[0]


def task_name(run: Run) -> str:
    """Return the name of the task of a run.

    Raises:
        RunError: it is a study, which has no model.
    """
    return _task_of(run).name


def _returns_several(run: Run) -> bool:
    """Whether the task of a run takes a key of what the model returns as `output`."""
    return _task_of(run).returns_several


def _task_of(run: Run) -> Task:
    """Return the task of a run.

    Raises:
        RunError: it is a study, which has no model.
    """
    refuse_study(run)
    return get_task(Config.read(run.path / "config.yaml").objective.name)


@borrowed_generators()
def predict(
    run: Run,
    inputs: Any,
    model: nn.Module | None = None,
    *,
    out: str | Path | None = None,
    skip_bad: bool = False,
    pictures: str | Path | None = None,
    **options: Any,
) -> Predictions:
    """Predict for new inputs with a run's model.

    Args:
        run: a finished run.
        inputs: what `Preprocess.read` takes; a `DataLoader` or a dataset of PyTorch, whose batches may hold
            targets too.
        model: see `load_trained`.
        out: a file to write the predictions to, as CSV, JSON lines (.jsonl) or Parquet by its ending.
        skip_bad: leave out rows and files that cannot be read; they are listed in `left_out`.
        pictures: the folder where tasks that make pictures save them, unless `folder` names another; None:
            they are not saved.
        options: options of the task, e.g. the length of a generated text. `output` is an earlier name of
            `out`; where the task takes a key or an index of what the model returns as `output`, a name
            without such an ending is that key.

    Raises:
        UsageError, StorageError: the file to write has another ending, or its folder does not exist.
        ModelError, BadDataError: the inputs do not have the form of the training data.
    """
    path = None if out is None else prediction_file.check_path(out)
    if isinstance(output := options.get("output"), (str, Path)) and (
        Path(output).suffix.lower() in prediction_file.ENDINGS or not _returns_several(run)
    ):
        path = prediction_file.check_path(options.pop("output"))
    _task_of(run).check_options(options)
    trained = load_trained(run, model)
    if trained.preprocess is not None and isinstance(inputs, (DataLoader, TorchDataset)):
        inputs = _joined(inputs, targets=False)
    task = get_task(trained.task)
    if task.saves_pictures and pictures is not None:
        options.setdefault("folder", str(pictures))
    read = task.read(trained, inputs, skip_bad=skip_bad, **task.reading(options))
    answer = task.predict(trained, read, **options)
    found = Predictions(answer, read if isinstance(read, InputRows) else None)
    if path is not None:
        found.save(path)
    return found


def input_paths(text: str, run: Run) -> list[Path]:
    """Return the paths of inputs of `predict`: a file or folder, or all that a pattern such as *.png names.

    Raises:
        DataNotFoundError: there is no such file or folder, or it is an address.
    """
    if Path(text).exists():
        return [Path(text)]
    if ADDRESS.match(text):
        raise DataNotFoundError(
            f"{text} is an address, and nothing is downloaded to be predicted.",
            remedy=f"download it, and name the file; {_what_it_takes(run)}",
        )
    found = sorted(glob.glob(text, recursive=True)) if glob.has_magic(text) else []
    return [Path(path) for path in found] or [input_path(text, run)]


def is_text_address(text: str, run: Run) -> bool:
    """Whether an address such as https://example.org is given to a run that reads texts, and so is one."""
    columns = (run.facts.get("dataset") or {}).get("inputs") or []
    return bool(ADDRESS.match(text)) and {column["kind"] for column in columns} == {"text"}


def stream(run: Run, prompt: str, model: nn.Module | None = None, **options: Any) -> Iterator[str]:
    """Continue a text, and yield it piece by piece.

    Args:
        run: a finished run of a task that writes texts.
        prompt: the text to continue.
        model: see `load_trained`.
        options: those of `predict`.

    Raises:
        UsageError: the task does not write texts token by token, or an option is wrong.
    """
    task = _task_of(run)
    task.check_options(options)
    return task.stream(load_trained(run, model), prompt, **options)


def streams(run: Run) -> bool:
    """Whether a run writes texts token by token."""
    return _task_of(run).streams


def input_path(text: str, run: Run) -> Path:
    """Return the path of an input of `predict`.

    Args:
        text: the path as the user wrote it.
        run: the run to predict with, for the error.

    Raises:
        DataNotFoundError: there is no such file or folder.
    """
    path = Path(text)
    if not path.exists():
        raise DataNotFoundError(
            f"There is no file or folder {text}.{similar_file(path)}", remedy=_what_it_takes(run)
        )
    return path


def _what_it_takes(run: Run) -> str:
    """Return what a run predicts, in words."""
    columns = (run.facts.get("dataset") or {}).get("inputs") or []
    inputs = {column["name"]: column["kind"] for column in columns}
    kinds = set(inputs.values())
    if kinds == {"image"}:
        return "this run takes an image or a folder of images"
    if kinds == {"text"}:
        return "this run takes a text, or a CSV or Parquet file with the column " + next(iter(inputs))
    if inputs and kinds != {"tensor"}:
        return f"this run takes a CSV or Parquet file with the columns {', '.join(map(repr, inputs))}"
    return "an image, a folder of images, a CSV, Parquet or .npy file"
