"""Losses and metrics of the user's own never compare every output with every target, and mind row weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset

import pellucid
from pellucid.errors import ConfigError
from pellucid.train.metrics import FunctionMetric
from pellucid.train.objective import weighted
from pellucid.train.own_loss import checked

torch.manual_seed(0)
X = torch.randn(64, 4)
Y = X.sum(1) + torch.randn(64)


class Squeezed(nn.Linear):
    def forward(self, input: Tensor) -> Tensor:
        return super().forward(input).squeeze(1)


def fitted(folder: Path, model: nn.Module, targets: Tensor, loss: Any, **options: Any) -> pellucid.Run:
    data = DataLoader(TensorDataset(X, targets), 16)
    settings = {"train.restore_best": False}
    options = {"optimizer": lambda weights: torch.optim.SGD(weights, lr=0.1), **options}
    plain = {"epochs": 2, "execution": "eager", "progress": False, "settings": settings, "runs": folder}
    return pellucid.fit(model, data, validation=data, loss=loss, **plain, **options)


def by_hand(loss: Any) -> nn.Module:
    torch.manual_seed(0)
    model = nn.Linear(4, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for _ in range(2):
        for rows in range(0, 64, 16):
            optimizer.zero_grad()
            loss(model(X[rows : rows + 16]), Y[rows : rows + 16, None]).backward()
            optimizer.step()
    return model


@pytest.mark.parametrize("loss", [nn.MSELoss(), F.l1_loss, nn.HuberLoss()])
@pytest.mark.parametrize(
    ("kind", "targets"), [(nn.Linear, Y), (Squeezed, Y[:, None]), (nn.Linear, Y.double())]
)
def test_a_column_is_compared_row_by_row(tmp_path: Path, loss: Any, kind: Any, targets: Tensor) -> None:
    torch.manual_seed(0)
    model = kind(4, 1)
    run = fitted(tmp_path, model, targets, loss)
    wanted = by_hand(loss)
    pairs = zip(model.parameters(), wanted.parameters(), strict=True)
    assert all(torch.equal(one, other) for one, other in pairs)
    value = loss(wanted(X), Y[:, None]).item()
    assert run.metrics["val/loss"] == pytest.approx(value, rel=1e-5)


def test_a_mask_with_a_channel_is_compared_pixel_by_pixel() -> None:
    logits, mask = torch.randn(4, 1, 5, 5), torch.rand(4, 5, 5) > 0.5
    for loss in (nn.BCEWithLogitsLoss(), F.mse_loss):
        assert checked(loss)(logits.requires_grad_(), mask) == loss(logits[:, 0], mask.float())


def mean_square(outputs: Tensor, targets: Tensor) -> Tensor:
    return (outputs - targets).square().mean()


@pytest.mark.parametrize(("kind", "targets"), [(nn.Linear, Y), (Squeezed, Y[:, None])])
def test_a_loss_or_metric_that_broadcasts_is_refused(tmp_path: Path, kind: Any, targets: Tensor) -> None:
    with pytest.raises(ConfigError, match=r"loss= lets outputs .* broadcast"):
        fitted(tmp_path / "runs", kind(4, 1), targets, mean_square)
    assert not (tmp_path / "runs").exists()
    metric = FunctionMetric(mean_square, "mse")
    with pytest.raises(ConfigError, match=r"metric 'mse' lets outputs .* broadcast"):
        metric.update(kind(4, 1)(X), (X, targets))


@pytest.mark.parametrize(
    "loss",
    [
        lambda outputs, targets: (outputs.squeeze(1) - targets).square().mean(),
        lambda outputs, targets: (outputs.reshape(targets.shape) - targets).abs().mean(),
        lambda outputs, targets: F.relu(1 - (outputs - outputs.T) * (targets[:, None] - targets)).mean(),
        lambda outputs, targets: outputs.mean() - targets.mean(),
    ],
)
def test_a_loss_that_minds_the_shapes_is_taken(loss: Any) -> None:
    outputs = torch.randn(16, 1, requires_grad=True)
    assert checked(loss)(outputs, Y[:16]) == loss(outputs, Y[:16])


def test_probabilities_as_targets_are_measured_by_the_loss(tmp_path: Path) -> None:
    torch.manual_seed(0)
    targets, model, loss = torch.rand(64, 3).softmax(1), nn.Linear(4, 3), nn.CrossEntropyLoss()
    run = fitted(tmp_path, model, targets, loss)
    with torch.no_grad():
        assert run.metrics["val/loss"] == pytest.approx(loss(model(X), targets).item(), rel=1e-5)


@pytest.mark.parametrize(
    "loss",
    [
        nn.CrossEntropyLoss(weight=torch.tensor([1.0, 2.0, 5.0])),
        nn.CrossEntropyLoss(label_smoothing=0.1),
        lambda outputs, targets: F.cross_entropy(outputs, targets),
    ],
)
def test_weights_of_rows_go_with_a_loss_of_ones_own(loss: Any) -> None:
    logits, targets = torch.randn(8, 3, requires_grad=True), torch.arange(8) % 3
    weights = torch.rand(8)
    each = nn.CrossEntropyLoss(reduction="none")
    if isinstance(loss, nn.CrossEntropyLoss):
        each.weight, each.label_smoothing = loss.weight, loss.label_smoothing
    value = weighted(checked(loss))(logits, {"x": X[:8], "y": targets, "weights": weights})
    assert value.item() == pytest.approx((each(logits, targets) * weights).mean().item(), rel=1e-5)
    value.backward()
    assert logits.grad is not None
