"""Files of NumPy arrays: .npz with X and y, X.npy next to y.npy, or a single array."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from pellucid.data.dataset import Dataset, Source, Task
from pellucid.data.sources.arrays import arrays
from pellucid.errors import BadDataError

TRAIN = ("", "_train", "train_")
"""What stands before or after the names of the training arrays."""
PAIRS = (("x", "y"), ("images", "labels"), ("data", "target"))
"""Usual names of inputs and targets."""
INPUTS = frozenset(name for x, _ in PAIRS for name in (x, f"{x}_train", f"train_{x}"))


def holds_arrays(path: Path) -> bool:
    """Whether a folder has files named X.npy and y.npy, or the like."""
    return path.is_dir() and _pair(dict.fromkeys(_named_files(path)), TRAIN) is not None


def _named_files(folder: Path) -> dict[str, Path]:
    """Return the .npy files of a folder by their names without the ending."""
    return {found.stem.lower(): found for found in sorted(folder.glob("*.npy"))}


def read_file(path: Path, task: Task | None = None) -> Dataset:
    """Read a .npz file with arrays named X and y (and X_test, y_test, X_validation, y_validation).

    Where nothing is predicted, it needs only X, as in a .npy file. X.npy next to y.npy is read with it, and a
    folder of such files as a .npz file.

    Args:
        path: the file, or the folder.
        task: see `arrays`.

    Raises:
        BadDataError: it cannot be read, or has no X.
    """
    try:
        held = _load(path)
    except (ValueError, OSError, EOFError, MemoryError, zipfile.BadZipFile) as error:
        raise BadDataError(f"{path} is not a NumPy file that can be read: {error}.") from None
    made = from_named(held, task)
    if made is None and (alone := _alone(held)) is not None:
        made = arrays(alone)
    if made is None:
        raise BadDataError(
            f"{path} has no arrays X and y: received {', '.join(held)}.", remedy="np.savez(path, X=X, y=y)"
        )
    return replace(made, name=path.stem, source=Source(str(path), "arrays"))


def _load(path: Path) -> dict[str, np.ndarray]:
    """Return the arrays of a file by name, with those of its folder where it is named X.npy."""
    folder = path if path.is_dir() else path.parent
    if path.is_dir() or path.suffix.lower() == ".npy":
        files = _named_files(folder)
        if path.is_dir() or (path.stem.lower() in INPUTS and holds_arrays(folder)):
            return {name: np.load(found, allow_pickle=False) for name, found in files.items()}
        return {"X": np.load(path, allow_pickle=False)}
    loaded = np.load(path, allow_pickle=False)
    return {name.lower(): loaded[name] for name in loaded}


def from_named(held: Mapping[str, Any], task: Task | None = None) -> Dataset | None:
    """Return the dataset of arrays named X and y (and X_test, y_test ...); None without these two.

    Raises:
        BadDataError: the arrays do not fit each other.
    """
    held = {str(name).lower(): part for name, part in held.items()}
    train = _pair(held, TRAIN)
    if train is None:
        return None
    held_out = {}
    for split, mark in (("validation", "val"), ("validation", "validation"), ("test", "test")):
        pair = _pair(held, (f"_{mark}", f"{mark}_"))
        if pair is not None:
            held_out[split] = pair
    return arrays(*train, validation=held_out.get("validation"), test=held_out.get("test"), task=task)


def _alone(held: Mapping[str, Any]) -> Any:
    """Return the only array of a file, or X where no other has a name of targets: what needs no targets."""
    if len(held) == 1:
        return next(iter(held.values()))
    return next((held[name] for name in ("x", "images", "data") if name in held), None)


def _pair(held: Mapping[str, Any], marks: Sequence[str]) -> tuple[Any, Any] | None:
    """Find X and y under their usual names, with one of the marks as prefix or suffix."""
    for mark in marks:
        for x, y in PAIRS:
            names = (x + mark, y + mark) if not mark.endswith("_") else (mark + x, mark + y)
            if set(names) <= set(held):
                return held[names[0]], held[names[1]]
    return None
