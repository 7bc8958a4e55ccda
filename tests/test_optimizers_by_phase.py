"""An objective of several phases takes an optimizer for each: `optimizer={"generator": ..., ...}`."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

import pellucid
from pellucid.errors import UnknownNameError, UsageError
from pellucid.train.callbacks import Callback
from pellucid.train.trainer import Trainer

X = torch.randn(64, 3, generator=torch.Generator().manual_seed(0))
LOADER = DataLoader(TensorDataset(X, X), 16)


class Players(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.generator, self.critic = nn.Linear(3, 3), nn.Linear(3, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.critic(self.generator(x))


def loss(model: nn.Module, batch: Any) -> Tensor:
    return (model(batch[0]) - batch[1]).square().mean()


OBJECTIVE = pellucid.Objective(
    "players",
    tuple(
        pellucid.Phase(name, loss, lambda model, name=name: getattr(model, name).parameters())  # type: ignore[misc]
        for name in ("critic", "generator")
    ),
)


class Sees(Callback):
    def on_train_start(self, trainer: Trainer) -> None:
        self.optimizers = dict(trainer.optimizers)

    def rates(self) -> dict[str, tuple[str, float]]:
        return {n: (type(o).__name__, o.param_groups[0]["lr"]) for n, o in self.optimizers.items()}


@pytest.fixture
def seen(tmp_path: Path) -> Any:
    def fit(optimizer: Any, model: nn.Module | None = None, **options: Any) -> dict[str, tuple[str, float]]:
        sees = Sees()
        options = {"epochs": 1, "execution": "eager", "progress": False, **options}
        run = pellucid.fit(
            model or Players(),
            LOADER,
            objective=OBJECTIVE,
            optimizer=optimizer,
            callbacks=[sees],
            runs=tmp_path / "runs",
            **options,
        )
        assert run.status == "finished"
        return sees.rates()

    return fit


def test_every_phase_has_its_own_optimizer(seen: Any) -> None:
    model = Players()
    forms = {
        "name": ("sgd", {}, ("SGD", 0.001)),
        "class": (torch.optim.RMSprop, {}, ("RMSprop", 0.01)),
        "class and lr": (torch.optim.RMSprop, {"lr": 0.3}, ("RMSprop", 0.3)),
        "factory": (partial(torch.optim.Adam, lr=0.2), {}, ("Adam", 0.2)),
        "instance": (torch.optim.SGD(model.critic.parameters(), lr=0.7), {"lr": 0.3}, ("SGD", 0.7)),
    }
    for given, options, wanted in forms.values():
        found = seen({"critic": given, "generator": torch.optim.Adagrad}, model, **options)
        assert found["critic"] == (wanted[0], pytest.approx(wanted[1]))
        assert found["generator"] == ("Adagrad", pytest.approx(options.get("lr", 0.01)))


def test_phases_that_do_not_match_are_named(seen: Any, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="none for generator"):
        seen({"critic": "sgd"})
    with pytest.raises(UnknownNameError, match=r"named 'genrator'. Did you mean 'generator'"):
        seen({"critic": "sgd", "genrator": "sgd"})
    assert not (tmp_path / "runs").exists()
    model = Players()
    with pytest.raises(UsageError, match="one for each: optimizer="):
        seen(torch.optim.SGD(model.critic.parameters(), lr=0.001), model)
