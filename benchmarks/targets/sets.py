"""The data of all contestants: MNIST as arrays, IMDB as texts.

mnist: images (N, 28, 28) uint8 and labels (N,), and the test split as test_images, test_labels
imdb:  texts (N,) and labels (N,), and the test split likewise
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from pellucid.data.images import decode
from pellucid.data.sources.open_source import load

SOURCES = {"mnist": "mnist", "imdb": "imdb"}


def write(data: str, folder: Path) -> Path:
    """Write both splits to one file, and return it."""
    path, arrays = folder / f"{data}.npz", {}
    dataset = load(SOURCES[data])
    for split, prefix in (("train", ""), ("test", "test_")):
        table = dataset.splits[split]
        arrays[f"{prefix}labels"] = table[dataset.target].to_numpy().astype(np.int64)
        if data == "mnist":
            images = np.zeros((len(table), 1, 28, 28), np.uint8)
            decode(table["image"], (28, 28), "L", images)
            arrays[f"{prefix}images"] = images[:, 0]
        else:
            arrays[f"{prefix}texts"] = np.array(table["text"].to_pylist())
    np.savez(path, **arrays)
    return path
