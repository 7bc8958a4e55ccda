"""One-hot targets, probabilities where logits are expected, and class weights."""

import numpy as np
import pandas as pd
import pytest
from torch import nn

import pellucid
from pellucid.record import measures

rng = np.random.default_rng(0)
X = rng.normal(size=(120, 4)).astype("float32")
Y = X[:, :3].argmax(1)


def fit(model, data, folder, **more):
    return pellucid.fit(
        model, data, **{"epochs": 1, "runs": folder, "progress": False, "execution": "eager", **more}
    )


def test_one_hot_rows_are_classes_unless_they_are_said_to_be_labels():
    hot = np.eye(3)[Y]
    data = pellucid.arrays(X, hot)
    assert data.task == "classification"
    assert data.classes == ("0", "1", "2")
    assert "one-hot" in data.notes[0]
    assert data.splits["train"]["y"].to_pylist() == Y.tolist()
    assert pellucid.arrays(X, hot, task="multilabel").task == "multilabel"
    hot[0] = 1
    assert pellucid.arrays(X, hot).task == "multilabel"


def test_one_hot_columns_of_a_table_are_classes(tmp_path):
    table = pd.DataFrame({"a": X[:, 0], "cat": Y == 0, "dog": Y == 1, "cow": Y == 2}).astype(float)
    data = pellucid.arrays(table, "cat,dog,cow")
    assert data.classes == ("cat", "dog", "cow")
    assert fit("linear", data, tmp_path).predict(table[:2]).labels[0] in data.classes


@pytest.mark.parametrize(
    ("last", "target", "said"),
    [(nn.Softmax(1), Y, "softmax"), (nn.Sigmoid(), np.eye(3)[Y] + np.eye(3)[0], "sigmoid"), (None, Y, "")],
    ids=["softmax", "sigmoid", "logits"],
)
def test_probabilities_where_logits_are_expected(tmp_path, last, target, said):
    model = nn.Sequential(nn.Linear(4, 3), *([last] if last else []))
    data = pellucid.arrays(X, np.minimum(target, 1) if target.ndim == 2 else target)
    if not said:
        run = fit(model, data, tmp_path)
    else:
        with pytest.warns(UserWarning, match=f"Leave the {said} out"):
            run = fit(model, data, tmp_path)
        assert any(f"the {said} is applied twice" in note for note in run.facts["notes"])
    assert ("activation-before-loss" in {finding.rule for finding in run.findings}) == bool(said)


def test_the_verdict_on_class_weights_is_on_how_it_tells_classes_apart(tmp_path):
    inputs = rng.normal(size=(2000, 4)).astype("float32")
    rare = (inputs[:, 0] + 0.7 * rng.normal(size=2000) > 2.2).astype(int)
    run = fit("mlp", pellucid.arrays(inputs, rare), tmp_path, epochs=6, lr=0.01, class_weight="balanced")
    assert run.metrics["test/auroc"] > 0.8
    assert run.metrics["test/balanced_accuracy"] > 0.65
    assert "underfitting" not in {finding.rule for finding in run.findings}
    assert run.headline[0] == "test/balanced_accuracy"
    assert run.facts["baselines"]["prior"]["test/balanced_accuracy"] == 0.5
    assert run.facts["best"]["metric"] == "val/weighted_accuracy"
    assert measures.measure("test/balanced_accuracy").share


def test_class_weights_by_name(tmp_path):
    data = pellucid.arrays(X, np.array(["a", "b", "c"])[Y])
    run = fit("linear", data, tmp_path, class_weight={"a": 1, "b": 20})
    assert run.settings["objective"]["class_weights"] == {"a": 1, "b": 20}
