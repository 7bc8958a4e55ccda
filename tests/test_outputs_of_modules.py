"""Modules that return one number for two classes, or probabilities, learn as those with logits."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.data import TensorDataset

import pellucid
from pellucid.errors import ModelError
from pellucid.tasks.classification.objective import classification

RNG = np.random.default_rng(0)
X = RNG.normal(size=(120, 3)).astype("float32")
TWO, THREE = (X[:, 0] > 0).astype(int), X.argmax(1)
LABELS = (X > 0).astype("float32")


def network(outputs: int, *ends: nn.Module) -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 16), nn.ReLU(), nn.Linear(16, outputs), *ends)


@pytest.fixture
def fit(tmp_path: Path) -> Any:
    def fitted(model: nn.Module, data: Any, **options: Any) -> pellucid.Run:
        chosen = {"epochs": 12, "lr": 0.03, "execution": "eager", "progress": False, **options}
        return pellucid.fit(model, data, runs=tmp_path / "runs", **chosen)

    return fitted


def right(run: pellucid.Run, y: Any) -> float:
    return float(np.mean(np.array(run.predict(X).labels) == y))


# ---- one number for two classes --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("ends", "loss", "form"),
    [
        ((), None, "logit"),
        ((), nn.BCEWithLogitsLoss(), "logit"),
        ((nn.Flatten(0),), nn.BCEWithLogitsLoss, "logit"),
        ((), lambda z, y: F.binary_cross_entropy_with_logits(z.squeeze(1), y.float()), "logit"),
        ((nn.Sigmoid(),), None, "probability"),
        ((nn.Sigmoid(), nn.Flatten(0)), nn.BCELoss(), "probability"),
        ((nn.Sigmoid(),), F.binary_cross_entropy, "probability"),
    ],
)
def test_one_output_learns_two_classes(fit: Any, ends: Any, loss: Any, form: str) -> None:
    names = np.where(TWO, "yes", "no")
    run = fit(network(1, *ends), (X, names), loss=loss)
    found = run.predict(X)
    assert right(run, names) > 0.9
    assert found.probs.shape == (120, 2)
    assert np.allclose(found.probs.sum(1), 1, atol=1e-5)
    assert {"test/accuracy", "test/f1", "test/auroc"} <= run.metrics.keys()
    again = pellucid.Run(run.path, model=network(1, *ends))
    assert f"outputs: {form}\n" in (run.path / "config.yaml").read_text()
    assert np.allclose(again.predict(X).probs, found.probs, atol=1e-6)


def test_the_probability_of_the_second_class_is_what_the_module_returns(fit: Any) -> None:
    model = network(1, nn.Sigmoid())
    found = fit(model, (X, TWO), loss=nn.BCELoss()).predict(X)
    with torch.no_grad():
        wanted = model.eval()(torch.tensor((X - X.mean(0)) / X.std(0)))
    assert np.corrcoef(found.probs[:, 1], wanted[:, 0])[0, 1] > 0.999


def test_one_logit_learns_by_binary_cross_entropy_to_the_digit() -> None:
    logits, targets = torch.randn(7, 1), torch.tensor([0, 1, 1, 0, 1, 0, 0])
    objective = classification(outputs="logit")
    loss = objective.phases[0].loss(nn.Identity(), (logits, targets))
    assert torch.allclose(loss, F.binary_cross_entropy_with_logits(logits[:, 0], targets.float()))
    certain = classification(outputs="probability").phases[0].loss(nn.Identity(), (logits.sigmoid(), targets))
    assert torch.allclose(certain, loss, atol=1e-6)


def test_one_output_takes_class_weights_and_is_resumed(fit: Any) -> None:
    run = fit(network(1), (X, TWO), class_weight={0: 1.0, 1: 2.0}, epochs=2)
    longer = fit(network(1), (X, TWO), class_weight={0: 1.0, 1: 2.0}, epochs=3, resume=run.path.name)
    assert longer.path == run.path
    assert "test/accuracy" in longer.metrics


@pytest.mark.parametrize(
    ("ends", "loss"),
    [((), None), ((), nn.BCEWithLogitsLoss()), ((nn.Sigmoid(),), nn.BCELoss()), ((nn.Sigmoid(),), None)],
)
def test_one_output_on_batches_is_measured_by_its_accuracy(fit: Any, ends: Any, loss: Any) -> None:
    rows = TensorDataset(torch.tensor(X), torch.tensor(TWO))
    run = fit(network(1, *ends), rows, validation=rows, loss=loss)
    assert run.metrics["val/accuracy"] > 0.9
    assert run.predict(X).probs.shape == (120, 2)
    assert np.mean(np.array(run.predict(X).labels) == TWO) > 0.9


def test_one_output_for_three_classes_is_refused(fit: Any) -> None:
    with pytest.raises(ModelError, match="one number for each row, and arrays has 3 classes"):
        fit(network(1), (X, THREE))


def test_a_sigmoid_before_a_loss_of_logits_is_said(fit: Any) -> None:
    with pytest.warns(UserWarning, match="the sigmoid is applied twice"):
        fit(network(1, nn.Sigmoid()), (X, TWO), loss=nn.BCEWithLogitsLoss(), epochs=1)


# ---- probabilities ---------------------------------------------------------------------------------


def test_labels_with_a_loss_of_probabilities_are_those_above_a_half(fit: Any) -> None:
    run = fit(network(3, nn.Sigmoid()), (X, LABELS), loss=nn.BCELoss())
    found = run.predict(X)
    assert run.metrics["test/accuracy"] > 0.85
    assert (found.indicators == LABELS).mean() > 0.9
    assert (found.probs < 0.5).any()


def test_a_softmax_with_a_loss_of_probabilities_is_not_applied_again(fit: Any) -> None:
    model = network(3, nn.Softmax(1))
    run = fit(model, (X, THREE), loss=lambda p, y: F.nll_loss(p.log(), y))
    assert right(run, THREE) > 0.85
    assert run.predict(X).probs.max() > 0.6  # a softmax of probabilities stays below e / (e + 2) = 0.58
