"""The noun **Trainer**: runs an objective over batches and tells callbacks what happens.

It knows no architecture, no dataset and no task: any `nn.Module`, any iterable of batches. The loop is `fit`,
one step is `_train_step`, and one update is `pellucid.train.update.Update`; everything else is a callback.

    trainer = Trainer(model, classification(), partial(optimizer, "adamw", lr=1e-3))
    trainer.fit(batches, {"val": validation_batches})
"""

from __future__ import annotations

import contextlib
import itertools
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from pellucid.config import TrainConfig
from pellucid.errors import TrainingError, UsageError
from pellucid.nn.modes import evaluating
from pellucid.record import Run
from pellucid.train.averaging import WeightAverage
from pellucid.train.budget import TimePlanner
from pellucid.train.callback_states import check_keys, load_states, saved_states
from pellucid.train.callbacks import EVENTS, Callback, check_events
from pellucid.train.compiled import make_update
from pellucid.train.device import choose_device
from pellucid.train.execution import execution_mode
from pellucid.train.learning_rates import LearningRates
from pellucid.train.malloc import keeping_memory
from pellucid.train.objective import Objective, Phase
from pellucid.train.plain_state import in_words
from pellucid.train.schedules import constant
from pellucid.train.seed import rng_state, set_rng_state
from pellucid.train.update import Update

FLUSH_EVERY = 50  # updates between two reads of the losses, which on a GPU means waiting for it
MakeOptimizer = Callable[[list[nn.Parameter]], torch.optim.Optimizer]


@runtime_checkable
class Epochs(Protocol):
    """Batches that can begin in the middle of any epoch."""

    def epoch(self, number: int, start: int = 0, /) -> Iterator[Any]:
        """Yield the batches of an epoch from batch `start` on."""
        ...


class Trainer:
    """Trains one model.

    Args:
        model: any module; moved to the device.
        objective: what a step optimizes.
        make_optimizer: parameters -> optimizer; called once per phase. A mapping gives each phase its own.
        config: epochs, seed, accumulation, clipping, device and execution mode; see `TrainConfig`.
        schedule: step -> factor of the learning rate. A rate that a callback sets in
            `trainer.optimizers[..].param_groups` becomes the new base rate, which the factor applies to.
        callbacks: called in this order at every event.

    Raises:
        UnknownNameError: a callback has a method on_... that is no event.
        UsageError: two callbacks would save their state under the same key.

    Attributes:
        step: optimizer updates done.
        epoch: epochs finished.
        position: batches of the current epoch that are done.
        measures: the numbers of the last finished epoch, e.g. {"train/loss": .., "val/loss": ..}.
        loss, batch: those of the current update.
        updates: what moves the weights, by the name of the phase.
        planner: where training is limited in time, the callback that plans its updates.
        run: the run that is recorded, whose `artifact` keeps files by step; None outside of a run.
        stop_reason: why training ended early, or "".
        between_steps: False during a step and at the end of an epoch; where an exception leaves it False,
            the state is that of a half-done step and must not be saved.

    A checkpoint holds the weights, persistent buffers, extra states of modules, optimizers, learning rates,
    random number generators of torch, numpy and Python, and `state_dict` of each callback. It does not hold
    `requires_grad`, plain attributes of modules, buffers that are not persistent or a `torch.Generator` of
    your own: restore those in a callback's `load_state_dict` or `on_train_start`.
    """

    def __init__(
        self,
        model: nn.Module,
        objective: Objective,
        make_optimizer: MakeOptimizer | Mapping[str, MakeOptimizer],
        config: TrainConfig | None = None,
        *,
        schedule: Callable[[int], float] | None = None,
        callbacks: Sequence[Callback] = (),
    ):
        self.config = config or TrainConfig()
        self.run: Run | None = None
        self.device, _ = choose_device(self.config.device)
        self.execution = execution_mode(self.config.execution)
        self.model = self.execution.place_model(model, self.device)
        self.objective = objective
        self.callbacks = list(callbacks)
        check_events(self.callbacks)
        check_keys(self.callbacks)
        self._listeners = {
            event: [c for c in callbacks if getattr(type(c), event) is not getattr(Callback, event)]
            for event in EVENTS
        }
        self.schedule = schedule or constant()
        self.updates = {phase.name: self._make_update(phase, make_optimizer) for phase in objective.phases}
        self.optimizers = {name: update.optimizer for name, update in self.updates.items()}
        self.rates = {name: LearningRates(optimizer) for name, optimizer in self.optimizers.items()}
        self.planner: TimePlanner | None = None
        self.lr_scale = 1.0  # what `reduce on plateau` multiplies
        self.average = WeightAverage(self.model, self.config.ema) if self._averages else None
        self.step = self.epoch = self.position = 0
        self.measures: dict[str, float] = {}
        self.loss: Tensor = torch.zeros(())
        self.batch: Any = None
        self.stop_reason, self.interrupted, self.failed, self._remedy = "", False, False, ""
        self.stopped = ""  # the reason of `stop`, which an interruption does not undo
        self.between_steps = True
        self._losses: list[tuple[str, int, Tensor, float]] = []
        self._totals: dict[str, tuple[float, int]] = {}

    def _make_update(self, phase: Phase, make: MakeOptimizer | Mapping[str, MakeOptimizer]) -> Update:
        parameters = list(phase.parameters(self.model))
        optimizer = (make[phase.name] if isinstance(make, Mapping) else make)(parameters)
        update = make_update(
            self.model,
            phase,
            optimizer,
            self.execution,
            self.device,
            clip_grad_norm=self.config.clip_grad_norm,
            accept=self._accept,
            freeze_rest=len(self.objective.phases) > 1,
        )
        looked_at = any("gradients" in c.needs for c in self._listeners["on_backward_end"])
        update.gradients_needed = looked_at or getattr(self.schedule, "changes_momentum", False)
        return update

    @property
    def epochs_done(self) -> float:
        """Passes over the training data: `epoch`, or a fraction where a planner validates at other times."""
        return self.epoch if self.planner is None else round(self.planner.rounds.epochs, 4)

    @property
    def base_lrs(self) -> dict[str, list[float]]:
        """Learning rate of each parameter group before the schedule, by the name of the phase."""
        return {name: rates.bases for name, rates in self.rates.items()}

    @property
    def _averages(self) -> bool:
        return self.config.ema is not None or self.config.swa_start is not None

    # ---- the loop ------------------------------------------------------------------------------

    def fit(
        self,
        batches: Iterable[Any],
        evaluations: Mapping[str, Iterable[Any]] | None = None,
        train_sample: Iterable[Any] | None = None,
    ) -> None:
        """Train until the epochs are done, or a callback asks to stop.

        Args:
            batches: one epoch of batches. If it has `epoch(number, start)`, that gives the epoch's batches
                from `start` on, and a resumed run needs no replay.
            evaluations: what to measure after every epoch, by prefix, e.g. {"val": ...}.
            train_sample: training rows to measure in the same way, without augmentation and dropout:
                `train/accuracy` and `train/loss_clean`. `train/loss` is the mean over the steps; for an
                objective of several phases it is the first one's, and each has its own, for example
                `train/generator_loss`.

        Raises:
            TrainingError: the loss is no longer a number.
        """
        self._start()
        try:
            with keeping_memory():
                self._fit(batches, evaluations or {}, train_sample)
        finally:
            self._emit("on_train_end")
        if self.failed:
            raise TrainingError(f"Training stopped: {self.stop_reason}.", remedy=self._remedy)

    def _start(self) -> None:
        """Emit `on_train_start`; where a callback refuses to train, end those that have started."""
        started: list[Callback] = []
        try:
            for callback in self._listeners["on_train_start"]:
                callback.on_train_start(self)
                started.append(callback)
        except BaseException:
            for callback in started:
                callback.on_train_end(self)
            raise

    def _fit(
        self,
        batches: Iterable[Any],
        evaluations: Mapping[str, Iterable[Any]],
        train_sample: Iterable[Any] | None,
    ) -> None:
        if self.stop_reason and self.position:  # resumed after the last step, before its epoch was measured
            self._emit("on_epoch_start")
            self._finish_epoch(evaluations, train_sample)
        while self.epoch < self.config.epochs and not self.stop_reason:
            self._emit("on_epoch_start")
            self._train_epoch(batches)
            if self.interrupted or self.failed:
                return
            self._finish_epoch(evaluations, train_sample)

    def _train_epoch(self, batches: Iterable[Any]) -> None:
        self.model.train()
        for update in self.updates.values():
            update.begin_epoch()
        for group in self._groups(batches):
            self.between_steps = False
            self._train_step(group)
            if self.failed:
                break
            self.step += 1
            self.position += len(group)
            self._update_average()
            if len(self._losses) >= FLUSH_EVERY:
                self.flush_losses()
            if self.config.max_steps is not None and self.step >= self.config.max_steps:
                self.stop(f"max_steps = {self.config.max_steps} was reached")
            self._emit("on_step_end")
            self.between_steps = True
            if self.stop_reason:
                break

    def _train_step(self, group: list[Any]) -> None:
        self.batch, prepare = group[-1], self.objective.prepare_batch
        if prepare is not None:
            group = [self.execution.prepare(prepare, self.model, batch, self.device) for batch in group]
        for phase in self.objective.phases:
            if self.step % phase.every == 0:
                for _ in range(phase.repeat):
                    lr = self.rates[phase.name].follow(self.schedule, self._schedule_step, self.lr_scale)
                    loss = self.updates[phase.name](group)
                    if self.failed:
                        return
                    self._losses.append((phase.name, self.step + 1, loss, lr))

    def _accept(self, loss: Tensor) -> bool:
        """Let callbacks see the loss and the gradients; False if one of them refuses the update."""
        self.loss = loss
        self._emit("on_backward_end")
        return not self.failed

    def _finish_epoch(
        self, evaluations: Mapping[str, Iterable[Any]], train_sample: Iterable[Any] | None
    ) -> None:
        self.flush_losses()
        self.between_steps = False
        self.measures = self._training_losses()
        if train_sample is not None:
            clean = self.evaluate(train_sample)
            clean["loss_clean"] = clean.pop("loss")
            self.measures |= {f"train/{key}": value for key, value in clean.items()}
        for prefix, batches in evaluations.items():
            self.measures |= {f"{prefix}/{key}": value for key, value in self.evaluate(batches).items()}
        self._totals = {}
        self.epoch, self.position = self.epoch + 1, 0
        for callback in self._listeners["on_epoch_end"]:
            callback.on_epoch_end(self)
            self._make_measures_plain(callback)
        self.between_steps = True

    def _make_measures_plain(self, callback: Callback) -> None:
        """Turn tensors and numpy numbers that a callback put among the measures into floats."""
        for key, value in self.measures.items():
            if type(value) is not float and hasattr(value, "item"):
                try:
                    self.measures[key] = float(value)
                except (TypeError, ValueError, RuntimeError):
                    raise UsageError(
                        f"{type(callback).__name__} set trainer.measures[{key!r}] to {in_words(value)}; "
                        "expected a number.",
                        remedy="value.mean().item()",
                    ) from None

    def _training_losses(self) -> dict[str, float]:
        """The mean over the epoch's updates: of the first phase, and where there are more, of each."""
        totals = [(phase.name, *self._totals.get(phase.name, (0.0, 0))) for phase in self.objective.phases]
        means = {name: total / max(count, 1) for name, total, count in totals}
        first = {"train/loss": next(iter(means.values()))}
        return first if len(means) == 1 else first | {f"train/{name}_loss": m for name, m in means.items()}

    def evaluate(self, batches: Iterable[Any]) -> dict[str, float]:
        """Return every measure and metric, in evaluation mode, with averaged weights if there are any."""
        with self.inference() as model:
            computing = partial(self.execution.computing, self.device)
            return self.objective.evaluate(model, map(self.place, batches), computing)

    @contextlib.contextmanager
    def inference(self) -> Iterator[nn.Module]:
        """The model as it predicts: in evaluation mode, without gradients, with averaged weights if any."""
        averaged = self.average.swapped(self.model) if self.average else contextlib.nullcontext()
        with evaluating(self.model), averaged:
            yield self.model

    # ---- asked by callbacks --------------------------------------------------------------------

    def stop(self, reason: str) -> None:
        """End training after the current step; the epoch is measured and training counts as done."""
        self.stopped = self.stopped or reason
        self.stop_reason = self.stop_reason or reason

    def interrupt(self, reason: str) -> None:
        """End training after the current step so that it can be resumed there."""
        self.interrupted = True
        self.stop_reason = self.stop_reason if self.failed else reason

    def fail(self, reason: str, remedy: str = "a smaller optimizer.lr") -> None:
        """End training before the current update: it would destroy the weights."""
        self.failed, self._remedy = True, remedy
        self.stop_reason = reason

    def flush_losses(self) -> None:
        """Hand the losses that wait on the device to the callbacks: one wait for many steps."""
        if not self._losses:
            return
        values = torch.stack([loss for _, _, loss, _ in self._losses]).tolist()
        rows: dict[str, list[tuple[int, float, float]]] = {}
        for (phase, step, _, lr), value in zip(self._losses, values, strict=True):
            total, count = self._totals.get(phase, (0.0, 0))
            self._totals[phase] = (total + value, count + 1)  # one by one: flushed anywhere, the sum is equal
            rows.setdefault(phase, []).append((step, value, lr))
        self._losses.clear()
        first, *others = (phase.name for phase in self.objective.phases)
        for callback in self._listeners["on_losses"] if first in rows else ():
            callback.on_losses(self, rows[first])
        for phase in [first, *others] if others else []:
            for callback in self._listeners["on_phase_losses"] if phase in rows else ():
                callback.on_phase_losses(self, phase, rows[phase])

    # ---- a state that can be resumed from ------------------------------------------------------

    def state_dict(self) -> dict[str, Any]:
        """Return plain values: with the tensors, they are all that the next step depends on."""
        self.flush_losses()
        return {
            "step": self.step,
            "epoch": self.epoch,
            "position": self.position,
            "measures": self.measures,
            "losses": {phase: list(total) for phase, total in self._totals.items()},
            "lr_scale": self.lr_scale,
            "rates": {name: rates.state_dict() for name, rates in self.rates.items()},
            "execution": self.execution.name,
            "updates": {name: update.state_dict() for name, update in self.updates.items()},
            "stop_reason": self.stopped,
            "average_updates": self.average.updates if self.average else 0,
            "callbacks": saved_states(self.callbacks),
            "rng": rng_state(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> list[str]:
        """Go back to where `state_dict` was called; return what was not restored, a sentence each.

        Raises:
            ResumeError: a callback cannot load its state.
        """
        self.step, self.epoch, self.position = state["step"], state["epoch"], state["position"]
        self.measures, self.lr_scale = dict(state["measures"]), state["lr_scale"]
        self._totals = {phase: (total, count) for phase, (total, count) in state["losses"].items()}
        self.stop_reason = self.stopped = state["stop_reason"]
        for name, update in self.updates.items():  # version 0.1 kept one signature, of all phases
            update.load_state_dict(state.get("updates", {}).get(name) or {"signature": state.get("shapes")})
        for name, rates in self.rates.items():
            rates.load_state_dict(state.get("rates", {}).get(name))
        if self.average is not None:
            self.average.updates = state["average_updates"]
        notes = load_states(self.callbacks, state["callbacks"])
        set_rng_state(state["rng"])
        return notes

    # ---- the parts of a step -------------------------------------------------------------------

    def _groups(self, batches: Iterable[Any]) -> Iterator[list[Any]]:
        """The batches still to do in this epoch, placed, in groups of `gradient_accumulation_steps`."""
        if isinstance(batches, Epochs):
            rest = batches.epoch(self.epoch, self.position)
        else:
            rest = itertools.islice(iter(batches), self.position, None)
        placed = map(self.place, rest)
        size = self.config.gradient_accumulation_steps
        if size == 1:
            yield from ([batch] for batch in placed)
        while group := list(itertools.islice(placed, size)):
            yield group

    def place(self, batch: Any) -> Any:
        """Move a batch to the device, in the memory layout of the execution mode."""
        return self.execution.place_batch(batch, self.device)

    def _update_average(self) -> None:
        if self.average is not None and self._is_averaging:
            self.average.update(self.model)

    @property
    def _is_averaging(self) -> bool:
        start = self.config.swa_start
        if start is None:
            return True
        if self.planner is not None:
            return self.planner.share(self.step) >= start
        return self.epoch >= math.floor(start * self.config.epochs)

    @property
    def _schedule_step(self) -> float:
        return self.step if self.planner is None else self.planner.schedule_step(self.step)

    def _emit(self, event: str) -> None:
        for callback in self._listeners[event]:
            getattr(callback, event)(self)
