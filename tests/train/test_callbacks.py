"""Decisions and records of callbacks."""

import io
import signal

import pytest
from rich.console import Console

from pellucid.errors import MissingExtraError, UnknownNameError
from pellucid.record import Run
from pellucid.train.callbacks import Callback, Memory, Monitor, Recorder, SignalHandler
from pellucid.train.progress import ProgressBar
from pellucid.train.trackers import tracker
from tests.train.conftest import trainer


class Stub:
    """A trainer with fixed metrics."""

    def __init__(self):
        self.measures, self.epoch, self.step = {}, 0, 0

    def say(self, monitor, **measures):
        self.epoch, self.step = self.epoch + 1, self.step + 10
        self.epochs_done = self.epoch
        self.measures = {name.replace("_", "/"): value for name, value in measures.items()}
        monitor.on_epoch_end(self)


def test_lower_loss_breaks_ties_between_best_epochs():
    monitor, stub = Monitor("val/accuracy", "max"), Stub()
    stub.say(monitor, val_accuracy=0.8, val_loss=0.9)
    stub.say(monitor, val_accuracy=0.8, val_loss=0.5)
    assert (monitor.improved, monitor.best["epoch"]) == (True, 2)
    stub.say(monitor, val_accuracy=0.8, val_loss=0.6)
    assert not monitor.improved
    stub.say(monitor, val_accuracy=0.9, val_loss=5.0)
    assert monitor.best == {"value": 0.9, "tie": 5.0, "epoch": 4, "step": 40}


def test_nan_is_never_the_best():
    monitor, stub = Monitor("val/loss", "min"), Stub()
    stub.say(monitor, val_loss=float("nan"))
    assert monitor.best is None
    stub.say(monitor, val_loss=3.0)
    assert monitor.best["value"] == 3.0


def test_callbacks_that_have_started_end_where_a_later_one_refuses_to_train(batches):
    class Refuses(Callback):
        def on_train_start(self, trainer):
            raise MissingExtraError("nothing", "nothing")

        def on_train_end(self, trainer):
            raise AssertionError("it has not started")

    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(MissingExtraError):
        trainer(epochs=1, callbacks=[SignalHandler(), Refuses(), SignalHandler()]).fit(batches)
    assert signal.getsignal(signal.SIGTERM) is before


def test_the_recorder_writes_epochs_and_every_nth_step(runs, batches, held_out):
    run = Run.create(runs, "test", "")
    mine = trainer(epochs=2, callbacks=[Memory(), Recorder(run, every=5)])
    mine.fit(batches, {"val": held_out}, batches)
    total = 2 * len(batches)
    assert [step for step, _ in run.store.series("step/loss")] == list(range(5, total + 1, 5))
    assert [step for step, _ in run.store.series("val/loss")] == [len(batches), total]
    assert run.store.series("val/loss")[-1][1] == mine.measures["val/loss"]
    assert {"train/loss", "train/loss_clean", "train/accuracy", "memory/rss_mb", "epoch_seconds"} <= set(
        run.store.keys()
    )


def test_progress_prints_plain_lines_without_a_terminal(batches, held_out):
    out = io.StringIO()
    mine = trainer(epochs=2, callbacks=[ProgressBar(Console(file=out, width=200), len(batches))])
    mine.fit(batches, {"val": held_out})
    lines = out.getvalue().splitlines()
    assert lines[0].split()[:4] == ["epoch", "train/loss", "val/loss", "val/accuracy"]
    assert len(lines) == 3
    assert f"{100 * mine.measures['val/accuracy']:.2f} %" in lines[-1]
    assert "\x1b" not in out.getvalue()


def test_a_missing_tracker_names_what_to_install(runs, monkeypatch):
    run = Run.create(runs, "test", "")
    for name in ("tensorboard", "mlflow", "wandb"):
        monkeypatch.setitem(__import__("sys").modules, name, None)
        monkeypatch.setitem(__import__("sys").modules, "torch.utils.tensorboard", None)
        with pytest.raises(MissingExtraError, match=rf'pip install "pellucid\[{name}\]"'):
            tracker(name, run)
    with pytest.raises(UnknownNameError, match="tensorboard"):
        tracker("tensorbord", run)
