"""Training for a given time, on a clock that the test moves."""

from __future__ import annotations

import json
from functools import partial
from typing import Any

import pytest
import torch
from torch import nn

from pellucid.config import TrainConfig
from pellucid.train.budget import Budget, Plan, TimePlanner
from pellucid.train.callbacks import Callback
from pellucid.train.objective import Objective, Phase
from pellucid.train.optimizers import optimizer
from pellucid.train.schedules import cosine
from pellucid.train.trainer import Trainer


class Clock(Callback):
    """A machine: every update and every validation takes some seconds of its clock."""

    needs = frozenset()

    def __init__(self, update: float, validation: float = 0.0, slower_from: int | None = None):
        self.now, self.update, self.validation, self.slower_from = 0.0, update, validation, slower_from
        self.lrs: list[float] = []

    def __call__(self) -> float:
        return self.now

    def on_step_end(self, trainer: Trainer) -> None:
        slow = self.slower_from is not None and trainer.step > self.slower_from
        self.now += 3 * self.update if slow else self.update
        self.lrs.append(trainer.optimizers["only"].param_groups[0]["lr"])

    def on_epoch_end(self, trainer: Trainer) -> None:
        self.now += self.validation


class Stop(Callback):
    def __init__(self, at: int):
        self.at = at

    def on_step_end(self, trainer: Trainer) -> None:
        if trainer.step == self.at:
            trainer.interrupt("enough")


def made(clock: Clock, minutes: float = 1.0, end: float = 0.0, batches: int = 10, **more: Any) -> Any:
    """Return a trainer of one linear layer and its planner."""
    torch.manual_seed(0)

    def loss(model: nn.Module, batch: Any) -> torch.Tensor:
        return model(batch[0]).square().mean()

    def measure(model: nn.Module, batch: Any) -> dict[str, Any]:
        return {"loss": (model(batch[0]).square().sum(), torch.tensor(len(batch[0])))}

    data = [(torch.full((2, 3), float(i)), torch.zeros(2)) for i in range(batches)]
    planner = TimePlanner(Budget(minutes, clock=clock), data, schedule_steps=batches, **more)
    planner.end = end
    trainer = Trainer(
        nn.Linear(3, 1),
        Objective("square", (Phase("only", loss),), measure),
        partial(optimizer, "sgd", lr=0.1),
        TrainConfig(epochs=10**9, device="cpu", execution="eager"),
        schedule=cosine(batches),
        callbacks=[clock, planner],
    )
    return trainer, planner


def trained(trainer: Trainer, planner: TimePlanner) -> None:
    trainer.fit(planner.rounds, {"val": planner.rounds.batches[:1]})


@pytest.mark.parametrize("update", [0.1, 1.0, 5.0])
@pytest.mark.parametrize("validation", [0.0, 0.5, 4.0])
@pytest.mark.parametrize("end", [0.0, 15.0])
def test_training_and_its_end_take_the_time_that_was_asked_for(
    update: float, validation: float, end: float
) -> None:
    clock = Clock(update, validation)
    trainer, planner = made(clock, end=end)
    trained(trainer, planner)
    assert 0.7 <= (clock.now + end) / 60 <= 1.1
    assert clock.lrs[-1] < 0.03  # the schedule has come to its end
    assert clock.lrs[0] == pytest.approx(0.1, rel=0.01)


def test_a_machine_that_becomes_slower_has_fewer_updates_and_the_schedule_still_ends() -> None:
    clock, slow = Clock(0.05), Clock(0.05, slower_from=400)
    for each in (clock, slow):
        trained(*made(each))
    assert len(slow.lrs) < 0.7 * len(clock.lrs)
    assert 0.7 <= slow.now / 60 <= 1.1
    assert slow.lrs[-1] < 0.01
    assert all(after <= before + 1e-12 for before, after in zip(slow.lrs, slow.lrs[1:], strict=False))


def test_short_epochs_are_validated_together_and_long_ones_inside() -> None:
    for batches, rounds in ((10, range(5, 70)), (10_000, range(5, 12))):
        clock = Clock(0.1)
        trainer, planner = made(clock, batches=batches)
        trained(trainer, planner)
        assert trainer.epoch in rounds
        assert trainer.epochs_done == pytest.approx(trainer.step / batches, abs=1e-4)


def test_validation_that_takes_long_is_done_seldom() -> None:
    clock = Clock(0.05, validation=3.0)
    trainer, planner = made(clock)
    trained(trainer, planner)
    assert 3 * trainer.epoch < 0.3 * clock.now


def test_time_that_is_gone_ends_training_after_one_update() -> None:
    clock = Clock(0.05)
    trainer, planner = made(clock, end=58.5)
    trained(trainer, planner)
    assert trainer.step == 1
    assert "1 minutes" in trainer.stop_reason


def test_a_resumed_run_continues_with_its_plan() -> None:
    whole, clock = Clock(0.05), Clock(0.05)
    trained(*made(whole))
    trainer, planner = made(clock)
    trainer.callbacks.append(stop := Stop(543))
    trainer._listeners["on_step_end"].append(stop)
    trained(trainer, planner)
    state = json.loads(json.dumps(trainer.state_dict()))
    again = Clock(0.05)
    later, its = made(again)
    later.optimizers["only"].load_state_dict(trainer.optimizers["only"].state_dict())
    later.load_state_dict(state)
    assert its.plan == planner.plan is not None
    assert its.budget.used == pytest.approx(planner.budget.used)
    assert its.schedule_step(543) == planner.schedule_step(543)
    assert its.rounds.at == planner.rounds.at == (54, 3)
    trained(later, its)
    assert clock.lrs + again.lrs[:1] == whole.lrs[:544]
    assert 0.7 <= (clock.now + again.now) / 60 <= 1.1


def test_a_revised_plan_goes_on_from_the_share_that_is_done() -> None:
    plan = Plan(total=100, validate_at=50).revised(40, 60)
    assert (plan.at(40), plan.at(50), plan.at(60), plan.at(99)) == pytest.approx((0.4, 0.7, 1.0, 1.0))


def test_the_end_is_rehearsed_again_where_it_takes_much_of_the_time() -> None:
    clock = Clock(0.05)
    trainer, planner = made(clock, end=30.0)
    planner.rehearse = lambda: (3.0, 7)
    trained(trainer, planner)
    assert (planner.end, planner.evaluated_rows) == (3.0, 7)
    assert 0.7 <= (clock.now + 3.0) / 60 <= 1.1


def test_a_schedule_of_whole_steps_gets_whole_steps() -> None:
    _, planner = made(Clock(0.05), whole_steps=True)
    planner.plan = Plan(total=100)
    assert [planner.schedule_step(step) for step in (0, 15, 100)] == [0, 1, 10]


def test_batches_without_a_length_are_passed_again_and_again() -> None:
    clock = Clock(0.05)
    trainer, planner = made(clock)
    planner.rounds.length = 0
    trained(trainer, planner)
    assert trainer.epochs_done == planner.rounds.at[0] > 50
