"""Profile a training run: measure the time of each part of the trainer.

The parts of the trainer are wrapped from outside, so the computation does not change. Time counts for the
innermost part that is running.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import partial, wraps
from itertools import islice
from typing import Any

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from pellucid.batch import map_tensors, num_rows, only_tensors
from pellucid.train.callbacks import EVENTS, Callback
from pellucid.train.checkpoint import Checkpointer
from pellucid.train.compiled import CompiledUpdate
from pellucid.train.execution import ExecutionMode
from pellucid.train.trainer import Trainer

WARM_UP = 5
"""Updates that are not counted, while caches fill and torch selects its kernels."""
SECONDS = 8.0
"""Maximum seconds of training."""
MEASURED = 5
"""Number of batches to evaluate, as after an epoch."""
SIDE = 2048
"""Side of the matrices that measure the peak speed of the machine."""


MEASURING = "measuring"
PARTS = ("data", "forward", "backward", "optimizer", "update", "saving", "callbacks", "rest")


@dataclass(frozen=True)
class Profile:
    """The time of an update by part.

    Attributes:
        parts: seconds per update, by `PARTS`; "update" is the three parts before it in a compiled update.
        by_callback: seconds of "callbacks" by class name.
        updates: number of updates counted.
        rows: rows per batch.
        measuring: seconds to evaluate a batch.
        flops: floating-point operations of an update; 0 if they could not be counted.
        peak: operations per second of matrix products on this machine, in the precision of the mode.
        double: speed with batches twice as large, relative to the current speed; None if not measured.
    """

    parts: dict[str, float]
    by_callback: dict[str, float]
    updates: int
    rows: int
    measuring: float
    flops: float
    peak: float
    double: float | None

    @property
    def seconds(self) -> float:
        """Seconds of an update."""
        return sum(self.parts.values())

    @property
    def share_of_peak(self) -> float:
        """Share of the peak speed while the network computes, 0..1."""
        computing = sum(self.parts[part] for part in ("forward", "backward", "update"))
        return self.flops / max(computing, 1e-9) / self.peak if self.peak else 0.0


class Stopwatch:
    """Seconds by part; a nested part pauses the clock of the outer one."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._running: list[str] = []
        self._since = time.perf_counter()

    @contextlib.contextmanager
    def of(self, part: str) -> Iterator[None]:
        """Count the time of a block for a part, and not for the parts around it."""
        self._count()
        self._running.append(part)
        try:
            yield
        finally:
            self._count()
            self._running.pop()

    def timed(self, part: str, call: Callable[..., Any]) -> Callable[..., Any]:
        """Wrap a function so that its time counts for a part."""

        @wraps(call)
        def measured(*args: Any, **kwargs: Any) -> Any:
            with self.of(part):
                return call(*args, **kwargs)

        return measured

    def reset(self) -> None:
        """Forget all times."""
        self.seconds.clear()
        self._since = time.perf_counter()

    def _count(self) -> None:
        now = time.perf_counter()
        if self._running:
            part = self._running[-1]
            self.seconds[part] = self.seconds.get(part, 0.0) + now - self._since
        self._since = now


class Profiler(Callback):
    """Profile a trainer; must be the last of its callbacks.

    Example:
        profiler = Profiler()
        trainer = Trainer(model, objective, make_optimizer, callbacks=[*others, profiler])
        found = profiler.profile(trainer, batches, validation)
    """

    def __init__(self) -> None:
        self.watch, self.updates, self.seconds = Stopwatch(), 0, dict[str, float]()
        self._began = 0.0

    def profile(self, trainer: Trainer, batches: Any, measured_on: Iterable[Any]) -> Profile:
        """Train for a few seconds and return the profile. Trainer and model are not usable afterwards.

        Args:
            trainer: a trainer with this as the last of its callbacks.
            batches: batches of an epoch, as for `Trainer.fit`.
            measured_on: batches to evaluate.
        """
        example = trainer.place(next(iter(batches.epoch(0))))
        flops, double = _flops(trainer, example), _twice(trainer, example)
        chosen = list(islice(measured_on, MEASURED))
        measuring = _measuring(trainer, chosen)
        _wrap(trainer, self.watch)
        with self.watch.of("rest"):
            trainer.fit(_Timed(batches, self.watch), {"val": chosen})
        each = {part: seconds / max(self.updates, 1) for part, seconds in self.seconds.items()}
        each.pop(MEASURING, None)
        by_callback = {part[1:]: each.pop(part) for part in list(each) if part[0] == "@"}
        parts = dict.fromkeys(PARTS, 0.0) | each | {"callbacks": sum(by_callback.values())}
        peak, rows = _peak(trainer.execution, trainer.device), num_rows(example)
        return Profile(parts, by_callback, self.updates, rows, measuring, flops, peak, double)

    def on_step_end(self, trainer: Trainer) -> None:
        if trainer.step == WARM_UP:
            self.watch.reset()
            self._began = time.perf_counter()
        elif trainer.step > WARM_UP:
            self.updates, self.seconds = trainer.step - WARM_UP, dict(self.watch.seconds)
            if time.perf_counter() - self._began > SECONDS:
                trainer.stop("the profile is done")


class _Timed:
    """Batches that are timed while they are made."""

    def __init__(self, batches: Any, watch: Stopwatch):
        self.batches, self.watch = batches, watch

    def __len__(self) -> int:
        return len(self.batches)

    def __iter__(self) -> Iterator[Any]:
        return self.epoch(0)

    def epoch(self, number: int, start: int = 0) -> Iterator[Any]:
        with self.watch.of("data"):
            made = iter(self.batches.epoch(number, start))
        while True:
            with self.watch.of("data"):
                batch = next(made, None)
            if batch is None:
                return
            yield batch


def _wrap(trainer: Trainer, watch: Stopwatch) -> None:
    for update in trainer.updates.values():
        update.phase = replace(update.phase, loss=watch.timed("forward", update.phase.loss))
        update.backward = watch.timed("backward", update.backward)
        update.optimizer.step = watch.timed("optimizer", update.optimizer.step)
        if isinstance(update, CompiledUpdate):
            update.programs.update = watch.timed("update", update.programs.update)  # type: ignore[method-assign]
    trainer.evaluate = watch.timed(MEASURING, trainer.evaluate)  # type: ignore[method-assign]
    for callback in trainer.callbacks[:-1]:
        part = "saving" if isinstance(callback, Checkpointer) else f"@{type(callback).__name__}"
        for event in EVENTS:
            setattr(callback, event, watch.timed(part, getattr(callback, event)))


def _flops(trainer: Trainer, batch: Any) -> float:
    """Return the floating-point operations of an update in all phases."""
    mode = replace(trainer.execution, compiled=False, math=True)
    total = 0.0
    for phase in trainer.objective.phases:
        try:
            with FlopCounterMode(display=False) as counter:
                mode.forward(phase.loss, trainer.device)(trainer.model, batch).backward()
        except Exception:  # torch cannot count all operations
            return 0.0
        finally:
            trainer.model.zero_grad(set_to_none=True)
        total += counter.get_total_flops() * phase.repeat / phase.every
    return total


def _twice(trainer: Trainer, batch: Any) -> float | None:
    """Return the speed with batches twice as large, relative to these."""
    if trainer.execution.compiled or not only_tensors(batch):
        return None
    larger = map_tensors(lambda part: torch.cat([part, part]), batch)
    forward = trainer.execution.forward(trainer.objective.phases[0].loss, trainer.device)

    def step(batch: Any) -> torch.Tensor:
        loss = forward(trainer.model, batch)
        loss.backward()
        return loss.detach()

    once, twice = (_shortest(partial(step, one), trainer.model) for one in (batch, larger))
    return 2 * once / twice


def _shortest(call: Callable[[], Any], model: nn.Module, times: int = 5) -> float:
    seconds = []
    for _ in range(times + 1):
        model.zero_grad(set_to_none=True)
        began = time.perf_counter()
        call().item()
        seconds.append(time.perf_counter() - began)
    model.zero_grad(set_to_none=True)
    return min(seconds[1:])


def _measuring(trainer: Trainer, chosen: list[Any]) -> float:
    began = time.perf_counter()
    trainer.evaluate(chosen)
    return (time.perf_counter() - began) / max(len(chosen), 1)


def _peak(mode: ExecutionMode, device: torch.device) -> float:
    """Return the operations per second of a square matrix product, the fastest of three."""
    kind = torch.bfloat16 if mode.bf16 else torch.float32
    a, b = (torch.randn(SIDE, SIDE, device=device).to(kind) for _ in range(2))
    seconds = []
    for _ in range(4):
        began = time.perf_counter()
        (a @ b)[0, 0].item()
        seconds.append(time.perf_counter() - began)
    return 2 * SIDE**3 / min(seconds[1:])
