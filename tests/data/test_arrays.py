"""Objects in memory: the same rows from every library, and bad ones named."""

from __future__ import annotations

import numpy as np
import pandas as pd
import polars as pl
import pytest
import torch

from pellucid.config import DataConfig
from pellucid.data.sources.arrays import arrays
from pellucid.data.sources.open_source import open_data
from pellucid.errors import BadDataError, UnknownNameError, UsageError

X = np.arange(24.0).reshape(8, 3)
Y = np.array([0, 1] * 4)


@pytest.mark.parametrize("convert", [np.asarray, torch.tensor, lambda values: values.tolist()])
def test_matrices_are_read(convert):
    dataset = arrays(convert(X), convert(Y))
    assert [column.kind for column in dataset.columns] == ["number"] * 3 + ["category"]
    assert dataset.classes == ("0", "1")
    assert dataset.splits["train"]["x1"].to_pylist() == X[:, 1].tolist()


@pytest.mark.parametrize("frame", [pd.DataFrame, pl.DataFrame])
def test_data_frames_are_read(frame):
    data = frame(
        {"size": [1.5, None, 3.0, 4.0] * 3, "color": ["red", "blue", "red", "red"] * 3, "y": [1, 0, 1, 0] * 3}
    )
    by_name, by_array = (
        arrays(data, "y"),
        arrays(data.drop(columns="y") if frame is pd.DataFrame else data.drop("y"), data["y"]),
    )
    assert by_name.fingerprint == by_array.fingerprint
    assert [column.kind for column in by_name.inputs] == ["number", "category"]
    assert by_name.splits["train"]["size"].null_count == 3


def test_images_and_wide_matrices_are_tensors():
    images = arrays(np.zeros((5, 28, 28), np.uint8), np.arange(5) % 2)
    assert images.inputs[0].kind == "tensor"
    assert tuple(images.splits["train"]["x"].type.shape) == (28, 28)
    assert arrays(np.zeros((5, 200)), np.arange(5) % 2).inputs[0].kind == "tensor"


@pytest.mark.parametrize(
    ("y", "task"),
    [
        (np.linspace(0, 1, 8), "regression"),
        (np.eye(8)[:, :3], "multilabel"),
        (np.random.default_rng(0).normal(size=(8, 2)), "regression"),
        (["a", "b"] * 4, "classification"),
        (Y.astype(bool), "classification"),
    ],
)
def test_task_is_inferred_from_the_targets(y, task):
    assert arrays(X, y).task == task


def test_task_can_be_set():
    assert arrays(X, Y, task="regression").task == "regression"


@pytest.mark.parametrize(
    ("x", "y", "said"),
    [
        (X, Y[:5], "X has 8 rows and y 5"),
        (
            np.where(X == 4, np.nan, X),
            Y,
            r"1 NaN or infinite values, the first nan in row 2, position \(1,\)",
        ),
        (np.where(X == 4, np.inf, X), Y, "the first inf in row 2"),
        (np.array([[1, "a"]] * 8, object), Y, "dtype object"),
        (np.zeros((0, 3)), np.zeros(0), r"shape \(0, 3\): expected at least 1 row"),
        (X[:, 0], Y, r"shape \(8,\): expected \(N, F\)"),
        ([[1, 2], [3]], [0, 1], "same shape"),
        (X, np.where(Y == 1, np.nan, 1.0), "y holds 4 missing or infinite values, the first in row 2"),
        (np.array([["a"], ["b"]]), [0, 1], "expected numbers"),
    ],
)
def test_invalid_arrays_are_refused(x, y, said):
    with pytest.raises(BadDataError, match=said):
        arrays(x, y)


def test_invalid_data_frames_are_refused():
    frame = pd.DataFrame({"a": [1, "x", 2.5] * 4, "y": [0, 1, 1] * 4})
    with pytest.raises(BadDataError, match="mixes types"):
        arrays(frame, "y")
    with pytest.raises(UnknownNameError, match="Did you mean 'y'"):
        arrays(frame.drop(columns="a").assign(b=range(12)), "yy")


def test_held_out_pairs_are_used():
    dataset = arrays(X, Y, test=(X[:3], Y[:3]), validation=(X[3:5], Y[3:5]))
    assert {name: len(table) for name, table in dataset.splits.items()} == {
        "train": 8,
        "validation": 2,
        "test": 3,
    }
    with pytest.raises(UsageError, match=r"test=\(X, y\)"):
        arrays(X, Y, test=X)
    with pytest.raises(BadDataError, match="rows of shape"):
        arrays(X, Y, test=(X[:, :2], Y))


def test_npz_files_are_read(tmp_path):
    np.savez(
        tmp_path / "data.npz",
        X_train=np.random.default_rng(0).normal(size=(50, 4)),
        y_train=np.arange(50) % 2,
    )
    dataset = open_data(DataConfig(source=str(tmp_path / "data.npz")))
    assert dataset.name == "data"
    chosen = open_data(DataConfig(source=str(tmp_path / "data.npz"), inputs=["x1", "x3"]))
    assert [column.name for column in chosen.inputs] == ["x1", "x3"]
    with pytest.raises(UsageError, match="'x1' of data is number, not text"):
        open_data(DataConfig(source=str(tmp_path / "data.npz"), columns={"x1": "text"}))
    assert dataset.task == "classification"
    (tmp_path / "bad.npz").write_bytes(b"PK\x03\x04")
    with pytest.raises(BadDataError, match=r"bad\.npz"):
        open_data(DataConfig(source=str(tmp_path / "bad.npz")))
