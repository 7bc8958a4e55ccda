"""Callbacks, modules and optimizers of the user may change state wherever plain torch allows it."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from pellucid.config import TrainConfig
from pellucid.errors import ModelError, RunError, UnknownNameError, UsageError
from pellucid.record import Run
from pellucid.record.checkpoints import read_state
from pellucid.tasks.classification.objective import classification
from pellucid.train.callbacks import Callback, Monitor
from pellucid.train.checkpoint import find_weights, load_weights, restore, save
from pellucid.train.optimizers import optimizer
from pellucid.train.schedules import cosine
from pellucid.train.trainer import Trainer
from tests.train.conftest import compiles

BATCH = (torch.rand(8, 4, generator=torch.Generator().manual_seed(0)), torch.arange(8) % 3)
sgd: Callable[..., Any] = partial(torch.optim.SGD, lr=0.1)


class Tempered(nn.Module):
    """Divides by a plain attribute, and one of a settings object."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.output = nn.Linear(4, 3)
        self.tau = 1.0
        self.settings = TrainConfig(epochs=1)

    def forward(self, x: Tensor) -> Tensor:
        return self.output(x) / self.tau / self.settings.epochs


def trainer(
    *callbacks: Callback,
    model: nn.Module | None = None,
    make: Any = sgd,
    schedule: Any = None,
    **config: Any,
) -> Trainer:
    plan = TrainConfig(**{"epochs": 3, "device": "cpu", "execution": "eager", **config})
    model = model or Tempered()
    return Trainer(model, classification(), make, plan, schedule=schedule, callbacks=callbacks)


class At(Callback):
    """Calls a function of the trainer at the start of an epoch, and records every learning rate."""

    needs = frozenset()

    def __init__(self, epoch: int, change: Callable[[Trainer], Any]):
        self.epoch, self.change = epoch, change
        self.rates: list[float] = []

    def on_epoch_start(self, trainer: Trainer) -> None:
        if trainer.epoch == self.epoch:
            self.change(trainer)

    def on_step_end(self, trainer: Trainer) -> None:
        self.rates.append(trainer.optimizers["train"].param_groups[0]["lr"])


def set_lr(lr: float) -> Callable[[Trainer], None]:
    return lambda trainer: trainer.optimizers["train"].param_groups[0].update(lr=lr)


# ---- compiled programs -----------------------------------------------------------------------------------


@compiles
@pytest.mark.parametrize("change", ["tau", "settings"])
def test_a_compiled_update_follows_an_attribute_that_changes_between_epochs(change: str) -> None:
    def soften(trainer: Trainer) -> None:
        if change == "tau":
            trainer.model.tau = 10.0
        else:
            trainer.model.settings.epochs = 10

    ends = []
    for execution in ("eager", "compiled"):
        one = trainer(At(1, soften), epochs=2, execution=execution, make=partial(optimizer, "adamw", lr=0.1))
        one.fit([BATCH])
        ends.append(one.measures["train/loss"])
    assert ends[1] == pytest.approx(ends[0], rel=1e-4)


@compiles
def test_compiled_programs_are_reused_while_nothing_changes() -> None:
    one = trainer(execution="compiled", epochs=1)
    one.fit([BATCH], {"val": [BATCH]})
    kept = one.updates["train"].programs
    one.config = one.config.model_copy(update={"epochs": 3})
    one.fit([BATCH], {"val": [BATCH]})
    assert one.updates["train"].programs is kept


# ---- learning rates --------------------------------------------------------------------------------------


def test_a_learning_rate_set_by_a_callback_persists() -> None:
    watch = At(1, set_lr(0.5))
    trainer(watch).fit([BATCH] * 2)
    assert watch.rates == [0.1, 0.1, 0.5, 0.5, 0.5, 0.5]


def test_the_schedule_continues_from_a_learning_rate_set_by_a_callback() -> None:
    halved = At(1, lambda trainer: set_lr(trainer.optimizers["train"].param_groups[0]["lr"] / 2)(trainer))
    usual = At(-1, print)
    for watch in (halved, usual):
        trainer(watch, schedule=cosine(8)).fit([BATCH] * 2)
    assert halved.rates[:2] == usual.rates[:2]
    assert halved.rates[2:] == pytest.approx([rate / 2 for rate in usual.rates[2:]])


def test_a_pytorch_plateau_stepped_in_a_callback_lowers_the_rate() -> None:
    class Plateau(Callback):
        def on_train_start(self, trainer: Trainer) -> None:
            made = torch.optim.lr_scheduler.ReduceLROnPlateau
            self.scheduler = made(trainer.optimizers["train"], patience=0)

        def on_epoch_end(self, trainer: Trainer) -> None:
            self.scheduler.step(1.0)

    watch = At(-1, print)
    trainer(Plateau(), watch).fit([BATCH])
    assert watch.rates == pytest.approx([0.1, 0.1, 0.01])


def test_resuming_keeps_the_learning_rate_set_by_a_callback(runs: Any) -> None:
    class Saves(Callback):
        def on_epoch_end(self, trainer: Trainer) -> None:
            if trainer.epoch == 2:
                set_lr(0.7)(trainer)
                save(run, trainer)

    run = Run.create(runs, "test", "")
    whole = trainer(At(1, set_lr(0.5)), Saves(), epochs=4, schedule=cosine(8))
    whole.fit([BATCH] * 2)
    watch = At(-1, print)
    second = trainer(watch, epochs=4, schedule=cosine(8))
    assert restore(run, second)
    second.fit([BATCH] * 2)
    assert watch.rates[0] == pytest.approx(0.7 * cosine(8)(4) / cosine(8)(3))
    assert torch.equal(second.model.output.weight, whole.model.output.weight)


def test_a_state_without_rates_still_loads() -> None:
    one = trainer(schedule=cosine(3))
    one.fit([BATCH])
    state = one.state_dict()
    del state["rates"]
    other = trainer()
    other.load_state_dict(state)
    assert other.base_lrs == {"train": [0.1]}


def test_an_added_parameter_group_keeps_its_own_rate(runs: Any) -> None:
    extra = nn.Parameter(torch.zeros(2))
    group = {"params": [extra], "lr": 0.3}
    one = trainer(At(1, lambda trainer: trainer.optimizers["train"].add_param_group(group)))
    one.fit([BATCH])
    assert one.base_lrs == {"train": [0.1, 0.3]}
    run = Run.create(runs, "test", "")
    save(run, one)
    with pytest.raises(RunError, match=r"groups of \[2, 1\] tensors, expected \[2\]"):
        restore(run, trainer())


def test_a_learning_rate_may_be_a_tensor(runs: Any) -> None:
    run, make = Run.create(runs, "test", ""), partial(torch.optim.Adam, lr=torch.tensor(0.01))
    one = trainer(make=make)
    one.fit([BATCH])
    set_lr(torch.tensor(0.02))(one)  # type: ignore[arg-type]
    save(run, one)
    other = trainer(make=make, epochs=4)
    assert restore(run, other)
    other.fit([BATCH])
    assert other.base_lrs["train"] == pytest.approx([0.02])


# ---- extra states of modules -----------------------------------------------------------------------------


class Extra(Tempered):
    """Keeps an extra state of any kind."""

    def __init__(self, state: Any):
        super().__init__()
        self.state = state

    def get_extra_state(self) -> Any:
        return self.state

    def set_extra_state(self, state: Any) -> None:
        self.state = state


@pytest.mark.parametrize("state", [{"seen": 3, "share": 0.1 + 0.2, "names": ["a"]}, torch.tensor([0.1, 2.0])])
@pytest.mark.parametrize("ema", [None, 0.9])
def test_extra_state_is_restored_unchanged(runs: Any, state: Any, ema: float | None) -> None:
    run, one = Run.create(runs, "test", ""), trainer(model=nn.Sequential(Extra(state)), ema=ema)
    one.fit([BATCH])
    save(run, one)
    blank = torch.zeros(2) if isinstance(state, Tensor) else {}
    other, predicting = trainer(model=nn.Sequential(Extra(blank)), ema=ema), nn.Sequential(Extra(blank))
    assert restore(run, other)
    load_weights(predicting, find_weights(run))
    for model in (other.model, predicting):
        found = model[0].state
        assert torch.equal(found, state) if isinstance(state, Tensor) else found == state
    assert torch.equal(other.model[0].output.weight, one.model[0].output.weight)


def test_extra_state_that_cannot_be_saved_is_named(runs: Any) -> None:
    one = trainer(model=nn.Sequential(Extra({"seen": torch.ones(2)})))
    with pytest.raises(ModelError, match=r"0 \(Extra\).*expected get_extra_state\(\) to return a tensor"):
        save(Run.create(runs, "test", ""), one)


# ---- plain values ----------------------------------------------------------------------------------------


def test_a_measure_may_be_a_tensor_of_one_number(runs: Any) -> None:
    class Measures(Callback):
        def on_epoch_end(self, trainer: Trainer) -> None:
            trainer.measures["v"] = torch.tensor(1.5)  # type: ignore[assignment]

    run, monitor = Run.create(runs, "test", ""), Monitor("v", "max")
    one = trainer(Measures(), monitor)
    one.fit([BATCH])
    state = read_state(save(run, one))
    assert state["trainer"]["measures"]["v"] == 1.5
    assert type(one.measures["v"]) is float
    assert monitor.best is not None
    assert monitor.best["value"] == 1.5


def test_a_measure_of_many_numbers_is_refused() -> None:
    class Measures(Callback):
        def on_epoch_end(self, trainer: Trainer) -> None:
            trainer.measures["v"] = torch.ones(2)  # type: ignore[assignment]

    with pytest.raises(UsageError, match=r"Measures set trainer.measures\['v'\] to a Tensor of shape \(2,\)"):
        trainer(Measures()).fit([BATCH])


def test_a_tensor_in_the_state_of_a_callback_is_named(runs: Any) -> None:
    class Keeps(Callback):
        def state_dict(self) -> dict[str, Any]:
            return {"seen": [1, {"mean": torch.ones(2)}]}

    with pytest.raises(UsageError, match=r"callback Keeps .* a Tensor of shape \(2,\) for 'seen\[1\].mean'"):
        save(Run.create(runs, "test", ""), trainer(Keeps()))


def test_a_misspelt_event_is_refused() -> None:
    class Rates(Callback):
        def on_epoch_ends(self, trainer: Trainer) -> None: ...

    with pytest.raises(UnknownNameError, match=r"Rates named 'on_epoch_ends'. Did you mean 'on_epoch_end'"):
        trainer(Rates())
