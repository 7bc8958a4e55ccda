"""A training run that is stopped anywhere and resumed equals an uninterrupted one bit for bit."""

import os
import signal

import pytest
import torch
from torch import nn

from pellucid.config import Augment
from pellucid.data.augment import Augmenter
from pellucid.data.batches import Batches, MemoryRows
from pellucid.errors import ModelError, RunError
from pellucid.record import Run
from pellucid.train.callbacks import (
    Callback,
    EarlyStopping,
    Monitor,
    Recorder,
    ReduceOnPlateau,
    SignalHandler,
)
from pellucid.train.checkpoint import Checkpointer, load_weights, look_back, restore, save
from pellucid.train.schedules import ReduceOnPlateau as Rule
from pellucid.train.schedules import one_cycle
from tests.train.conftest import compiles, network, trainer


class InterruptAt(Callback):
    def __init__(self, step):
        self.step = step

    def on_step_end(self, trainer):
        if trainer.step == self.step:
            trainer.interrupt("by the test")


class Conv(nn.Module):
    """Channels-last weights, whose optimizer moments must come back in the same layout."""

    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(1, 8, 3), nn.ReLU(), nn.Conv2d(8, 8, 3), nn.Flatten(), nn.Linear(128, 10)
        )

    def forward(self, x):
        return self.body(x.reshape(-1, 1, 8, 8))


def build(runs, model, run=None, *, at=None, **config):
    """A trainer with every part that has a state."""
    torch.manual_seed(0)
    run = run or Run.create(runs, "test", "")
    monitor = Monitor("val/accuracy", "max")
    callbacks = [
        monitor,
        EarlyStopping("val/loss", "min", 50),
        ReduceOnPlateau("val/loss", Rule(patience=0)),
        Recorder(run, 1),
    ]
    callbacks += [InterruptAt(at)] if at is not None else []
    callbacks += [Checkpointer(run, monitor, seconds=1e9)]
    return run, trainer(model(), callbacks=callbacks, epochs=4, schedule=one_cycle(40), **config)


def final(run, mine):
    tensors = dict(mine.model.state_dict())
    if mine.average:
        tensors |= {f"average/{name}": tensor for name, tensor in mine.average.tensors.items()}
    names = [key for key in run.store.keys() if key != "epoch_seconds"]  # noqa: SIM118 (not a dict)
    metrics = {key: run.store.series(key) for key in names}
    return tensors, metrics, mine.measures


PLAIN: dict[str, object] = {}
KINDS = {
    "dropout and batch norm": (network, PLAIN),
    "channels last": (Conv, {"execution": "channels_last"}),
    "compiled": (network, {"execution": "compiled"}),
}


@pytest.mark.parametrize(
    "kind", [pytest.param(kind, marks=compiles if kind == "compiled" else ()) for kind in KINDS]
)
@pytest.mark.parametrize(
    "config", [PLAIN, {"ema": 0.9, "gradient_accumulation_steps": 2}], ids=["plain", "ema"]
)
def test_resumed_training_is_bit_identical(runs, batches, held_out, kind, config):
    model, more = KINDS[kind]
    config = {**config, **more}
    run, control = build(runs, model, **config)
    control.fit(batches, {"val": held_out})
    expected = final(run, control)
    for stop in (1, len(batches) // 2, control.step - 1):
        torch.manual_seed(stop)  # whatever state the process is in
        run, first = build(runs, model, at=stop, **config)
        first.fit(batches, {"val": held_out})
        assert first.interrupted
        _, second = build(runs, model, run, **config)
        torch.manual_seed(99)
        assert restore(run, second)
        second.fit(batches, {"val": held_out})
        tensors, metrics, measures = final(run, second)
        assert all(torch.equal(tensors[name], tensor) for name, tensor in expected[0].items())
        assert (metrics, measures) == expected[1:]


def test_training_resumes_from_a_checkpoint_before_the_first_step(runs, batches, held_out):
    run, control = build(runs, network)
    control.fit(batches, {"val": held_out})
    expected = final(run, control)
    run, first = build(runs, network)
    save(run, first)
    _, second = build(runs, network, run)
    assert restore(run, second)
    second.fit(batches, {"val": held_out})
    tensors, metrics, measures = final(run, second)
    assert all(torch.equal(tensors[name], tensor) for name, tensor in expected[0].items())
    assert (metrics, measures) == expected[1:]


def test_augmentation_resumes_bit_for_bit(runs, digits, held_out):
    inputs, targets = digits
    augment = Augmenter(Augment(shift=0.2, mixup=0.4), 10)
    images = Batches(
        MemoryRows(inputs[:300].reshape(-1, 1, 8, 8), targets[:300]), 32, shuffle=True, augment=augment
    )
    run, control = build(runs, Conv)
    control.fit(images, {"val": held_out})
    run, first = build(runs, Conv, at=13)
    first.fit(images, {"val": held_out})
    _, second = build(runs, Conv, run)
    restore(run, second)
    second.fit(images, {"val": held_out})
    assert all(
        torch.equal(mine, theirs)
        for mine, theirs in zip(
            second.model.state_dict().values(), control.model.state_dict().values(), strict=True
        )
    )


def test_a_damaged_checkpoint_is_skipped_with_a_notice(runs, batches, held_out):
    run, control = build(runs, network)
    control.fit(batches, {"val": held_out})
    run, first = build(runs, network)
    first.fit(batches, {"val": held_out})
    newest = run.checkpoints.latest()[0]
    (newest / "optimizer.safetensors").write_bytes(b"\0" * 100)
    _, second = build(runs, network, run)
    assert restore(run, second)
    assert second.step < first.step
    assert "truncated or altered" in run.facts["notes"][0]
    second.fit(batches, {"val": held_out})
    assert second.step == control.step
    assert torch.equal(second.model[0].weight, control.model[0].weight)


def test_loading_an_earlier_step_changes_nothing_on_disk(runs, batches, held_out):
    run = Run.create(runs, "looked at", "")
    keeper = Checkpointer(run, Monitor("val/loss"), seconds=0, keep=100)
    made = trainer(epochs=3, callbacks=[Monitor("val/loss"), Recorder(run), keeper])
    keeper.monitor = made.callbacks[0]
    made.fit(batches, {"val": held_out})
    before = {path: path.stat().st_mtime_ns for path in run.path.rglob("*") if path.is_file()}
    series = run.store.series("val/loss")
    viewer = trainer(epochs=3, callbacks=[Monitor("val/loss"), Recorder(run)])
    assert look_back(run, viewer, 7) == viewer.step == 7
    assert look_back(run, viewer, -1) is None
    assert run.store.series("val/loss") == series
    assert {path: path.stat().st_mtime_ns for path in run.path.rglob("*") if path.is_file()} == before


def test_restoring_without_a_checkpoint_does_nothing(runs):
    run, mine = build(runs, network)
    assert not restore(run, mine)


def test_weights_of_another_model_are_refused_by_name(runs):
    run, mine = build(runs, network)
    folder = save(run, mine)
    before = Conv()
    kept = {name: tensor.clone() for name, tensor in before.state_dict().items()}
    with pytest.raises(ModelError) as caught:
        load_weights(before, folder / "model.safetensors")
    assert "body.0.weight is missing" in str(caught.value)
    wide = nn.Sequential(nn.Linear(64, 33), nn.BatchNorm1d(33), nn.ReLU(), nn.Dropout(), nn.Linear(33, 10))
    with pytest.raises(ModelError, match=r"0\.weight is \(32, 64\), expected \(33, 64\)"):
        load_weights(wide, folder / "model.safetensors")
    assert all(torch.equal(before.state_dict()[name], tensor) for name, tensor in kept.items())


def test_a_file_that_is_not_a_checkpoint_is_refused(tmp_path):
    (tmp_path / "model.safetensors").write_bytes(b"nothing of the kind")
    with pytest.raises(RunError, match="cannot be read"):
        load_weights(network(), tmp_path / "model.safetensors")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_finishes_the_step_and_saves(runs, batches, held_out, number):
    class Kill(Callback):
        def on_backward_end(self, trainer):
            if trainer.step == 6:
                os.kill(os.getpid(), number)

    run, mine = build(runs, network)
    mine.callbacks[:0] = [Kill(), SignalHandler()]
    mine = trainer(network(), callbacks=mine.callbacks, epochs=4)
    before = signal.getsignal(number)
    mine.fit(batches, {"val": held_out})
    assert mine.interrupted
    assert mine.step == 7  # the step at hand was finished
    assert run.checkpoints.latest()[0].name == "step-00000007"
    assert signal.getsignal(number) is before
