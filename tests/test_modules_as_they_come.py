"""Modules as people have them: named outputs, lazy layers, float64; what cannot learn says why."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.linear_model import LogisticRegression
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

import pellucid
from pellucid.errors import ModelError, PellucidError, UsageError

RNG = np.random.default_rng(0)
X = RNG.normal(size=(60, 3)).astype("float32")
Y = (X[:, 0] > 0).astype(int)
ROWS = TensorDataset(torch.tensor(X), torch.tensor(Y))


@pytest.fixture
def fit(tmp_path: Path) -> Any:
    def fitted(model: Any, data: Any = (X, Y), **options: Any) -> pellucid.Run:
        chosen = {"epochs": 1, "execution": "eager", "progress": False, **options}
        return pellucid.fit(model, data, runs=tmp_path / "runs", **chosen)

    return fitted


@dataclass
class Named:
    hidden: Tensor
    logits: Tensor


class Fields(NamedTuple):
    hidden: Tensor
    logits: Tensor


class Returns(nn.Module):
    """Returns what a function makes of the inputs and the logits."""

    def __init__(self, make: Any):
        super().__init__()
        self.layer, self.make = nn.Linear(3, 2), make

    def forward(self, x: Tensor) -> Any:
        return self.make(x, self.layer(x))


# ---- outputs ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("make", [Named, Fields, lambda x, z: {"hidden": x, "logits": z}])
def test_logits_are_found_by_their_name(fit: Any, make: Any) -> None:
    assert fit(Returns(make)).predict(X[:4]).probs.shape == (4, 2)


def test_the_first_of_a_dict_that_is_not_the_logits_is_named(fit: Any) -> None:
    with pytest.raises(ModelError, match=r"returns \{foo: float32 \(2, 3\), bar: .* name the logits"):
        fit(Returns(lambda x, z: {"foo": x, "bar": z}))


@pytest.mark.parametrize("data", [(X, Y), ROWS])
def test_outputs_without_a_gradient_are_refused(fit: Any, data: Any) -> None:
    with pytest.raises(ModelError, match="have no gradient"):
        fit(Returns(lambda x, z: z.detach()), data)


# ---- weights ---------------------------------------------------------------------------------------


def test_lazy_layers_and_float64_are_loaded_again(fit: Any) -> None:
    for make in (
        lambda: nn.Sequential(nn.LazyLinear(4), nn.LazyBatchNorm1d(), nn.LazyLinear(2)),
        lambda: nn.Linear(3, 2).double(),
    ):
        run = fit(make())
        again = pellucid.Run(run.path, model=make())
        assert np.allclose(again.predict(X).probs, run.predict(X).probs, atol=1e-6)


def test_a_run_in_float64_predicts_float32(fit: Any) -> None:
    rows = DataLoader(TensorDataset(torch.tensor(X).double(), torch.tensor(Y)), 16)
    run = fit(nn.Linear(3, 2).double(), rows)
    assert np.allclose(run.predict(X).outputs, run.predict(X.astype("float64")).outputs, atol=1e-5)


def test_parameters_without_values_are_refused(fit: Any) -> None:
    with torch.device("meta"):
        model = nn.Linear(3, 2)
    with pytest.raises(ModelError, match="on the device meta"):
        fit(model)


# ---- not a module ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("model", "remedy"),
    [
        (nn.Identity, r"Try: Identity\(\.\.\.\)"),
        (lambda x: x, "an nn.Module whose forward calls it"),
        (LogisticRegression(), "its own fit"),
        ([nn.Linear(3, 2)], "an nn.Module"),
    ],
)
def test_what_is_no_module_is_refused_in_training_and_prediction(fit: Any, model: Any, remedy: str) -> None:
    with pytest.raises(UsageError, match=remedy):
        fit(model)
    run = fit(nn.Linear(3, 2))
    with pytest.raises(UsageError, match=remedy):
        pellucid.Run(run.path).predict(X, model=model)


# ---- what to try -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "loss", "remedy"),
    [
        ((X, Y), nn.BCEWithLogitsLoss(), "CrossEntropyLoss, which takes class numbers; or a last layer of 1"),
        (
            TensorDataset(ROWS.tensors[0], ROWS.tensors[1].float()),
            nn.CrossEntropyLoss(),
            r"targets\.long\(\)",
        ),
        (TensorDataset(ROWS.tensors[0], ROWS.tensors[1][:, None]), nn.CrossEntropyLoss(), r"\.squeeze\(1\)"),
        ([(ROWS.tensors[0], ["yes"] * 60)], None, "class numbers instead of names"),
        ([(Image.new("L", (8, 8)), 1)], nn.CrossEntropyLoss(), "ToTensor"),
    ],
)
def test_a_loss_or_batch_that_does_not_fit_says_what_would(
    fit: Any, data: Any, loss: Any, remedy: str
) -> None:
    with pytest.raises(PellucidError, match=remedy):
        fit(nn.Linear(3, 2), data, loss=loss)


def test_a_layer_that_does_not_fit_says_what_would(fit: Any) -> None:
    ids = RNG.integers(1, 50, (60, 3))
    small = nn.Sequential(nn.Embedding(20, 4), nn.Flatten(), nn.Linear(12, 2))
    with pytest.raises(ModelError, match=f"the largest id is {ids[:48].max()}|nn.Embedding has 20 rows"):
        fit(small, (ids, Y))
    with pytest.raises(ModelError, match="a first layer of 3 inputs"):
        fit(nn.Linear(5, 2))


def test_an_error_in_forward_names_its_line(fit: Any) -> None:
    def fail(x: Tensor, z: Tensor) -> Tensor:
        raise ValueError("my own mistake")

    with pytest.raises(
        ModelError, match=r"ValueError: my own mistake \(.*test_modules_as_they_come.py:\d+\)"
    ):
        fit(Returns(fail))
