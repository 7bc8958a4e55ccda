"""(X, y) of several inputs, by name or in a list, and of targets for each pixel."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import pellucid
from pellucid.errors import BadDataError

RNG = np.random.default_rng(0)
A, B = RNG.normal(size=(80, 3)), RNG.normal(size=(80, 2)).astype("float32")
Y = (A[:, 0] > 0).astype(int)


class Both(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(5, 2)

    def forward(self, first: Tensor, second: Tensor) -> Tensor:
        return self.layer(torch.cat([first, second], 1))


@pytest.fixture
def fit(tmp_path: Path) -> Any:
    def fitted(model: Any, *data: Any, **options: Any) -> pellucid.Run:
        chosen = {"epochs": 20, "lr": 0.1, "execution": "eager", "progress": False, **options}
        return pellucid.fit(model, *data, runs=tmp_path, **chosen)

    return fitted


@pytest.mark.parametrize("inputs", [{"second": B, "first": A}, [A, B], (A, torch.tensor(B))])
def test_several_inputs_are_arguments_and_rows_are_held_out(fit: Any, inputs: Any) -> None:
    run = fit(Both(), (inputs, Y))
    assert np.mean(np.array(run.predict(inputs).labels) == Y) > 0.9
    assert {"val/accuracy", "test/accuracy"} <= run.metrics.keys()
    assert run.facts["dataset"]["splits"]["train"]["rows"] == 64


def test_held_out_inputs_are_taken_as_passed(fit: Any) -> None:
    run = fit(Both(), ([A[:60], B[:60]], Y[:60]), validation=([A[60:], B[60:]], Y[60:]), test=0, epochs=1)
    rows = {split: part["rows"] for split, part in run.facts["dataset"]["splits"].items()}
    assert rows == {"train": 60, "validation": 20}


def test_numbers_by_name_are_the_columns_of_a_table(fit: Any) -> None:
    run = fit("linear", ({"a": A[:, 0], "b": A[:, 1]}, np.where(Y, "yes", "no")), epochs=1)
    assert [column["name"] for column in run.facts["dataset"]["inputs"]] == ["a", "b"]


def test_a_target_for_each_pixel_is_learned_by_a_loss(fit: Any) -> None:
    images = RNG.normal(size=(60, 1, 4, 4)).astype("float32")
    run = fit(nn.Conv2d(1, 2, 1), (images, (images[:, 0] > 0).astype(int)), loss=nn.CrossEntropyLoss())
    assert run.metrics["val/loss"] < 0.5
    assert run.predict(images[:3]).outputs.shape == (3, 2, 4, 4)


def test_x_and_y_may_be_passed_as_they_are_in_scikit_learn(fit: Any) -> None:
    assert fit(nn.Linear(3, 2), A, Y, epochs=1).task == "classification"


def test_inputs_that_do_not_fit_are_refused(fit: Any) -> None:
    with pytest.raises(BadDataError, match="'second' has 10 rows and y 80"):
        fit(Both(), ({"first": A, "second": B[:10]}, Y))
    with pytest.raises(BadDataError, match="X has 10 rows and y 9"):
        fit(nn.Conv2d(1, 2, 1), (np.zeros((10, 1, 4, 4)), np.zeros((9, 4, 4))), loss=nn.CrossEntropyLoss())
    with pytest.raises(BadDataError, match="class numbers"):
        fit(Both(), ({"first": A, "second": B}, np.where(Y, "yes", "no")))
