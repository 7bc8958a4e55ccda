"""Small real data sets as tensors: those of scikit-learn, and slices of the mirror where it is there."""

from __future__ import annotations

import functools
import io
import os
import re
from collections import Counter
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

Split = tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]


def mirror() -> Path | None:
    """Return the folder of the mirror; None where there is none."""
    folder = os.environ.get("PELLUCID_MIRROR", "")
    return Path(folder) if folder and Path(folder).is_dir() else None


def split(inputs: Tensor, targets: Tensor, seed: int, held: float = 0.3) -> Split:
    """Divide rows at random into rows for training and held-out rows."""
    order = torch.randperm(len(inputs), generator=torch.Generator().manual_seed(1000 + seed))
    count = int(len(inputs) * (1 - held))
    train, rest = order[:count], order[count:]
    return (inputs[train], targets[train]), (inputs[rest], targets[rest])


def standard(inputs: Tensor) -> Tensor:
    """Scale columns to mean 0 and deviation 1."""
    return (inputs - inputs.mean(0)) / inputs.std(0).clamp_min(1e-6)


@functools.cache
def digits() -> tuple[Tensor, Tensor]:
    """8 x 8 digits (1,797, 1, 8, 8), from 0 to 1."""
    from sklearn.datasets import load_digits

    inputs, targets = load_digits(return_X_y=True)
    return torch.tensor(inputs / 16, dtype=torch.float32).view(-1, 1, 8, 8), torch.tensor(targets)


@functools.cache
def table(name: str) -> tuple[Tensor, Tensor]:
    """A table of scikit-learn: wine, breast_cancer, iris, diabetes; inputs are scaled."""
    import sklearn.datasets

    inputs, targets = getattr(sklearn.datasets, f"load_{name}")(return_X_y=True)
    kind = torch.float32 if name == "diabetes" else torch.int64
    return standard(torch.tensor(inputs, dtype=torch.float32)), torch.tensor(targets, dtype=kind)


@functools.cache
def pictures(name: str, rows: int, side: int) -> tuple[Tensor, Tensor]:
    """Pictures of the mirror, gray, (N, 1, side, side) from 0 to 1; digits where there is no mirror."""
    import pyarrow.parquet as pq
    from PIL import Image

    folder = mirror()
    if folder is None:
        inputs, targets = digits()
        return torch.nn.functional.interpolate(inputs[:rows], size=(side, side)), targets[:rows]
    file = next((folder / name).rglob("train-*.parquet"))
    table = next(pq.ParquetFile(file).iter_batches(rows))
    image = next(field for field in table.schema.names if field in ("image", "img"))
    label = next(field for field in table.schema.names if field in ("label", "labels", "fine_label"))
    found = [
        np.asarray(Image.open(io.BytesIO(one["bytes"])).convert("L").resize((side, side)))
        for one in table[image].to_pylist()
    ]
    inputs = torch.tensor(np.stack(found), dtype=torch.float32)[:, None] / 255
    return inputs, torch.tensor(table[label].to_pylist()).view(len(found))


@functools.cache
def texts(name: str, rows: int, length: int, words: int = 1000) -> tuple[Tensor, Tensor, int]:
    """Texts with classes as word numbers (N, length), padded with 0 at the end, and the number of words."""
    import pyarrow.parquet as pq

    folder = mirror()
    if folder is None:
        raise FileNotFoundError("texts need the mirror")
    file = next((folder / name).rglob("train-*.parquet"))
    frame = pq.read_table(file).to_pandas().sample(frac=1, random_state=0)
    text = next(column for column in ("text", "sms", "message") if column in frame)
    frame = frame.groupby("label").head(rows // 2).sample(frac=1, random_state=1)
    split_up = [re.findall(r"[a-z']+|\d", one.lower())[:length] for one in frame[text]]
    common = Counter(word for one in split_up for word in one).most_common(words)
    number = {word: index + 2 for index, (word, _) in enumerate(common)}
    inputs = torch.zeros(len(split_up), length, dtype=torch.int64)
    for row, one in enumerate(split_up):
        for place, word in enumerate(one):
            inputs[row, place] = number.get(word, 1)
    return inputs, torch.tensor(frame["label"].to_numpy(), dtype=torch.int64), len(number) + 2


@functools.cache
def characters(name: str, rows: int, length: int) -> tuple[Tensor, int]:
    """Pieces of a text as character numbers (N, length + 1), and the number of characters."""
    folder = mirror()
    if folder is None:
        raise FileNotFoundError("texts need the mirror")
    text = next((folder / name).glob("*.txt")).read_text()[: rows * (length + 1)]
    known = sorted(set(text))
    numbers = torch.tensor([known.index(one) for one in text])
    return numbers[: len(numbers) // (length + 1) * (length + 1)].view(-1, length + 1), len(known)


@functools.cache
def names_and_words(rows: int) -> tuple[Tensor, Tensor, int]:
    """First names against words of Shakespeare, by letter (N, 12), padded with 0 at the end."""
    folder = mirror()
    if folder is None:
        raise FileNotFoundError("texts need the mirror")
    names = set((folder / "karpathy/makemore_names/names.txt").read_text().split())
    text = (folder / "karpathy/tiny_shakespeare/input.txt").read_text().lower()
    words = {one for one in re.findall(r"[a-z]{3,12}", text) if one not in names}
    found, half = [], rows // 2
    for kind, words_of in enumerate((names, words)):
        several = sorted(one for one in words_of if 3 <= len(one) <= 12)
        picked = torch.randperm(len(several), generator=torch.Generator().manual_seed(kind))[:half]
        found += [(several[index], kind) for index in picked.tolist()]
    inputs = torch.zeros(len(found), 12, dtype=torch.int64)
    for row, (word, _) in enumerate(found):
        inputs[row, : len(word)] = torch.tensor([ord(letter) - 96 for letter in word])
    return inputs, torch.tensor([kind for _, kind in found]), 27
