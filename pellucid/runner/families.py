"""A small training problem for each family of networks, made on the spot, which `pellucid doctor` tries."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np

from pellucid.config import Config
from pellucid.data.dataset import Dataset
from pellucid.data.sources.arrays import arrays
from pellucid.runner.setup import set_up
from pellucid.train.autotune import usable
from pellucid.train.device import choose_device

PIXELS = {"normalize": False}
TEXTS = {"columns": {"text": "text"}, "target": "label", "text": {"tokenizer": "words", "max_seq_len": 12}}
LETTERS = {"text": {"tokenizer": "characters", "max_seq_len": 16}}
PAIRS = {"columns": {"text": "text", "other": "text"}, "target": "other", "text": {"tokenizer": "words"}}
FAMILIES: dict[str, tuple[str, str, dict[str, Any], str]] = {
    "mlp": ("mlp", "classification", {"target": "label"}, "table.csv"),
    "tabm": ("tabm", "classification", {"target": "label"}, "table.csv"),
    "cnn": ("cnn", "classification", {}, "digits"),
    "vit": ("vit", "classification", {}, "digits"),
    "lstm": ("lstm", "classification", TEXTS, "texts.csv"),
    "gru": ("gru", "classification", TEXTS, "texts.csv"),
    "transformer": ("transformer", "classification", TEXTS, "texts.csv"),
    "gpt": ("gpt", "language_model", LETTERS, "letters.txt"),
    "bert": ("bert", "masked_language_model", LETTERS, "letters.txt"),
    "t5": ("seq2seq", "seq2seq", PAIRS, "pairs.csv"),
    "autoencoder": ("autoencoder", "reconstruction", PIXELS, "digits"),
    "vae": ("vae", "elbo", PIXELS, "digits"),
    "gan": ("dcgan", "adversarial", PIXELS, "digits"),
    "contrastive": ("siamese", "contrastive", PIXELS, "digits"),
    "tagging": ("lstm", "tagging", {}, "tags.jsonl"),
    "steps": ("tcn", "steps", {}, "steps"),
    "forecast": ("patch_lstm", "forecasting", {"series": {"window": 32, "horizon": 8}}, "series.csv"),
}
"""By name: model, objective, section `data` of the config, and the file."""
ROWS = 60


def try_family(name: str, folder: Path) -> dict[str, str]:
    """Take a training step and evaluate a batch in each execution mode that the autotuner would try.

    Args:
        name: a key of `FAMILIES`.
        folder: where small files of data may be written.

    Returns:
        The modes, and for each the reason why it is left out on this machine; "" if it is usable.
    """
    config, dataset = small_problem(name, folder)
    setup = set_up(config, folder / "runs", dataset=dataset)
    batch = next(iter(setup.prepared.training_batches()))
    found: dict[str, str] = {}
    for phase in setup.objective.phases:
        for mode, reason in usable(setup.model, batch, phase.loss, choose_device()[0]).items():
            found[mode] = found.get(mode) or reason
    return found


def small_problem(name: str, folder: Path) -> tuple[Config, Dataset | None]:
    """Return the config of a small training run of a family, and its dataset if that is not a file."""
    model, objective, data, file = FAMILIES[name]
    if file not in MADE:
        path = folder / file
        path.write_text(_content(file), encoding="utf-8")
        data = {**data, "source": str(path)}
    config = Config.parse(
        {
            "name": name,
            "data": data,
            "model": {"name": model, "size": "tiny"},
            "objective": {"name": objective},
            "train": {"epochs": 1, "batch_size": 16, "max_steps": 2},
        }
    )
    return config, MADE[file]() if file in MADE else None


def _digits() -> Dataset:
    from sklearn.datasets import load_digits

    pixels, labels = load_digits(return_X_y=True)
    return arrays(pixels[:ROWS].reshape(-1, 1, 8, 8).astype("float32") / 16, labels[:ROWS])


def _steps() -> Dataset:
    time = np.arange(ROWS)[:, None] / 5 + np.arange(12) / 3  # (N, T)
    return arrays(np.stack([np.sin(time), np.cos(time)], 2), np.where(np.sin(time) > 0, "up", "down"))


MADE = {"digits": _digits, "steps": _steps}
"""Data that is made in memory."""


def _content(file: str) -> str:
    words = ["good", "bad", "fine", "poor", "great", "weak"]
    said = [f"{words[row % 6]} and {words[row * 7 % 6]} {words[row * 5 % 6]}" for row in range(ROWS)]
    match file:
        case "table.csv":
            rows = ["a,b,label", *(f"{math.sin(row)},{math.cos(row)},{'yn'[row % 2]}" for row in range(ROWS))]
        case "texts.csv":
            rows = ["text,label", *(f"{text},{'yn'[row % 2]}" for row, text in enumerate(said))]
        case "pairs.csv":
            rows = ["text,other", *(f"{text},{' '.join(reversed(text.split()))}" for text in said)]
        case "tags.jsonl":
            words = [text.split() for text in said]
            tagged = [{"tokens": row, "tags": ["XY"[len(word) % 2] for word in row]} for row in words]
            rows = [json.dumps({**line, "id": number}) for number, line in enumerate(tagged)]
        case "series.csv":
            rows = ["a,b", *(f"{math.sin(row / 5)},{math.cos(row / 7)}" for row in range(10 * ROWS))]
        case _:
            rows = said * 5
    return "\n".join(rows) + "\n"
