"""Load and prepare the data of a config for training."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from torch import nn

from pellucid.config import Config, TextConfig
from pellucid.data.continuation import aligned, go_on, go_on_series
from pellucid.data.dataset import FILE_SOURCES, Dataset
from pellucid.data.inputs import TableInputs
from pellucid.data.preprocess import Preprocess
from pellucid.data.row_weights import COLUMN, weights_of, with_weights
from pellucid.data.sources.open_source import make_splits, open_source
from pellucid.data.text.text_inputs import TextInputs
from pellucid.data.text.vocabulary import PREPROCESS
from pellucid.errors import ConfigError, PellucidError
from pellucid.record import Run
from pellucid.runner.layouts import arranged
from pellucid.runner.load import load_preprocess, starting_run
from pellucid.runner.model_builder import OWN_MODEL, PRETRAINED, reads_tokens
from pellucid.runner.paths import with_absolute_paths
from pellucid.tasks import get_task
from pellucid.tasks.prepared import Prepared
from pellucid.tasks.task import Task


def prepare(
    config: Config,
    dataset: Dataset | None = None,
    fitted: Preprocess | None = None,
    *,
    runs: str | Path = "runs",
    weights: Any = None,
    model: nn.Module | None = None,
) -> Prepared:
    """Load, split and encode the data of a config.

    A model that starts from the weights of a run continues with its preprocessing: columns and scales, image
    size and statistics, the order of classes, and the tokenizer, because an embedding has one row per token.
    `data.text` then only determines the length and truncation of texts, and no vocabulary is learned.
    Vocabulary settings with their default values are ignored; others must match the tokenizer.

    Args:
        config: the whole config.
        dataset: the dataset to use instead of `data.source`.
        fitted: the preprocessing of an already trained model; None to fit it on this data.
        runs: the folder of runs, to find the run that the model starts from.
        weights: one weight per training row, or the name of the column that holds them.
        model: the user's own module, which gets arrays in a shape that it can take.

    Raises:
        ConfigError: the vocabulary settings do not match the tokenizer of the initial weights, or
            `data.training_rows` is set for a series.
        PellucidError: the data is unavailable, or does not suit the task.
    """
    task = get_task(config.objective.name)
    if task.ordered and config.data.training_rows is not None:
        raise ConfigError(
            f"data.training_rows is {config.data.training_rows}, but data.series.rows determines the rows of "
            "a series.",
            remedy="--set data.training_rows=null",
        )
    if task.ordered:
        _check_rule(config)
    tokens = reads_tokens(config, fitted)
    before = None
    if fitted is None:
        before = _learned_before(config, runs)
        config = _with_tokens(config, before, tokens)
    if config.model.name == PRETRAINED and not tokens and config.data.images_of is None:
        config = config.patch({"data.images_of": config.model.weights})
    if dataset is None:
        wanted = next(iter(task.spec.targets), None)
        dataset = open_source(config.data, labelled=task.labelled, form=task.form, task=wanted)
    known = before[1] if before is not None else fitted
    if known is not None:
        dataset = _with_kinds(dataset, config, task, known)
    column = weights if isinstance(weights, str) else config.data.sample_weight
    if weights is not None and not isinstance(weights, str):
        dataset, column = with_weights(dataset, weights), COLUMN
    if not task.ordered:
        dataset = make_splits(dataset, config.data, labelled=task.labelled)
        own, known = config.model.name == OWN_MODEL, fitted or (before[1] if before else None)
        dataset = arranged(dataset, model, known, sequences=tokens, own=own)
    counted = None
    if column is not None:
        dataset, counted = weights_of(dataset, column)
    if before is not None:
        fitted = _continued(task, dataset, config, tokens, *before)
    if fitted is not None:
        dataset = aligned(dataset, fitted)
    made = task.prepare(dataset, config, tokens, fitted)
    return made if counted is None else replace(made, weights=counted)


def _with_kinds(dataset: Dataset, config: Config, task: Task, known: Preprocess) -> Dataset:
    """Read a file again where it suggests other kinds of columns than a run had, which decides what they are.

    A number column with few values looks like a category in a small file. A cell of another kind, or a
    kind that the config declares, leaves the column as it is, to be refused.
    """
    wanted = {column.name: column.kind for column in known.columns}
    other = {
        column.name: wanted[column.name]
        for column in dataset.inputs
        if wanted.get(column.name, column.kind) != column.kind and column.name not in config.data.columns
    }
    if not other or not isinstance(known.encoded, TableInputs) or dataset.source.kind not in FILE_SOURCES:
        return dataset
    data = config.data.model_copy(update={"columns": {**config.data.columns, **other}})
    try:
        wanted_task = next(iter(task.spec.targets), None)
        return open_source(data, labelled=task.labelled, form=task.form, task=wanted_task)
    except PellucidError:
        return dataset


def _learned_before(config: Config, runs: str | Path) -> tuple[Run, Preprocess] | None:
    """Return the run that the model starts from, with its preprocessing; None if it has none."""
    run = starting_run(config, runs)
    if run is None or not (run.path / PREPROCESS).is_file():
        return None
    return run, load_preprocess(run)


def _continued(
    task: Task, dataset: Dataset, config: Config, tokens: bool, run: Run, before: Preprocess
) -> Preprocess | None:
    """Return the preprocessing of the run that the model starts from, for new data; None to fit it anew."""
    if isinstance(before.encoded, TextInputs) and config.data.text.pretrained != str(run.path):
        return None  # the user has named other tokens
    if task.ordered:
        return go_on_series(before, task.prepare(dataset, config, tokens).preprocess, run.id)
    return go_on(before, dataset, config.data.text, run.id, whole_texts=task.form == "texts")


def _check_rule(config: Config) -> None:
    """Refuse rules of splits for a series, which is split in the order of time in any case."""
    rule = config.data.split
    said = {
        name: value for name in ("group", "column", "folds") if (value := getattr(rule, name)) is not None
    }
    if rule.time not in (None, config.data.series.time):
        said["time"] = rule.time
    if said:
        given = ", ".join(f"data.split.{name}={value}" for name, value in said.items())
        raise ConfigError(
            f"{given}: a series is split in the order of time, and has no other splits.",
            remedy="--set data.split=null; data.validation and data.test are the shares, and "
            "data.series.time names the time",
        )


def fitted_before(run: Run, config: Config) -> Preprocess | None:
    """Return the preprocessing of a run to resume; None if it has none or its data settings have changed."""
    before = with_absolute_paths(Config.read(run.path / "config.yaml"))
    exists = (run.path / PREPROCESS).is_file()
    return load_preprocess(run) if exists and before.data == config.data else None


def _with_tokens(config: Config, before: tuple[Run, Preprocess] | None, tokens: bool) -> Config:
    """Set `data.text.pretrained` to the model or run that the model starts from, if it reads tokens."""
    if config.model.name == PRETRAINED:
        return config.patch({"data.text.pretrained": config.model.weights}) if tokens else config
    if before is None or config.data.text.pretrained is not None:
        return config
    run, learned = before[0], before[1].encoded
    if not isinstance(learned, TextInputs):
        return config
    _check_same(config.data.text, learned, run)
    return config.patch({"data.text.pretrained": str(run.path)})


def _check_same(wanted: TextConfig, learned: TextInputs, run: Run) -> None:
    """Refuse vocabulary settings that do not match the tokenizer of the run that the model starts from."""
    default = TextConfig()
    for key, value, fits, actual in (
        ("tokenizer", wanted.tokenizer, wanted.tokenizer == learned.kind, learned.kind),
        ("vocab_size", wanted.vocab_size, wanted.vocab_size >= learned.vocab_size, f"{learned.vocab_size:,}"),
        ("lowercase", wanted.lowercase, not learned.lowercase, "lowercase"),
    ):
        if value != getattr(default, key) and not fits:
            raise ConfigError(
                f"data.text.{key} is {value!r}, but the tokens of run {run.id}, which the model starts from, "
                f"are {actual}.",
                remedy=f"--set data.text.{key}={getattr(default, key) or 'null'} to use its tokenizer, or "
                "--set model.weights=null to start from random weights",
            )
