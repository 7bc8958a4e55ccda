"""Watch the training of a run, as `pellucid.watch` watches a loop of the user's own.

Training itself may run as one program in which no module and no gradient is seen. So the few steps that are
attended to are computed a second time, on a copy of the model with the weights from before the step; the
training itself is not touched and gives the same bits with it and without.
"""

from __future__ import annotations

import contextlib
import copy
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from pellucid.batch import as_batch, map_tensors, num_rows
from pellucid.diagnosis.watch_file import write
from pellucid.lens.watch.schedule import Schedule
from pellucid.lens.watch.watcher import Watch
from pellucid.record import Run
from pellucid.train.callbacks import Callback
from pellucid.train.seed import borrowed_generators
from pellucid.train.trainer import Trainer
from pellucid.train.update import frozen_except

LARGEST = 50_000_000
"""Models with more parameters are not copied."""
ROWS = 16
"""Rows of a batch that are computed a second time."""
START, SHARE, GLANCES = 0.03, 0.008, 2.0
"""Seconds and the share of the time that looks may take, and how far glances are apart; see `Schedule`."""


class Watching(Callback):
    """Watch a run, and write what was recorded into its folder.

    Args:
        run: the run.
    """

    needs = frozenset()

    def __init__(self, run: Run):
        self.run = run
        self._watch: Watch | None = None
        self._begun = False
        self._written = 0

    def on_epoch_start(self, trainer: Trainer) -> None:
        if not self._begun:  # after the start of all callbacks, any of which may refuse to train
            self._begun = True
            self._begin(trainer)

    def _begin(self, trainer: Trainer) -> None:
        size = sum(parameter.numel() for parameter in trainer.model.parameters())
        if size > LARGEST or size == 0:
            return
        with contextlib.suppress(Exception), borrowed_generators():  # what cannot be copied is not watched
            begun = time.perf_counter()
            self._twin = copy.deepcopy(trainer.model)
            pairs = dict(zip(trainer.model.parameters(), self._twin.parameters(), strict=True))
            self._shadows = [_shadow(optimizer, pairs) for optimizer in trainer.optimizers.values()]
            schedule = Schedule(1, START, SHARE, GLANCES, strict=True)
            schedule.coming = trainer.step + 1
            self._watch = Watch(self._twin, self._shadows, schedule=schedule)
            self._watch.steps = trainer.step
            schedule.spent += time.perf_counter() - begun

    def on_step_end(self, trainer: Trainer) -> None:
        watch = self._watch
        if watch is None:
            return
        if watch.attends:
            self._repeat(watch, trainer)
        else:
            watch.skip()
        if watch.attends:
            self._copy(trainer.model)

    def on_epoch_end(self, trainer: Trainer) -> None:
        self._write()

    def on_train_end(self, trainer: Trainer) -> None:
        if self._watch is not None:
            self._watch.close()
            self._write()

    # ---- the second time ---------------------------------------------------------------------------------

    def _repeat(self, watch: Watch, trainer: Trainer) -> None:
        """Compute the step that has just been done again, on the copy."""
        begun = time.perf_counter()
        try:
            with borrowed_generators(), torch.enable_grad():
                batch = _few(trainer.batch)
                loss = self._step(trainer, batch)
                read = as_batch(batch)
                watch.schedule.spent += time.perf_counter() - begun
                watch.step(loss, inputs=read.inputs, targets=read.targets)
        except Exception as error:  # a fault of the copy must not end the training
            watch.problems.setdefault("copy", f"{type(error).__name__}: {error}")
            watch.close()
            self._write()
            self._watch = None

    def _step(self, trainer: Trainer, batch: Any) -> Tensor | None:
        losses = []
        self._twin.train()
        for phase, shadow in zip(trainer.objective.phases, self._shadows, strict=True):
            if (trainer.step - 1) % phase.every:
                continue
            parameters = list(phase.parameters(self._twin))
            shadow.zero_grad()
            several = len(trainer.objective.phases) > 1
            with frozen_except(self._twin, parameters) if several else contextlib.nullcontext():
                loss = phase.loss(self._twin, batch)
                loss.backward()
            if trainer.config.clip_grad_norm is not None:
                nn.utils.clip_grad_norm_(parameters, trainer.config.clip_grad_norm)
            shadow.step()
            losses.append(loss)
        return losses[0] if losses else None

    def _copy(self, model: nn.Module) -> None:
        with torch.no_grad():
            for mine, other in ((self._twin.parameters(), model.parameters()),
                                (self._twin.buffers(), model.buffers())):  # fmt: skip
                for target, source in zip(mine, other, strict=True):
                    target.copy_(source)

    def _write(self) -> None:
        """Write what was recorded, unless nothing is new."""
        watch = self._watch
        if watch is None or watch.steps == 0 or watch.attended == self._written:
            return
        self._written = watch.attended
        with contextlib.suppress(Exception):
            write(self.run, watch.evidence)


def _few(batch: Any) -> Any:
    """The first rows of a batch: what is measured of them is much the same, and costs less."""
    rows = num_rows(batch)
    if rows <= ROWS or isinstance(as_batch(batch).inputs, list):
        return batch
    return map_tensors(lambda one: one[:ROWS] if one.ndim and one.shape[0] == rows else one, batch)


class _Shadow:
    """Has the groups of an optimizer over the parameters of the copy; a step copies the new weights.

    It is no `torch.optim.Optimizer`, whose methods load the compiler.
    """

    def __init__(self, real: torch.optim.Optimizer, pairs: dict[nn.Parameter, nn.Parameter]) -> None:
        self.real, self.sources = real, {copied: source for source, copied in pairs.items()}
        self.param_groups: list[dict[str, Any]] = [
            {**group, "params": [pairs[one] for one in group["params"]]} for group in real.param_groups
        ]
        self._before: OrderedDict[int, Callable[..., Any]] = OrderedDict()
        self._after: OrderedDict[int, Callable[..., Any]] = OrderedDict()

    def register_step_pre_hook(self, hook: Callable[..., Any]) -> RemovableHandle:
        """Call a function before each step."""
        return _registered(self._before, hook)

    def register_step_post_hook(self, hook: Callable[..., Any]) -> RemovableHandle:
        """Call a function after each step."""
        return _registered(self._after, hook)

    def zero_grad(self) -> None:
        """Forget the gradients."""
        for group in self.param_groups:
            for parameter in group["params"]:
                parameter.grad = None

    @torch.no_grad()
    def step(self) -> None:
        """Take over the weights that the real step has made."""
        for hook in self._before.values():
            hook(self, (), {})
        for group, real in zip(self.param_groups, self.real.param_groups, strict=True):
            group |= {name: value for name, value in real.items() if name != "params"}
            for parameter in group["params"]:
                parameter.copy_(self.sources[parameter])
        for hook in self._after.values():
            hook(self, (), {})


def _registered(hooks: OrderedDict[int, Callable[..., Any]], hook: Callable[..., Any]) -> RemovableHandle:
    handle = RemovableHandle(hooks)
    hooks[handle.id] = hook
    return handle


def _shadow(real: torch.optim.Optimizer, pairs: dict[nn.Parameter, nn.Parameter]) -> Any:
    """Return the shadow of an optimizer, under the name of its class."""
    return type(type(real).__name__, (_Shadow,), {})(real, pairs)
