"""From a config to data that are ready to be trained on."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from pellucid.config import Config, TextConfig
from pellucid.data.dataset import Dataset
from pellucid.data.preprocess import Preprocess
from pellucid.data.row_weights import COLUMN, weights_of, with_weights
from pellucid.data.sources.open_source import make_splits, open_source
from pellucid.data.text.text_inputs import TextInputs
from pellucid.data.text.vocabulary import PREPROCESS, run_inputs
from pellucid.errors import ConfigError
from pellucid.record import Run
from pellucid.runner.components import PRETRAINED, reads_tokens
from pellucid.runner.load import load_preprocess, starting_run
from pellucid.tasks import get_task
from pellucid.tasks.prepared import Prepared


def prepare(
    config: Config,
    dataset: Dataset | None = None,
    fitted: Preprocess | None = None,
    *,
    runs: str | Path = "runs",
    weights: Any = None,
) -> Prepared:
    """Load, split and encode the data of a config.

    A model of texts that begins with the weights of another reads the tokens of the other, since its
    embedding has a row for each of them: `data.text` says how long texts may be and where they are cut, and
    no vocabulary is learned. Settings of the vocabulary that are left as they are by default do not matter
    then; others must agree with what the other has learned.

    Args:
        config: all of it.
        dataset: used instead of `data.source`.
        fitted: how rows were encoded for a model that is trained already; None: fitted on these data.
        runs: the folder of runs, for a model that begins with the weights of one.
        weights: one for each training row, or the name of the column that holds them.

    Raises:
        ConfigError: a vocabulary is asked for that is not the one the weights are of, or fewer rows of a
            series.
        PellucidError: the data is unavailable, or do not suit the task.
    """
    task = get_task(config.objective.name)
    if task.ordered and config.data.training_rows is not None:
        raise ConfigError(
            f"data.training_rows is {config.data.training_rows}: a series has its rows by data.series.rows.",
            remedy="--set data.training_rows=null",
        )
    tokens = reads_tokens(config)
    if tokens and fitted is None:
        config = _with_tokens(config, runs)
    if dataset is None:
        dataset = open_source(config.data, labelled=task.labelled)
    column = weights if isinstance(weights, str) else config.data.sample_weight
    if weights is not None and not isinstance(weights, str):
        dataset, column = with_weights(dataset, weights), COLUMN
    if not task.ordered:
        dataset = make_splits(dataset, config.data, labelled=task.labelled)
    if column is None:
        return task.prepare(dataset, config, tokens, fitted)
    dataset, counted = weights_of(dataset, column)
    return replace(task.prepare(dataset, config, tokens, fitted), weights=counted)


def kept(run: Run, config: Config) -> Preprocess | None:
    """Return the preprocessing of a resumed run; None if there is none, or its data settings changed."""
    before = Config.read(run.path / "config.yaml")
    there = (run.path / PREPROCESS).is_file()
    return load_preprocess(run) if there and before.data == config.data else None


def _with_tokens(config: Config, runs: str | Path) -> Config:
    """Let `data.text.pretrained` name whose tokens the weights are of, where the model begins with some."""
    if config.model.name == PRETRAINED:
        return config.patch({"data.text.pretrained": config.model.weights})
    run = starting_run(config, runs)
    learned = run_inputs(run.path) if run else None
    if run is None or learned is None or config.data.text.pretrained is not None:
        return config
    _check_same(config.data.text, learned, run)
    return config.patch({"data.text.pretrained": str(run.path)})


def _check_same(asked: TextConfig, learned: TextInputs, run: Run) -> None:
    default = TextConfig()
    for key, wanted, fits, there in (
        ("tokenizer", asked.tokenizer, asked.tokenizer == learned.kind, learned.kind),
        ("vocab_size", asked.vocab_size, asked.vocab_size >= learned.vocab_size, f"{learned.vocab_size:,}"),
        ("lowercase", asked.lowercase, not learned.lowercase, "lowercase"),
    ):
        if wanted != getattr(default, key) and not fits:
            raise ConfigError(
                f"data.text.{key} is {wanted!r}, but the tokens of the run {run.id}, with whose weights the "
                f"model begins, are {there}.",
                remedy=f"--set data.text.{key}={getattr(default, key) or 'null'} to use its tokens, or "
                "--set model.weights=null to begin with none",
            )
