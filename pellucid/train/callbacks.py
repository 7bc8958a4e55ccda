"""Callbacks: observers of the training loop.

A callback observes events, and can end training with `trainer.stop(reason)`. Events, in order:

    on_train_start
      on_epoch_start
        on_backward_end    gradients exist, weights have not changed yet; `trainer.loss`, `trainer.batch`.
                           A callback that only reads the loss sets `needs = frozenset()`: then an update may
                           be compiled, which changes nothing if the loss is not finite
        on_losses          (step, loss, learning rate) of the updates since the last call, of the first phase
        on_phase_losses    the same for every phase by name, if an objective has several
        on_step_end        an optimizer update is done; `trainer.step` counts it
      on_epoch_end         `trainer.measures` holds the metrics of the epoch
    on_train_end           always, also after a stop; where a callback's `on_train_start` raises, only those
                           that started before it get theirs

A callback returns the state that must survive a restart from `state_dict`. A checkpoint does not hold
`requires_grad`, plain attributes of modules, buffers that are not persistent or a `torch.Generator` of your
own. A callback that changes one of these must save it, or set it again in `on_train_start`.
"""

from __future__ import annotations

import math
import signal
import time
from collections.abc import Callable, Iterable
from types import FrameType
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import psutil
import torch
from torch import nn

from pellucid.batch import as_batch, leaves, tensors
from pellucid.diagnosis import Facts, NonFinite, examine, setting_of
from pellucid.errors import UnknownNameError
from pellucid.lens.capture import capture
from pellucid.record import Run
from pellucid.train.schedules import ReduceOnPlateau as PlateauRule

if TYPE_CHECKING:
    from pellucid.train.trainer import Trainer

EVENTS = (
    "on_train_start",
    "on_epoch_start",
    "on_backward_end",
    "on_losses",
    "on_phase_losses",
    "on_step_end",
    "on_epoch_end",
    "on_train_end",
)


class Callback:
    """Base class; every event does nothing."""

    old_name: ClassVar[str] = ""
    """Name of the class in checkpoints of an earlier version."""

    needs: ClassVar[frozenset[str]] = frozenset({"gradients"})
    """What `on_backward_end` needs: "gradients", or nothing except the loss."""

    state_key: Any = ""
    """The name of the callback's state in a checkpoint; "": the name of its class. Set it, or define it as a
    property, where several callbacks of one class have a state."""

    def on_train_start(self, trainer: Trainer) -> None: ...
    def on_epoch_start(self, trainer: Trainer) -> None: ...
    def on_backward_end(self, trainer: Trainer) -> None: ...
    def on_losses(self, trainer: Trainer, rows: list[tuple[int, float, float]]) -> None: ...
    def on_phase_losses(self, trainer: Trainer, phase: str, rows: list[tuple[int, float, float]]) -> None: ...
    def on_step_end(self, trainer: Trainer) -> None: ...
    def on_epoch_end(self, trainer: Trainer) -> None: ...
    def on_train_end(self, trainer: Trainer) -> None: ...

    def state_dict(self) -> dict[str, Any]:
        """Return the state as plain JSON values; it is saved under `state_key`."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go back to a saved state; it is not called if the checkpoint has none under `state_key`."""


def check_events(callbacks: Iterable[Callback]) -> None:
    """Check that every method on_... of the callbacks is an event.

    Raises:
        UnknownNameError: one is not, and would never be called.
    """
    for callback in callbacks:
        for name in dir(type(callback)):
            if name.startswith("on_") and name not in EVENTS and callable(getattr(type(callback), name)):
                raise UnknownNameError(f"event for the callback {type(callback).__name__}", name, EVENTS)


class Monitor(Callback):
    """Record the best value of a metric, and its epoch.

    Args:
        metric: e.g. "val/accuracy".
        mode: "min" or "max".
        min_delta: minimum improvement that counts.
        tie: a loss that decides between equal values, which are common with few rows.
    """

    def __init__(
        self, metric: str, mode: Literal["min", "max"] = "min", min_delta: float = 0.0, tie: str = "val/loss"
    ):
        self.metric, self.mode, self.min_delta, self.tie = metric, mode, min_delta, tie
        self.best: dict[str, Any] | None = None
        self.improved = False
        self.state_key = f"{type(self).__name__}({metric})"

    def on_epoch_end(self, trainer: Trainer) -> None:
        if self.metric not in trainer.measures:
            raise UnknownNameError("metric", self.metric, trainer.measures)
        value, tie = trainer.measures[self.metric], trainer.measures.get(self.tie, 0.0)
        self.improved = math.isfinite(value) and self._is_better(value, tie)
        if self.improved:
            self.best = {"value": value, "tie": tie, "epoch": trainer.epochs_done, "step": trainer.step}

    def _is_better(self, value: float, tie: float) -> bool:
        if self.best is None:
            return True
        gain = (value - self.best["value"]) * (1 if self.mode == "max" else -1)
        return gain > self.min_delta or (gain == 0 and tie < self.best["tie"])

    def state_dict(self) -> dict[str, Any]:
        return {"best": self.best}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.best = state["best"]


class EarlyStopping(Monitor):
    """Stop when the metric has not improved for `patience` epochs (Prechelt 1998)."""

    def __init__(self, metric: str, mode: Literal["min", "max"], patience: int, min_delta: float = 0.0):
        super().__init__(metric, mode, min_delta)
        self.patience = patience
        self.since = 0  # the epoch from which a run goes on that had ended

    def state_dict(self) -> dict[str, Any]:
        return {**super().state_dict(), **({"since": self.since} if self.since else {})}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        super().load_state_dict(state)
        self.since = state.get("since", 0)

    def on_epoch_end(self, trainer: Trainer) -> None:
        super().on_epoch_end(trainer)
        since = trainer.epochs_done - max(self.best["epoch"] if self.best else 0, self.since)
        if since >= self.patience:
            best = (
                f"{self.best['value']:.4g} at epoch {self.best['epoch']}" if self.best else "never a number"
            )
            trainer.stop(f"{self.metric} has not improved for {since} epochs (best {best})")


class NonFiniteGuard(Callback):
    """Stop at the first non-finite loss, before it reaches the weights, and report where it arose.

    On a CPU the loss is checked in every step; on an accelerator, where a check has to wait for the device,
    in every `every`-th step.
    """

    needs = frozenset()

    def __init__(self, run: Run | None = None, every: int = 50):
        self.run, self.every = run, every

    def on_backward_end(self, trainer: Trainer) -> None:
        if trainer.device.type != "cpu" and trainer.step % self.every:
            return
        if math.isfinite(trainer.loss.item()):
            return
        where, what = locate_non_finite(trainer.model, trainer.batch, trainer.objective.measure_batch)
        if self.run is not None:
            caught = NonFinite(trainer.loss.item(), trainer.step, where, what)
            for finding in examine(Facts(caught=caught, setting=setting_of(self.run))).findings:
                self.run.find(finding)
        reason = f"the loss became {trainer.loss.item()} at step {trainer.step + 1}: {what}"
        if where in ("inputs", "targets"):
            trainer.fail(reason, "fill in or remove these values; torch.isfinite finds them")
        else:
            trainer.fail(reason)


def locate_non_finite(model: nn.Module, batch: Any, run: Callable[[nn.Module, Any], Any]) -> tuple[str, str]:
    """Return (module name, sentence) for the first non-finite output in `run(model, batch)`."""
    for part in ("inputs", "targets"):
        for values in tensors(getattr(as_batch(batch), part)):
            if values.is_floating_point() and not values.isfinite().all():
                return part, f"{int((~values.isfinite()).sum())} values of the batch's {part} are not finite"
    for name, parameter in model.named_parameters():
        if not parameter.isfinite().all():
            return name, f"the weights of {name} are not finite"
    with torch.no_grad(), capture(model, values=_is_finite) as taken:
        run(model, batch)
    for call in sorted((call for call in taken.calls if call.finished), key=lambda call: call.ended or 0):
        if not all(part for part in leaves(call.output) if isinstance(part, bool)):
            first = f"{call.name} ({type(call.module).__name__})" if call.name else type(call.module).__name__
            return first, f"{first} is the first module whose output is not finite"
    return "loss", "every module's output is finite, so the loss function itself overflowed"


def _is_finite(values: torch.Tensor) -> bool:
    return bool(values.isfinite().all())


class Memory(Callback):
    """Record the memory of the process at the end of every epoch, in MiB."""

    def __init__(self) -> None:
        self.process = psutil.Process()

    def on_epoch_end(self, trainer: Trainer) -> None:
        trainer.measures["memory/rss_mb"] = self.process.memory_info().rss / 2**20
        if trainer.device.type == "cuda":
            trainer.measures["memory/cuda_allocated_mb"] = torch.cuda.memory_allocated() / 2**20
            trainer.measures["memory/cuda_reserved_mb"] = torch.cuda.memory_reserved() / 2**20


class SignalHandler(Callback):
    """Let Ctrl-C and SIGTERM end training after the current step with everything saved; twice, at once."""

    SIGNALS = (signal.SIGINT, signal.SIGTERM)

    def __init__(self) -> None:
        self.received: int | None = None
        self._before: dict[int, Any] = {}

    def on_train_start(self, trainer: Trainer) -> None:
        def handle(number: int, frame: FrameType | None) -> None:
            if self.received is not None:
                self._restore()
                raise KeyboardInterrupt
            self.received = number
            trainer.interrupt(f"received {signal.Signals(number).name}")

        try:
            self._before = {number: signal.signal(number, handle) for number in self.SIGNALS}
        except ValueError:  # not the main thread, where signals cannot be handled
            self._before = {}

    def on_train_end(self, trainer: Trainer) -> None:
        self._restore()

    def _restore(self) -> None:
        for number, before in self._before.items():
            signal.signal(number, before)
        self._before = {}


class Recorder(Callback):
    """Record losses, metrics and times in the run, in batches.

    Args:
        run: the run to write to.
        every: number of steps between two points of the curves `step/loss` and `step/lr`. The table `losses`
            has every update.
    """

    def __init__(self, run: Run, every: int = 10):
        self.run, self.every = run, every
        self._epoch_start = 0.0
        self._flushed = time.monotonic()

    def on_epoch_start(self, trainer: Trainer) -> None:
        self._epoch_start = time.perf_counter()

    def on_losses(self, trainer: Trainer, rows: list[tuple[int, float, float]]) -> None:
        self._keep(trainer.objective.phases[0].name, rows)
        for step, loss, lr in rows:
            if step % self.every == 0:
                self.run.store.metrics(step, {"step/loss": loss, "step/lr": lr})
        if time.monotonic() - self._flushed > 1:
            self.run.store.flush()
            self._flushed = time.monotonic()

    def on_phase_losses(self, trainer: Trainer, phase: str, rows: list[tuple[int, float, float]]) -> None:
        if phase != trainer.objective.phases[0].name:
            self._keep(phase, rows)
        for step, loss, _ in rows:
            if step % self.every == 0:
                self.run.store.metrics(step, {f"step/{phase}_loss": loss})

    def _keep(self, phase: str, rows: list[tuple[int, float, float]]) -> None:
        """Keep every loss, as one row of the database for all updates since the last flush."""
        self.run.store.losses(phase, [(step, loss) for step, loss, _ in rows])

    def on_epoch_end(self, trainer: Trainer) -> None:
        seconds = time.perf_counter() - self._epoch_start
        measures = {"epoch": trainer.epochs_done, "epoch_seconds": seconds, **trainer.measures}
        self.run.store.metrics(trainer.step, measures)
        self.run.store.flush()

    def on_train_end(self, trainer: Trainer) -> None:
        trainer.flush_losses()
        self.run.store.flush()


class ReduceOnPlateau(Callback):
    """Lower the learning rate when the metric stalls; the rule is `schedules.ReduceOnPlateau`."""

    def __init__(self, metric: str, rule: PlateauRule):
        self.metric, self.rule = metric, rule

    def on_epoch_end(self, trainer: Trainer) -> None:
        trainer.lr_scale = self.rule.update(trainer.measures[self.metric])

    def state_dict(self) -> dict[str, Any]:
        return self.rule.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.rule.load_state_dict(state)
