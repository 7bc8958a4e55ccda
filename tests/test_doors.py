"""What `fit` takes as data and as metrics: frames, dicts, datasets of Hugging Face, sparse matrices."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pandas as pd
import pytest
import torch
from scipy import sparse
from sklearn.metrics import fbeta_score, matthews_corrcoef
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import pellucid
from pellucid.data.loaders import LoaderBatches
from pellucid.errors import BadDataError, ConfigError, UsageError

rng = np.random.default_rng(0)
X = rng.normal(size=(90, 3)).astype("float32")
Y = (X[:, 0] > 0).astype(int)
FRAME = pd.DataFrame(X, columns=["a", "b", "c"]).assign(kind=np.where(Y, "yes", "no"))
HUB = datasets.Dataset.from_dict(
    {
        "text": [f"a {word} film of {i} hours" for i in range(30) for word in ("good", "bad")],
        "label": [1, 0] * 30,
    },
    features=datasets.Features(
        {"text": datasets.Value("string"), "label": datasets.ClassLabel(names=["neg", "pos"])}
    ),
)


@pytest.fixture
def fit(tmp_path: Path) -> Any:
    def fitted(data: Any, model: Any = "mlp", **options: Any) -> pellucid.Run:
        return pellucid.fit(
            model, data, runs=tmp_path, epochs=1, execution="eager", progress=False, **options
        )

    return fitted


@pytest.mark.parametrize(
    ("data", "options"),
    [
        (FRAME, {"target": "kind"}),
        ({"a": X[:, 0], "b": X[:, 1], "kind": list(FRAME.kind)}, {"target": "kind"}),
        ({"X": X, "y": Y, "X_test": X[:20], "y_test": Y[:20]}, {}),
        ({"train": FRAME[:60], "val": FRAME[60:75], "test": FRAME[75:]}, {"target": "kind"}),
        (HUB, {}),
        (datasets.DatasetDict({"train": HUB, "test": HUB.select(range(20))}), {}),
        (HUB.with_format("torch"), {"target": "label", "validation": 0.3}),
        ((sparse.csr_matrix(X), Y), {"validation": 0.3}),
        ((torch.tensor(X).bfloat16(), torch.tensor(Y)), {}),
        ((np.array(HUB["text"]), HUB["label"]), {}),
    ],
    ids=["frame", "columns", "named", "splits", "hub", "hub splits", "torch", "sparse", "bf16", "texts"],
)
def test_data_at_hand_are_taken(fit: Any, data: Any, options: dict[str, Any]) -> None:
    run = fit(data, **options)
    assert run.status == "finished"
    assert "test/accuracy" in run.metrics


def test_declared_classes_and_shares_are_kept(fit: Any) -> None:
    run = fit(HUB, validation=0.3)
    assert set(run.predict(["good film"]).labels) <= {"neg", "pos"}
    assert "validation: 0.3" in run.config


def test_a_frame_without_a_target_says_which_call_works(fit: Any) -> None:
    with pytest.raises(UsageError, match=r"the table has a, b, c, kind") as error:
        fit(FRAME)
    assert "target='kind'" in str(error.value.remedy)
    assert "--" not in str(error.value)


def test_a_huge_sparse_matrix_is_refused() -> None:
    with pytest.raises(BadDataError, match="GiB as an array"):
        pellucid.arrays(sparse.csr_matrix((100_000, 1_000_000)), np.arange(100_000) % 2)


def test_metrics_by_name_and_of_sklearn_are_measured_every_epoch(fit: Any) -> None:
    chosen = ["accuracy", "f1", "precision_macro", matthews_corrcoef, partial(fbeta_score, beta=2)]
    run = fit((X, Y), metrics=chosen, lr=0.01)
    assert {"test/f1", "test/precision_macro", "test/matthews_corrcoef", "test/fbeta"} <= set(run.metrics)
    predictions = run.predict(X).labels
    measured = run.evaluate(pellucid.arrays(X, Y)).metrics
    assert measured["matthews_corrcoef"] == pytest.approx(matthews_corrcoef(Y, predictions))


@pytest.mark.parametrize("metrics", [["f2"], "mse"])
def test_an_unknown_metric_names_those_that_are_measured(fit: Any, metrics: Any) -> None:
    with pytest.raises(ConfigError, match=r"measures loss, accuracy in any case") as error:
        fit((X, Y), metrics=metrics)
    assert "matthews_corrcoef" in str(error.value.remedy)


# ---- modules in other forms -----------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [torch.float64, torch.bfloat16, torch.float16])
def test_a_module_in_another_precision_is_converted_and_this_is_said(fit: Any, kind: torch.dtype) -> None:
    model = nn.Linear(3, 2).to(kind)
    run = fit((X, Y), model)
    assert model.weight.dtype == torch.float32
    assert any("converted to float32" in note for note in run.facts["notes"])


def test_one_output_for_two_classes_learns_by_binary_cross_entropy_on_batches(fit: Any) -> None:
    rows = TensorDataset(torch.tensor(X)[:65], torch.tensor(Y)[:65])
    for model in (nn.Linear(3, 1), nn.Sequential(nn.Linear(3, 1), nn.Flatten(0))):
        assert fit(rows, model, loss=nn.BCEWithLogitsLoss(), batch_size=32).status == "finished"


def test_a_last_batch_of_one_row_is_joined_to_the_one_before_it(fit: Any) -> None:
    rows = TensorDataset(torch.tensor(X)[:65], torch.tensor(Y)[:65])
    for source in (rows, DataLoader(rows, 32), DataLoader(rows, 32, shuffle=True)):
        batches = LoaderBatches(source, batch_size=32)
        assert [len(targets) for _, targets in batches] == [32, 33]
        assert len(batches) == 2
        assert len(list(batches.epoch(0, start=1))) == 1
    network = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 2))
    assert fit(DataLoader(rows, 32), network).status == "finished"
    assert [len(y) for _, y in LoaderBatches(DataLoader(rows, 32), split="validation")] == [32, 32, 1]


def test_a_target_is_a_number_of_a_column_or_several(fit: Any) -> None:
    frame = pd.DataFrame(X).assign(extra=X[:, 0] * 2.5)
    assert "test/mae" in fit(frame, target=2).metrics
    assert "test/mae" in fit(frame, target=["extra", 1]).metrics


def test_arrays_by_name_are_read_for_the_task(fit: Any) -> None:
    held = {"X": X, "y": np.arange(len(X)) % 2}
    assert fit(held).task == "classification"
    assert fit(held, objective="regression").task == "regression"
