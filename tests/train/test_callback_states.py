"""The state of a callback is saved under its key and returns to the callback with that key only."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
import torch
from torch import nn

from pellucid.config import TrainConfig
from pellucid.errors import ResumeError, UsageError
from pellucid.tasks.classification.objective import classification
from pellucid.train.callbacks import Callback, EarlyStopping, Monitor
from pellucid.train.trainer import Trainer

BATCH = (torch.rand(8, 4, generator=torch.Generator().manual_seed(0)), torch.arange(8) % 3)


class Counts(Callback):
    """Counts epochs from a start."""

    def __init__(self, start: int, key: str = ""):
        self.count, self.state_key = start, key

    def on_epoch_end(self, trainer: Trainer) -> None:
        self.count += 1

    def state_dict(self) -> dict[str, Any]:
        return {"count": self.count}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.count = state["count"]


def trainer(*callbacks: Callback) -> Trainer:
    plan = TrainConfig(epochs=1, device="cpu", execution="eager")
    make = partial(torch.optim.SGD, lr=0.1)
    return Trainer(nn.Linear(4, 3), classification(), make, plan, callbacks=callbacks)


def after_training(*callbacks: Callback) -> dict[str, Any]:
    one = trainer(*callbacks)
    one.fit([BATCH])
    return one.state_dict()


def test_two_callbacks_of_a_class_get_their_own_states_in_any_order() -> None:
    state = after_training(Counts(10, "ten"), Counts(20, "twenty"))
    first, second, new = Counts(0, "twenty"), Counts(0, "ten"), Counts(0, "new")
    notes = trainer(new, first, second).load_state_dict(state)
    assert (first.count, second.count, new.count) == (21, 11, 0)
    assert notes == ["The checkpoint has no state of the callback new; it starts anew."]


def test_callbacks_with_a_state_need_keys_that_differ() -> None:
    with pytest.raises(UsageError, match=r"Two callbacks save their state as 'Counts'.*(?s:.)*state_key"):
        trainer(Counts(0), Counts(1))
    trainer(Callback(), Callback())  # without a state there is nothing to mix up


def test_a_state_without_its_callback_is_named() -> None:
    (note,) = trainer().load_state_dict(after_training(Counts(0, "mine")))
    assert "the state of a callback mine" in note
    assert "ignored" in note


def test_a_monitor_of_another_metric_does_not_take_over_the_best() -> None:
    state = after_training(Monitor("train/loss"), EarlyStopping("train/loss", "min", 3))
    other, same = Monitor("val/accuracy", "max"), EarlyStopping("train/loss", "min", 3)
    trainer(other, same).load_state_dict(state)
    assert other.best is None
    assert same.best is not None


def test_states_of_earlier_versions_are_found_by_the_name_of_the_class() -> None:
    state = after_training(Monitor("train/loss"))
    best = state["callbacks"][0][1]
    state["callbacks"] = [["NonFiniteGuard", {}], ["Monitor", best]]
    monitor = Monitor("train/loss")
    assert trainer(monitor).load_state_dict(state) == []
    assert monitor.best == best["best"]


def test_a_state_that_cannot_be_loaded_is_named() -> None:
    state = after_training(Counts(0))
    state["callbacks"] = [["Counts", {"number": 3}]]
    with pytest.raises(ResumeError, match=r"callback Counts cannot load its state .*KeyError"):
        trainer(Counts(0)).load_state_dict(state)
