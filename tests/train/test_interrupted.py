"""Whenever a training run is broken off, the resumed run ends as if it had never stopped."""

import pytest
import torch

from pellucid.record import Run
from pellucid.train.callbacks import Callback, EarlyStopping, Monitor, Recorder
from pellucid.train.checkpoint import Checkpointer, restore
from tests.train.conftest import trainer

EVENTS = ["on_epoch_start", "on_backward_end", "on_step_end", "on_epoch_end"]


class Counts(Callback):
    """A callback with a state that every event changes."""

    def __init__(self):
        self.seen = dict.fromkeys(EVENTS[1:], 0)

    def on_backward_end(self, trainer):
        self.seen["on_backward_end"] += 1

    def on_step_end(self, trainer):
        self.seen["on_step_end"] += 1

    def on_epoch_end(self, trainer):
        self.seen["on_epoch_end"] += 1

    def state_dict(self):
        return {"seen": self.seen}

    def load_state_dict(self, state):
        self.seen = dict(state["seen"])


class Once(Callback):
    """Do something at one event, once its condition holds."""

    def __init__(self, event, when, act):
        self.event, self.when, self.act, self.done = event, when, act, False

    def _do(self, event, trainer):
        if event == self.event and not self.done and self.when(trainer):
            self.done = True
            self.act(trainer)

    def on_epoch_start(self, trainer):
        self._do("on_epoch_start", trainer)

    def on_backward_end(self, trainer):
        self._do("on_backward_end", trainer)

    def on_step_end(self, trainer):
        self._do("on_step_end", trainer)

    def on_epoch_end(self, trainer):
        self._do("on_epoch_end", trainer)


def build(runs, run=None, acts=(), patience=50, seconds=1e9, **config):
    run = run or Run.create(runs, "test", "")
    monitor = Monitor("val/accuracy", "max")
    stopping = EarlyStopping("val/loss", "min", patience, min_delta=0.0 if patience > 1 else 10.0)
    callbacks = [*acts, Counts(), monitor, stopping, Recorder(run, 1)]
    callbacks.append(Checkpointer(run, monitor, seconds=seconds))
    return run, trainer(callbacks=callbacks, **{"epochs": 4, **config})


def resumed(runs, run, batches, held_out, **config):
    _, second = build(runs, run, **config)
    torch.manual_seed(99)  # whatever state the process is in
    assert restore(run, second)
    second.fit(batches, {"val": held_out})
    return run, second


def same(one, other):
    (run, control), (again, mine) = one, other
    weights, theirs = control.model.state_dict(), mine.model.state_dict()
    assert all(torch.equal(theirs[name], tensor) for name, tensor in weights.items())
    keys = [key for key in run.store.keys() if key != "epoch_seconds"]  # noqa: SIM118 (not a dict)
    assert {key: again.store.series(key) for key in keys} == {key: run.store.series(key) for key in keys}
    facts = [(each.step, each.epoch, each.stop_reason, each.callbacks[0].seen) for each in (control, mine)]
    assert facts[0] == facts[1]


def fail(trainer):
    raise KeyboardInterrupt  # as a second Ctrl-C does, wherever the program is


@pytest.mark.parametrize("event", EVENTS)
def test_an_exception_leaves_no_half_done_step_in_a_checkpoint(runs, batches, held_out, event):
    control = build(runs)
    control[1].fit(batches, {"val": held_out})
    at = Once(event, lambda trainer: trainer.epoch >= 1 and trainer.step >= 14, fail)
    run, first = build(runs, acts=[at])
    with pytest.raises(KeyboardInterrupt):
        first.fit(batches, {"val": held_out})
    same(control, resumed(runs, run, batches, held_out))


ENDS = {
    "early stopping": {"patience": 1},
    "the maximum of steps at the end of an epoch": {"max_steps": 20},
    "the maximum of steps": {"max_steps": 14},
}


@pytest.mark.parametrize("event", ["on_step_end", "on_epoch_end"])
@pytest.mark.parametrize("end", ENDS)
def test_a_run_that_was_interrupted_while_it_ended_has_ended(runs, batches, held_out, end, event):
    config = ENDS[end]
    control = build(runs, **config)
    control[1].fit(batches, {"val": held_out})
    last = control[1].step
    act = Once(event, lambda trainer: trainer.step == last, lambda trainer: trainer.interrupt("SIGINT"))
    run, first = build(runs, acts=[act], **config)
    first.fit(batches, {"val": held_out})
    assert first.interrupted
    assert first.stop_reason == "SIGINT"
    same(control, resumed(runs, run, batches, held_out, **config))


def test_a_crash_after_the_last_step_leaves_its_epoch_to_be_measured(runs, batches, held_out):
    control = build(runs, max_steps=14)
    control[1].fit(batches, {"val": held_out})

    run, first = build(runs, seconds=0, max_steps=14)
    with pytest.raises(MemoryError):
        first.fit(batches, {"val": FailsAfter(held_out, 1)})
    assert run.checkpoints.latest()[0].name == "step-00000014"
    same(control, resumed(runs, run, batches, held_out, max_steps=14))


class FailsAfter:
    """Batches that can be measured a number of times."""

    def __init__(self, batches, times):
        self.batches, self.times = batches, times

    def __iter__(self):
        if not self.times:
            raise MemoryError
        self.times -= 1
        return iter(self.batches)
