"""A profile assigns each second to the part that spent it."""

from __future__ import annotations

import time

import pytest
import torch

from pellucid.train import profile
from pellucid.train.callbacks import Callback
from pellucid.train.profile import Profile, Profiler, Stopwatch
from tests.train.conftest import network, trainer


class Slow(Callback):
    def on_step_end(self, trainer) -> None:
        time.sleep(0.01)


class SlowBatches:
    def __init__(self, batches):
        self.batches = batches

    def __len__(self) -> int:
        return len(self.batches)

    def epoch(self, number: int, start: int = 0):
        for batch in self.batches.epoch(number, start):
            time.sleep(0.01)
            yield batch


@pytest.fixture
def profiled(batches, held_out, monkeypatch):
    monkeypatch.setattr(profile, "SECONDS", 0.3)
    monkeypatch.setattr(profile, "SIDE", 64)

    def profiled(made=batches, *, callbacks=(), **config) -> Profile:
        profiler = Profiler()
        return profiler.profile(
            trainer(callbacks=[*callbacks, profiler], epochs=10_000, **config), made, held_out
        )

    return profiled


def test_time_of_an_inner_part_is_not_counted_for_the_outer_one() -> None:
    watch = Stopwatch()
    with watch.of("outer"):
        time.sleep(0.02)
        with watch.of("inner"):
            time.sleep(0.05)
    assert watch.seconds["inner"] == pytest.approx(0.05, abs=0.02)
    assert watch.seconds["outer"] == pytest.approx(0.02, abs=0.02)


def test_every_part_is_timed(profiled) -> None:
    found = profiled()
    assert found.updates > 10
    assert found.rows == 32
    assert all(found.parts[part] > 0 for part in ("data", "forward", "backward", "optimizer", "rest"))
    assert found.parts["saving"] == 0
    assert found.measuring > 0
    assert found.double is not None


def test_slow_batches_are_found(profiled, batches) -> None:
    found = profiled(SlowBatches(batches))
    assert found.parts["data"] > 0.01
    assert found.parts["data"] > 0.6 * found.seconds


def test_a_slow_callback_is_named(profiled) -> None:
    found = profiled(callbacks=[Slow()])
    assert found.by_callback["Slow"] > 0.01
    assert found.parts["callbacks"] == pytest.approx(sum(found.by_callback.values()))


def test_operations_are_counted(profiled) -> None:
    weights = [parameter for parameter in network().parameters() if parameter.ndim == 2]
    forward = 2 * 32 * sum(weight.numel() for weight in weights)
    first_layer = 2 * 32 * 64 * 32  # whose input needs no gradient
    assert profiled().flops == 3 * forward - first_layer


def test_operations_that_cannot_be_counted_are_left_out(batches, monkeypatch) -> None:
    class Uncountable:
        def __init__(self, display: bool):
            raise NotImplementedError

    monkeypatch.setattr(profile, "FlopCounterMode", Uncountable)
    made = trainer()
    assert profile._flops(made, next(iter(batches))) == 0.0
    assert all(parameter.grad is None for parameter in made.model.parameters())


def test_only_batches_of_tensors_are_doubled() -> None:
    assert profile._twice(trainer(), (torch.zeros(2, 64), ["left", "right"])) is None
