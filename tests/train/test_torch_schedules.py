"""Schedulers of PyTorch set what they set in a loop written by hand."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.optim import Optimizer, lr_scheduler
from torch.utils.data import DataLoader, TensorDataset

import pellucid
from pellucid.errors import ConfigError
from pellucid.train.callbacks import Callback
from pellucid.train.torch_schedules import PER_STEP, momentum_of, torch_schedule
from pellucid.train.trainer import Trainer
from tests.train.conftest import compiles

EPOCHS, BATCHES = 3, 4
LOADER = DataLoader(TensorDataset(torch.randn(32, 4), torch.arange(32) % 3), 8)
Set = list[tuple[float, float | None]]


def warm_up_then_decay(optimizer: Optimizer) -> Any:
    parts = [lr_scheduler.LinearLR(optimizer, 0.1, total_iters=1), lr_scheduler.ExponentialLR(optimizer, 0.5)]
    return lr_scheduler.SequentialLR(optimizer, parts, [1])


SCHEDULERS: dict[str, Callable[[Optimizer], Any]] = {
    "warm-up": lambda o: lr_scheduler.LinearLR(o, 0.1, total_iters=2),
    "warm-up, then decay": warm_up_then_decay,
    "constant, then whole": lambda o: lr_scheduler.ConstantLR(o, 0.2, total_iters=1),
    "one cycle": lambda o: lr_scheduler.OneCycleLR(o, 0.5, epochs=EPOCHS, steps_per_epoch=BATCHES),
    "cycles": lambda o: lr_scheduler.CyclicLR(o, 0.01, 0.1, step_size_up=3),
    "cosine": lambda o: lr_scheduler.CosineAnnealingLR(o, EPOCHS, eta_min=0.005),
}


class Groups(Callback):
    """Records learning rate and momentum of every group in every update."""

    needs = frozenset()

    def __init__(self) -> None:
        self.seen: list[Set] = []

    def on_backward_end(self, trainer: Trainer) -> None:
        self.seen.append(groups_of(trainer.optimizers["train"]))


def groups_of(optimizer: Optimizer) -> Set:
    return [(group["lr"], momentum_of(group)) for group in optimizer.param_groups]


def sgd(model: nn.Module) -> Optimizer:
    first, second = model.parameters()
    return torch.optim.SGD([{"params": [first]}, {"params": [second], "lr": 0.3}], lr=0.1, momentum=0.8)


def adam(model: nn.Module) -> Optimizer:
    return torch.optim.Adam(model.parameters(), lr=0.02)


def by_hand(optimizer: Optimizer, make: Callable[[Optimizer], Any]) -> list[Set]:
    scheduler, seen = make(optimizer), []
    per_step = type(scheduler).__name__ in PER_STEP
    for _ in range(EPOCHS):
        for _ in range(BATCHES):
            seen.append(groups_of(optimizer))
            optimizer.step()
            if per_step:
                scheduler.step()
        if not per_step:
            scheduler.step()
    return seen


def fitted(folder: Path, model: nn.Module, **options: Any) -> list[Set]:
    groups = Groups()
    options = {"loss": nn.functional.cross_entropy, "execution": "eager", "callbacks": [groups], **options}
    pellucid.fit(model, LOADER, epochs=EPOCHS, runs=folder, progress=False, **options)
    return groups.seen


def assert_same(seen: list[Set], wanted: list[Set]) -> None:
    assert len(seen) == len(wanted)
    for one, other in zip(seen, wanted, strict=True):
        assert [lr for lr, _ in one] == pytest.approx([lr for lr, _ in other])
        assert [momentum for _, momentum in one] == pytest.approx([momentum for _, momentum in other])


@pytest.mark.parametrize("instance", [True, False], ids=["instance", "function"])
@pytest.mark.parametrize("make_optimizer", [sgd, adam])
@pytest.mark.parametrize("name", SCHEDULERS)
def test_every_group_has_rate_and_momentum_of_a_hand_written_loop(
    tmp_path: Path, name: str, make_optimizer: Any, instance: bool
) -> None:
    make, model = SCHEDULERS[name], nn.Linear(4, 3)
    wanted = by_hand(make_optimizer(nn.Linear(4, 3)), make)
    for _ in range(2):  # a second training run begins anew
        optimizer = make_optimizer(model)
        schedule = make(optimizer) if instance else make
        assert_same(fitted(tmp_path, model, optimizer=optimizer, schedule=schedule), wanted)


def test_a_function_of_its_own_for_each_group(tmp_path: Path) -> None:
    def make(optimizer: Optimizer) -> Any:
        return lr_scheduler.LambdaLR(optimizer, [lambda epoch: 0.5**epoch, lambda epoch: 1 / (1 + epoch)])

    model = nn.Linear(4, 3)
    seen = fitted(tmp_path, model, optimizer=sgd(model), schedule=make)
    assert_same(seen, by_hand(sgd(nn.Linear(4, 3)), make))


@pytest.mark.skipif(not compiles(), reason="needs a C++ compiler")
def test_a_compiled_update_follows_the_momentum(tmp_path: Path) -> None:
    made = []
    for execution in ("eager", "compiled"):
        torch.manual_seed(0)
        model = nn.Linear(4, 3)
        fitted(
            tmp_path, model, optimizer="adamw", schedule=lr_scheduler.OneCycleLR, lr=0.1, execution=execution
        )
        made.append(model.weight.detach())
    assert torch.allclose(*made, atol=1e-6)


def test_a_function_that_makes_a_plateau_is_refused_like_its_class():
    for given in (
        lr_scheduler.ReduceLROnPlateau,
        lambda optimizer: lr_scheduler.ReduceLROnPlateau(optimizer),
    ):
        with pytest.raises(ConfigError, match="built in") as refused:
            torch_schedule(given, 0.1, 10, 5, {})
        assert 'schedule="plateau"' in str(refused.value)
