"""Suggest a config for new data: a modest model that usually works."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pyarrow as pa

from pellucid.config import Augment, Config, DataConfig
from pellucid.data import inputs
from pellucid.data.dataset import Column, Dataset
from pellucid.data.kinds.category import MOST_CATEGORIES
from pellucid.data.suggest_series import suggest_series

LARGEST_SIDE = 64
"""Larger images are resized to this many pixels a side."""

_MOST_STEPS = 20_000
MOST_FEATURES = 300
"""Tables with more numbers in a row, such as counts of words, get a plain MLP."""
TABLE_BATCHES = {1000: 32, 3000: 64, 10_000: 128, 1_000_000: 256}
"""Batch sizes by the number of rows below which they are used."""
TABLE_STEPS = 3000
"""Updates of a network for tables, in 5 to 100 epochs."""


def suggest(
    dataset: Dataset, data: DataConfig, image_size: tuple[int, int] | None, task: str | None = None
) -> Config:
    """Choose a model and its training by the kind and number of rows.

    Args:
        dataset: with its splits made.
        data: how it was opened; only changed for images.
        image_size: the most common (width, height), for images.
        task: what to learn; None: what its target suggests.
    """
    if task == "forecasting":
        return suggest_series(dataset, data)
    if dataset.task == "translation" or is_text(dataset):
        return _text(dataset, data, task)
    if dataset.target is None and image_size is not None:
        return _images(dataset, data, image_size)
    rows = len(dataset.splits["train"])
    deep = image_size is not None or _is_spatial(dataset)
    if not deep and _num_features(dataset) <= MOST_FEATURES:
        return _table(dataset, data)
    batch = _batch_size(rows)
    epochs = _epochs(rows, batch)
    stopping = {"patience": max(5, epochs // 5)} if rows < 5000 else None
    return Config.parse(
        {
            "name": Path(dataset.name).stem,
            "summary": f"{dataset.task} of {dataset.target} from {_words(dataset)}",
            "data": {**data.model_dump(), **(_image_data(data, image_size, rows) if image_size else {})},
            "model": {"name": "cnn", "size": "tiny" if rows < 5000 else "small"} if deep else _mlp(rows),
            "objective": {"name": dataset.task or "classification"},
            "optimizer": {"name": "adamw", "lr": 2e-3 if deep else 3e-3, "weight_decay": 0.01},
            "schedule": {"name": "one_cycle" if rows >= 5000 else "cosine"},
            "train": {"epochs": epochs, "batch_size": batch, "early_stopping": stopping},
        },
        "the suggested config",
    )


def _table(dataset: Dataset, data: DataConfig) -> Config:
    """Suggest an ensemble in one network, trained to the end of its schedule.

    Its last weights are kept: the best epoch of a few validation rows is a matter of chance, and costs more
    than it gains (measured in benchmarks/tables.py).
    """
    rows = len(dataset.splits["train"])
    batch = next((size for most, size in TABLE_BATCHES.items() if rows < most), 1024)
    epochs = round(TABLE_STEPS * batch / max(rows, 1))
    return Config.parse(
        {
            "name": Path(dataset.name).stem,
            "summary": f"{dataset.task} of {dataset.target} from {_words(dataset)}",
            "data": data.model_dump(),
            "model": {"name": "tabm", "size": "small"},
            "objective": {"name": dataset.task or "classification"},
            "optimizer": {
                "name": "adamw",
                "lr": 3e-3,
                "weight_decay": 0.02,
                "options": {"betas": [0.9, 0.95]},
            },
            "schedule": {"name": "cosine"},
            "train": {"epochs": min(max(epochs, 5), 100), "batch_size": batch, "restore_best": False},
        },
        "the suggested config",
    )


def is_text(dataset: Dataset) -> bool:
    """Return whether a dataset is texts without a target."""
    return dataset.target is None and [column.kind for column in dataset.columns] == ["text"]


TEXT_MODELS = {"masked_language_model": "bert", "span_denoising": "seq2seq", "seq2seq": "seq2seq"}
"""The model of a task on texts, where that is not a GPT."""


def _text(dataset: Dataset, data: DataConfig, task: str | None) -> Config:
    """Suggest a translation model for pairs of texts, or a language model of characters."""
    pairs = dataset.task == "translation"
    task = task or ("seq2seq" if pairs else "language_model")
    columns = {**data.columns, dataset.target: "text"} if pairs else data.columns
    text = (
        {"tokenizer": "bpe", "vocab_size": 8000, "max_seq_len": 64} if pairs else {"tokenizer": "characters"}
    )
    return Config.parse(
        {
            "name": Path(dataset.name).stem,
            "summary": f"{_words(dataset)}, "
            + ("translated" if pairs else "continued character by character"),
            "data": {
                **data.model_dump(),
                "target": dataset.target,
                "columns": columns,
                "text": {**data.text.model_dump(), "lowercase": False, **text},
            },
            "model": {"name": TEXT_MODELS.get(task, "gpt"), "size": "small"},
            "objective": {"name": task, "label_smoothing": 0.1 if pairs else 0.0},
            "optimizer": {"name": "adamw", "lr": 1e-3, "weight_decay": 0.01},
            "schedule": {"name": "one_cycle"},
            "train": {"epochs": 15 if pairs else 10, "batch_size": 64, "clip_grad_norm": 1.0},
        },
        "the suggested config",
    )


def _images(dataset: Dataset, data: DataConfig, image_size: tuple[int, int]) -> Config:
    """Suggest an autoencoder for images without labels."""
    rows = len(dataset.splits["train"])
    batch = _batch_size(rows)
    return Config.parse(
        {
            "name": Path(dataset.name).stem,
            "summary": "images, compressed to a few numbers and reconstructed",
            "data": {
                **data.model_dump(),
                "image_size": data.image_size or (LARGEST_SIDE if max(image_size) > LARGEST_SIDE else None),
                "normalize": False,
            },
            "model": {"name": "autoencoder"},
            "objective": {"name": "reconstruction"},
            "optimizer": {"name": "adamw", "lr": 1e-3},
            "schedule": {"name": "one_cycle"},
            "train": {"epochs": _epochs(rows, batch), "batch_size": batch},
        },
        "the suggested config",
    )


def _image_data(data: DataConfig, image_size: tuple[int, int], rows: int) -> dict[str, Any]:
    """Return the settings that images need in addition."""
    changes: dict[str, Any] = {}
    if data.image_size is None and max(image_size) > LARGEST_SIDE:
        changes["image_size"] = LARGEST_SIDE
    if data.augment == Augment.model_validate({}) and rows < 50_000:
        changes["augment"] = {"shift": 0.08, "rotate": 8, "scale": 0.08}
    return changes


def _mlp(rows: int) -> dict[str, Any]:
    """Suggest an MLP: wider for more rows, with dropout for few."""
    hidden = [32, 32] if rows < 1000 else [128, 64] if rows < 100_000 else [256, 128]
    return {"name": "mlp", "options": {"hidden": hidden, "dropout": 0.2 if rows < 10_000 else 0.0}}


def _batch_size(rows: int) -> int:
    """Return a batch size for about 100 steps an epoch: 16 to 256, up to 1024 from a million rows."""
    size, most = 16, 256 if rows < 1_000_000 else 1024
    while size < most and size * 100 <= rows:
        size *= 2
    return size


def _epochs(rows: int, batch: int) -> int:
    """Return more epochs for few rows, fewer for many."""
    wanted = 60 if rows < 2000 else 30 if rows < 20_000 else 15 if rows < 200_000 else 5
    return max(1, min(wanted, _MOST_STEPS * batch // max(rows, 1)))


def _num_features(dataset: Dataset) -> float:
    """Return about how many numbers a row becomes; infinity where it has a text."""
    table = dataset.splits["train"]
    return sum(_width(column, table) for column in dataset.inputs)


def _width(column: Column, table: pa.Table) -> float:
    if column.kind == "text":
        return math.inf
    if column.kind == "category":
        return min(len(table[column.name].unique()), MOST_CATEGORIES) + 1
    return math.prod(getattr(table.schema.field(column.name).type, "shape", ()))


def _is_spatial(dataset: Dataset) -> bool:
    """Return whether the input is one column of arrays of two or three dimensions."""
    schema = dataset.splits["train"].schema
    found = inputs.whole_column(dataset.inputs, schema)
    return found is not None and len(getattr(schema.field(found[0].name).type, "shape", ())) > 1


def _words(dataset: Dataset) -> str:
    kinds = [column.kind for column in dataset.inputs]
    if len(kinds) == 1:
        return f"one {kinds[0]} column" if kinds[0] != "image" else "images"
    return f"{len(kinds)} columns ({', '.join(sorted(set(kinds)))})"
