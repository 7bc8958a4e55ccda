"""What goes wrong in the middle of training is said with what to try; what cannot work is refused before."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset

import pellucid
from pellucid.errors import BadDataError, ConfigError, ModelError, TrainingError, UnknownNameError, UsageError
from pellucid.train.callbacks import Callback
from pellucid.train.trainer import Trainer

torch.manual_seed(0)
X = torch.randn(65, 4)
Y = torch.arange(65) % 3


def loader(inputs: Tensor = X, targets: Any = Y) -> DataLoader[Any]:
    return DataLoader(TensorDataset(inputs, targets), 32)


@pytest.fixture
def fit(tmp_path: Path) -> Any:
    def fitted(model: nn.Module, data: Any, **options: Any) -> pellucid.Run:
        options = {"loss": F.cross_entropy, "epochs": 2, "execution": "eager", "progress": False, **options}
        return pellucid.fit(model, data, runs=tmp_path / "runs", **options)

    return fitted


# ---- batches that fail ------------------------------------------------------------------------------


def test_batch_norm_and_a_last_batch_of_one_row(fit: Any) -> None:
    run = fit(nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3)), loader())
    assert run.status == "finished"  # the row is joined to the batch before it


@pytest.mark.parametrize("label", [3, -1])
def test_a_class_out_of_range_in_a_late_batch(fit: Any, label: int) -> None:
    targets = Y.clone()
    targets[-1] = label
    with pytest.raises(ModelError, match="the classes of 3 outputs are 0 to 2"):
        fit(nn.Linear(4, 3), loader(targets=targets))
    with pytest.raises(ModelError, match="the classes of 3 outputs are 0 to 2"):
        fit(nn.Linear(4, 3), loader(), validation=loader(targets=targets))


def test_rows_of_another_width_in_a_late_batch(fit: Any) -> None:
    with pytest.raises(ModelError, match=r"cannot take a batch .*\(32, 2\)"):
        fit(nn.Linear(4, 3), [(X[:32], Y[:32]), (X[:32, :2], Y[:32])])


@pytest.mark.parametrize(
    ("model", "batch", "remedy"),
    [
        (nn.Linear(4, 1), (X, Y * 50), "BCEWithLogitsLoss for two classes"),
        (nn.Linear(4, 3), (X.to(torch.uint8), Y), r"the inputs are uint8 .* with \.float\(\)"),
        (nn.Linear(4, 3), (X, ("cat",) * 65), "class numbers instead of names"),
        (nn.Linear(4, 3), (X[:, None].expand(-1, 5, -1), Y[:, None].expand(-1, 5)), "transpose"),
        (nn.Linear(4, 3), (X, Y, torch.ones(65)), "the model was called with 2 inputs"),
    ],
)
def test_the_first_batch_says_what_to_try(fit: Any, model: nn.Module, batch: Any, remedy: str) -> None:
    with pytest.raises(ModelError, match=remedy):
        fit(model, [batch])


@pytest.mark.parametrize("part", ["inputs", "targets"])
def test_values_that_are_not_finite_are_found_in_the_batch(fit: Any, part: str) -> None:
    inputs, targets = X.clone(), X[:, :1].clone()
    (inputs if part == "inputs" else targets)[5] = float("nan")
    with pytest.raises(TrainingError, match=f"batch's {part} are not finite") as caught:
        fit(nn.Linear(4, 1), loader(inputs, targets), loss=F.mse_loss)
    assert "fill in or remove" in str(caught.value)


# ---- what would be ignored ----------------------------------------------------------------------------


@pytest.mark.parametrize("option", [{"lr": 0.5}, {"weight_decay": 0.1}])
def test_a_setting_that_the_optimizer_does_not_take_is_refused(fit: Any, option: Any) -> None:
    model = nn.Linear(4, 3)
    for own in (
        lambda weights: torch.optim.SGD(weights, lr=0.1),
        torch.optim.SGD(model.parameters(), lr=0.1),
    ):
        with pytest.raises(UsageError, match=f"{next(iter(option))}="):
            fit(model, loader(), optimizer=own, **option)


def test_early_stopping_needs_validation(fit: Any, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="there are no validation data"):
        fit(nn.Linear(4, 3), loader(), settings={"train.early_stopping": {"patience": 1}})
    with pytest.raises(ConfigError, match="there are no validation data"):
        fit(nn.Linear(4, 3), loader(), schedule="plateau")
    assert not (tmp_path / "runs").exists()


def test_early_stopping_watches_what_the_run_monitors(fit: Any) -> None:
    settings = {"train.monitor": "train/loss", "train.early_stopping": {"patience": 1, "min_delta": 9}}
    run = fit(nn.Linear(4, 3), loader(), settings=settings, epochs=5)
    assert "train/loss has not improved" in run.facts["stop_reason"]


def test_pandas_rows_in_another_order_are_refused() -> None:
    frame = pd.DataFrame({"a": np.arange(9.0), "b": np.arange(9.0) ** 2})
    target = pd.Series(np.arange(9) % 3, name="kind")
    mixed = frame.sample(frac=1, random_state=0)
    assert pellucid.arrays(mixed, target.loc[mixed.index]).task == "classification"
    assert pellucid.arrays(mixed, target.to_numpy()).task == "classification"
    with pytest.raises(BadDataError, match="in another order"):
        pellucid.arrays(mixed, target)


@pytest.mark.parametrize(
    "labels", [np.arange(60) % 3, np.array(["a", "b", "c"], dtype=object)[np.arange(60) % 3]]
)
def test_a_column_of_classes_is_classes(labels: Any) -> None:
    data = pellucid.arrays(np.random.default_rng(0).normal(size=(60, 4)), labels[:, None])
    assert data.task == "classification"


# ---- accumulation ---------------------------------------------------------------------------------------


def test_the_loss_of_accumulated_batches_is_their_mean(fit: Any) -> None:
    class Seen(Callback):
        def on_backward_end(self, trainer: Trainer) -> None:
            losses.append(trainer.loss.item())

    losses: list[float] = []
    torch.manual_seed(0)
    model, data = nn.Linear(4, 3), DataLoader(TensorDataset(X[:64], Y[:64]), 16)
    with torch.no_grad():
        wanted = F.cross_entropy(model(X[:64]), Y[:64]).item()
    settings = {"train.gradient_accumulation_steps": 4}
    run = fit(model, data, epochs=1, settings=settings, callbacks=[Seen()])
    assert losses == [pytest.approx(wanted)]
    assert run.metrics["train/loss"] == pytest.approx(wanted)


def test_of_very_many_names_the_near_ones_are_listed() -> None:
    known = [f"rule-{number:03}" for number in range(200)]
    assert UnknownNameError("finding", "rule-01", known).remedy == "one of: rule-101, rule-091 and 198 others"
    assert "and 140 others" in str(UnknownNameError("finding", "zzz", known).remedy)
