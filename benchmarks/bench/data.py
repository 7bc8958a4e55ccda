"""Write the data of the comparisons, from the data sets that Pellucid trains on, as one .npz file each.

    mnist, fashion: inputs (N, 1, 28, 28) float32 in 0..1, targets (N,) int64
    shakespeare:    tokens (N,) of characters
    imdb:           tokens (total,) of all reviews, lengths and labels (N,)

and the same for the test split, with names that start with `test_`.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from workloads import LSTM

from pellucid.config import Config
from pellucid.data.batches import MemoryRows
from pellucid.data.text.token_rows import RaggedRows, StreamRows
from pellucid.runner.data import prepare
from pellucid.tasks.prepared import Prepared

HELD_OUT = 5000
"""Number of rows on which losses are measured."""
CONFIGS = {
    "mnist": {"data": {"source": "mnist"}, "model": {"name": "cnn"}},
    "fashion": {"data": {"source": "fashion_mnist"}, "model": {"name": "cnn"}},
    "shakespeare": {
        "data": {"source": "shakespeare", "text": {"tokenizer": "characters", "lowercase": False}},
        "model": {"name": "gpt"},
        "objective": {"name": "language_model"},
    },
    "imdb": {
        "data": {
            "source": "imdb",
            "text": {"tokenizer": "words", "vocab_size": LSTM["vocabulary"], "max_seq_len": LSTM["longest"]},
        },
        "model": {"name": "lstm"},
    },
}


def write(name: str, folder: Path) -> Path:
    """Write the arrays of a data set if they do not exist, and return the file."""
    path = folder / f"{name}.npz"
    if not path.exists():
        prepared = prepare(Config.parse(CONFIGS[name]))
        test = "test" if "test" in prepared.rows else "validation"
        held_out = {f"test_{key}": value for key, value in of(prepared, test, HELD_OUT).items()}
        arrays = of(prepared, "train") | held_out
        np.savez(path, **arrays)
    return path


def of(prepared: Prepared, split: str, limit: int | None = None) -> dict[str, np.ndarray]:
    """Return the rows of a split, or `limit` random rows."""
    rows = prepared.rows[split]
    if isinstance(rows, StreamRows):
        return {"tokens": rows.tokens}
    chosen = np.random.default_rng(0).permutation(len(rows))[:limit]
    if isinstance(rows, RaggedRows):
        texts = [rows.inputs.row(number) for number in chosen]
        lengths = np.array([len(text) for text in texts])
        return {"tokens": np.concatenate(texts), "lengths": lengths, "labels": rows.targets.numpy()[chosen]}
    assert isinstance(rows, MemoryRows)
    return {"inputs": rows.inputs.numpy()[chosen], "targets": rows.targets.numpy()[chosen]}
