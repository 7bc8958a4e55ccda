"""Baselines on scikit-learn's bundled data, compared with scikit-learn's own models."""

from __future__ import annotations

import math
import warnings
from typing import Any

import numpy as np
import pytest
import torch
from sklearn import datasets
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.preprocessing import StandardScaler

from pellucid.train.baseline import baselines

Split = tuple[tuple[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]


def split(name: str) -> Split:
    inputs, targets = getattr(datasets, name)(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(inputs))
    inputs, targets, cut = inputs[order], targets[order], int(0.7 * len(inputs))
    return (inputs[:cut], targets[:cut]), (inputs[cut:], targets[cut:])


@pytest.mark.parametrize("name", ["load_iris", "load_wine", "load_breast_cancer", "load_digits"])
def test_linear_model_matches_scikit_learn(name: str) -> None:
    (x, y), (test_x, test_y) = split(name)
    scaler = StandardScaler().fit(x)
    reference = LogisticRegression(max_iter=5000).fit(scaler.transform(x), y)
    found = baselines(x, y, {"test": (test_x, test_y)}, "classification")["linear"]
    assert found["test/accuracy"] >= reference.score(scaler.transform(test_x), test_y) - 0.025
    assert found["test/loss"] < 0.25
    assert found["rows"] == len(x)
    assert found["seconds"] > 0


def test_linear_regression_matches_ridge_and_keeps_the_units() -> None:
    (x, y), (test_x, test_y) = split("load_diabetes")
    scaler = StandardScaler().fit(x)
    reference = Ridge().fit(scaler.transform(x), y).score(scaler.transform(test_x), test_y)
    found = baselines(x, y, {"test": (test_x, test_y)}, "regression")
    assert found["linear"]["test/r2"] == pytest.approx(reference, abs=0.02)
    assert found["linear"]["test/rmse"] == pytest.approx(math.sqrt(found["linear"]["test/loss"]))
    assert found["prior"]["test/mae"] == pytest.approx(np.abs(test_y - y.mean()).mean(), rel=1e-4)
    assert found["prior"]["test/r2"] == pytest.approx(0, abs=0.02)


def test_prior_equals_hand_computed_values() -> None:
    y, test_y = np.array([0, 0, 0, 1]), np.array([0, 1, 2])
    found = baselines(np.zeros((4, 2)), y, {"test": (np.zeros((3, 2)), test_y)}, "classification")["prior"]
    assert found["test/accuracy"] == pytest.approx(1 / 3)
    assert found["test/loss"] == pytest.approx(-(math.log(4 / 7) + math.log(2 / 7) + math.log(1 / 7)) / 3)


def test_multilabel_baselines() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(600, 5)).astype(np.float32)
    y = (x[:, :3] > 0).astype(np.float32)
    y[:, 2] = 0  # a label that never occurs
    found = baselines(x[:400], y[:400], {"val": (x[400:], y[400:])}, "multilabel")
    assert set(found["prior"]) == {"val/loss", "val/accuracy", "val/f1"}
    assert found["prior"]["val/loss"] == pytest.approx((2 * math.log(2) + 0.0025) / 3, abs=0.01)
    assert found["linear"]["val/accuracy"] > 0.97
    assert found["linear"]["val/f1"] == pytest.approx(
        2 / 3, abs=0.02
    )  # the label without examples counts as 0


def test_rows_are_sampled_above_the_cell_limit() -> None:
    (x, y), (test_x, test_y) = split("load_digits")
    found = baselines(x, y, {"test": (test_x, test_y)}, "classification", cells=64 * 300)["linear"]
    assert found["rows"] == 300
    assert found["test/accuracy"] > 0.85


def test_tensors_and_arrays_give_the_same_and_draw_no_random_numbers() -> None:
    (x, y), (test_x, test_y) = split("load_digits")
    state, numpy_state = torch.get_rng_state(), np.random.get_state()[1].tolist()
    arrays = baselines(x, y, {"test": (test_x, test_y)}, "classification")
    images = torch.tensor(x).view(-1, 1, 8, 8), torch.tensor(test_x).view(-1, 1, 8, 8)
    tensors = baselines(
        images[0], torch.tensor(y), {"test": (images[1], torch.tensor(test_y))}, "classification"
    )
    for found in (arrays, tensors):
        found["linear"].pop("seconds")
    assert arrays == tensors
    assert torch.equal(torch.get_rng_state(), state)
    assert np.random.get_state()[1].tolist() == numpy_state


def test_constant_columns_and_empty_splits_raise_no_warning() -> None:
    x, y = np.ones((40, 3)), np.arange(40) % 2
    evals: dict[str, Any] = {"val": (x[:0], y[:0]), "test": (x, y)}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = baselines(x, y, evals, "classification")
    assert set(found["prior"]) == {"test/loss", "test/accuracy", "test/balanced_accuracy"}
    assert found["linear"]["test/loss"] == pytest.approx(math.log(2), abs=1e-3)


def test_a_nearly_constant_pixel_does_not_ruin_the_loss() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(500, 4)).astype(np.float32)
    y = (x[:, 0] > 0).astype(np.int64)
    x[:, 3] = 0
    x[0, 3] = 1e-2
    test = x[:50].copy()
    test[:, 3] = 1e3
    found = baselines(x, y, {"test": (test, y[:50])}, "classification")["linear"]
    assert found["test/loss"] < 1
