"""The noun **Trainer**: runs an objective over batches and tells callbacks what happens.

It knows no architecture and no dataset: any `nn.Module`, any iterable of batches. The loop is `fit`,
one step is `_train_step`; everything else a training needs is a callback.

    trainer = Trainer(model, classification(), partial(optimizer, "adamw", lr=1e-3))
    trainer.fit(batches, {"val": validation_batches})
"""

from __future__ import annotations

import contextlib
import itertools
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from pellucid.config import TrainConfig
from pellucid.errors import TrainingError
from pellucid.nn.modes import evaluating
from pellucid.train.averaging import WeightAverage
from pellucid.train.callbacks import EVENTS, Callback
from pellucid.train.compiled import Programs, shapes
from pellucid.train.device import choose_device
from pellucid.train.execution import PATHS
from pellucid.train.malloc import keeping_memory
from pellucid.train.objective import Measures, Objective, Phase, means
from pellucid.train.schedules import constant
from pellucid.train.seed import rng_state, set_rng_state

DRAIN_EVERY = 50  # updates between two looks at the losses, which on a GPU means waiting for it
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
        config: epochs, seed, accumulation, clipping, device and path; see `TrainConfig`.
        schedule: step -> factor of the learning rate.
        callbacks: called in this order at every event.

    Attributes:
        step: optimizer updates done.
        epoch: epochs finished.
        position: batches of the current epoch that are done.
        measures: the numbers of the last finished epoch, e.g. {"train/loss": .., "val/loss": ..}.
        loss, batch: those of the update at hand.
        backward: what computes loss and gradients of each phase, by its name.
        programs: what computes them, and whole updates, on a path that is compiled.
        stop_reason: why training ended early, or "".
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
        self.device, _ = choose_device(self.config.device)
        self.path = PATHS["eager" if self.config.path == "auto" else self.config.path]
        self.model = self.path.place(model, self.device)
        self.objective = objective
        self.parameters = {phase.name: list(phase.parameters(model)) for phase in objective.phases}
        self.optimizers = {
            name: (make_optimizer[name] if isinstance(make_optimizer, Mapping) else make_optimizer)(
                parameters
            )
            for name, parameters in self.parameters.items()
        }
        self.backward = {
            phase.name: self.path.backward(self.model, phase.loss, self.device) for phase in objective.phases
        }
        self.programs = {phase.name: self._programs(phase) for phase in objective.phases}
        self.shapes: list[Any] | None = None  # those of the batches that programs are for
        self.base_lrs = {n: [g["lr"] for g in o.param_groups] for n, o in self.optimizers.items()}
        self.schedule = schedule or constant()
        self.lr_scale = 1.0  # what `reduce on plateau` multiplies
        self.average = WeightAverage(self.model, self.config.ema) if self._averages else None
        self.callbacks = list(callbacks)
        self._listeners = {
            event: [c for c in callbacks if getattr(type(c), event) is not getattr(Callback, event)]
            for event in EVENTS
        }
        self._gradients_read = any(c.reads_gradients for c in self._listeners["on_backward_end"])
        self.step = self.epoch = self.position = 0
        self.measures: dict[str, float] = {}
        self.loss: Tensor = torch.zeros(())
        self.batch: Any = None
        self.stop_reason, self.interrupted, self.failed = "", False, False
        self._losses: list[tuple[str, int, Tensor, float]] = []
        self._totals: dict[str, tuple[float, int]] = {}

    @property
    def _averages(self) -> bool:
        return self.config.ema is not None or self.config.swa_start is not None

    # ---- the loop ------------------------------------------------------------------------------

    def fit(
        self,
        batches: Iterable[Any],
        evaluations: Mapping[str, Iterable[Any]] | None = None,
        probe: Iterable[Any] | None = None,
    ) -> None:
        """Train until the epochs are done, or somebody asks to stop.

        Args:
            batches: one epoch of batches. If it has `epoch(number, start)`, that gives the epoch's batches
                from `start` on, and a resumed run needs no replay.
            evaluations: what to measure after every epoch, by prefix, e.g. {"val": ...}.
            probe: a sample of the training rows to measure in the same way, without augmentation and
                dropout: `train/accuracy` and `train/loss_clean`. `train/loss` is the mean over the steps;
                an objective of several phases has its first one's there, and each one's as, for example,
                `train/generator_loss`.

        Raises:
            TrainingError: the loss is no longer a number.
        """
        self._emit("on_train_start")
        try:
            with keeping_memory():
                self._fit(batches, evaluations or {}, probe)
        finally:
            self._emit("on_train_end")
        if self.failed:
            raise TrainingError(f"Training stopped: {self.stop_reason}.", remedy="a smaller optimizer.lr")

    def _fit(
        self, batches: Iterable[Any], evaluations: Mapping[str, Iterable[Any]], probe: Iterable[Any] | None
    ) -> None:
        while self.epoch < self.config.epochs and not self.stop_reason:
            self._emit("on_epoch_start")
            self._train_epoch(batches)
            if self.interrupted or self.failed:
                return
            self._finish_epoch(evaluations, probe)

    def _train_epoch(self, batches: Iterable[Any]) -> None:
        self.model.train()
        for group in self._groups(batches):
            self._train_step(group)
            if self.failed:
                break
            self.step += 1
            self.position += len(group)
            self._update_average()
            if len(self._losses) >= DRAIN_EVERY:
                self.drain()
            self._emit("on_step_end")
            if self.config.max_steps is not None and self.step >= self.config.max_steps:
                self.stop(f"max_steps = {self.config.max_steps} was reached")
            if self.stop_reason:
                break

    def _train_step(self, group: list[Any]) -> None:
        self.batch, group = group[-1], self._shared(group)
        for phase in self.objective.phases:
            if self.step % phase.every == 0:
                for _ in range(phase.repeat):
                    self._update(phase, group)
                    if self.failed:
                        return

    def _shared(self, group: list[Any]) -> list[Any]:
        """Batches with what the phases share; programs, through which no gradient reaches back, take none."""
        shared = self.objective.shared
        if shared is None or self.path.compiled:
            return group
        with self.path.computing(self.device):
            return [shared(self.model, batch) for batch in group]

    def _update(self, phase: Phase, group: list[Any]) -> None:
        """One update of one phase: zero the gradients, forward, backward, clip, step."""
        optimizer, parameters = self.optimizers[phase.name], self.parameters[phase.name]
        lr = self._set_lr(phase.name, optimizer)
        with self._only(parameters):
            updated = self._update_whole(phase.name, group)
            if not updated:
                optimizer.zero_grad(set_to_none=True)
                for batch in group:
                    self.loss = self._backward(phase.name, batch, len(group))
        if self.config.clip_grad_norm is not None and not updated:
            nn.utils.clip_grad_norm_(parameters, self.config.clip_grad_norm)
        self._emit("on_backward_end")
        if not self.failed:
            if not updated:
                optimizer.step()
            self._losses.append((phase.name, self.step + 1, self.loss, lr))

    def _update_whole(self, phase: str, group: list[Any]) -> bool:
        """Do an update as one program, where there can be one and nobody asks for the gradients."""
        batch, programs = group[0], self.programs[phase]
        if programs is None or len(group) > 1 or self._gradients_read or not self._fits(batch):
            return False
        loss = programs.update(batch, self.optimizers[phase])
        if loss is None:
            return False
        self.loss = loss
        return True

    def _backward(self, phase: str, batch: Any, size: int) -> Tensor:
        programs = self.programs[phase]
        if programs is not None and self._fits(batch):
            return programs.backward(batch, size)
        return self.backward[phase](batch, size)

    def _programs(self, phase: Phase) -> Programs | None:
        if not self.path.compiled:
            return None
        forward, parameters = self.path.forward(phase.loss, self.device), self.parameters[phase.name]
        return Programs(self.model, forward, parameters, self.config.clip_grad_norm)

    def _fits(self, batch: Any) -> bool:
        """Whether a batch has the shapes that programs are for: those of the first batch of all."""
        found = shapes(batch)
        self.shapes = self.shapes or found
        return self.shapes == found

    def _finish_epoch(self, evaluations: Mapping[str, Iterable[Any]], probe: Iterable[Any] | None) -> None:
        self.drain()
        self.measures = self._training_losses()
        if probe is not None:
            clean = self.evaluate(probe)
            clean["loss_clean"] = clean.pop("loss")
            self.measures |= {f"train/{key}": value for key, value in clean.items()}
        for prefix, batches in evaluations.items():
            self.measures |= {f"{prefix}/{key}": value for key, value in self.evaluate(batches).items()}
        self._totals = {}
        self.epoch, self.position = self.epoch + 1, 0
        self._emit("on_epoch_end")

    def _training_losses(self) -> dict[str, float]:
        """The mean over the epoch's updates: of the first phase, and where there are more, of each."""
        totals = [(phase.name, *self._totals.get(phase.name, (0.0, 0))) for phase in self.objective.phases]
        means = {name: total / max(count, 1) for name, total, count in totals}
        first = {"train/loss": next(iter(means.values()))}
        return first if len(means) == 1 else first | {f"train/{name}_loss": m for name, m in means.items()}

    def evaluate(self, batches: Iterable[Any]) -> dict[str, float]:
        """Return the mean of every measure, in evaluation mode, with averaged weights if there are any.

        A measure that counted nothing is left out.
        """
        with self.inference():
            return means(self._measure(batch) for batch in batches)

    def _measure(self, batch: Any) -> Measures:
        with self.path.computing(self.device):
            return self.objective.measure(self.model, self.place(batch))

    @contextlib.contextmanager
    def inference(self) -> Iterator[nn.Module]:
        """The model as it predicts: in evaluation mode, without gradients, with averaged weights if any."""
        averaged = self.average.swapped(self.model) if self.average else contextlib.nullcontext()
        with evaluating(self.model), averaged:
            yield self.model

    # ---- asked by callbacks --------------------------------------------------------------------

    def stop(self, reason: str) -> None:
        """End training after the step at hand; the epoch is measured and training counts as done."""
        self.stop_reason = self.stop_reason or reason

    def interrupt(self, reason: str) -> None:
        """End training after the step at hand so that it can be resumed there."""
        self.interrupted = True
        self.stop(reason)

    def fail(self, reason: str) -> None:
        """End training before the update at hand: it would destroy the weights."""
        self.failed = True
        self.stop(reason)

    def drain(self) -> None:
        """Bring the losses that wait on the device to the callbacks: one wait for many steps."""
        if not self._losses:
            return
        values = torch.stack([loss for _, _, loss, _ in self._losses]).tolist()
        rows: dict[str, list[tuple[int, float, float]]] = {}
        for (phase, step, _, lr), value in zip(self._losses, values, strict=True):
            total, count = self._totals.get(phase, (0.0, 0))
            self._totals[phase] = (total + value, count + 1)  # one by one: drained anywhere, the sum is equal
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
        self.drain()
        return {
            "step": self.step,
            "epoch": self.epoch,
            "position": self.position,
            "measures": self.measures,
            "losses": {phase: list(total) for phase, total in self._totals.items()},
            "lr_scale": self.lr_scale,
            "path": self.path.name,
            "shapes": self.shapes,
            "stop_reason": "" if self.interrupted else self.stop_reason,
            "average_updates": self.average.updates if self.average else 0,
            "callbacks": [[type(callback).__name__, callback.state_dict()] for callback in self.callbacks],
            "rng": rng_state(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go back to where `state_dict` was called."""
        self.step, self.epoch, self.position = state["step"], state["epoch"], state["position"]
        self.measures, self.lr_scale = dict(state["measures"]), state["lr_scale"]
        self._totals = {phase: (total, count) for phase, (total, count) in state["losses"].items()}
        self.stop_reason, self.shapes = state["stop_reason"], state.get("shapes")
        if self.average is not None:
            self.average.updates = state["average_updates"]
        kept = dict(state["callbacks"])
        for callback in self.callbacks:
            if type(callback).__name__ in kept:
                callback.load_state_dict(kept[type(callback).__name__])
        set_rng_state(state["rng"])

    # ---- the parts of a step -------------------------------------------------------------------

    def _groups(self, batches: Iterable[Any]) -> Iterator[list[Any]]:
        """The batches still to do in this epoch, placed, in groups of `gradient_accumulation_steps`."""
        if isinstance(batches, Epochs):
            rest = batches.epoch(self.epoch, self.position)
        else:
            rest = itertools.islice(iter(batches), self.position, None)
        in_place = self.device.type == "cpu" and not self.path.channels_last
        placed = iter(rest) if in_place else map(self.place, rest)
        size = self.config.gradient_accumulation_steps
        if size == 1:
            yield from ([batch] for batch in placed)
        while group := list(itertools.islice(placed, size)):
            yield group

    def place(self, batch: Any) -> Any:
        """Move a batch to the device in the layout of the path; tuples, lists and dicts keep their form."""
        if isinstance(batch, Tensor):
            return self.path.batch(batch.to(self.device, non_blocking=True))
        if isinstance(batch, dict):
            return {key: self.place(value) for key, value in batch.items()}
        if isinstance(batch, (tuple, list)):
            return type(batch)(self.place(value) for value in batch)
        return batch

    def _set_lr(self, phase: str, optimizer: torch.optim.Optimizer) -> float:
        factor = self.schedule(self.step) * self.lr_scale
        for group, base in zip(optimizer.param_groups, self.base_lrs[phase], strict=True):
            group["lr"] = base * factor
        return self.base_lrs[phase][0] * factor

    def _only(self, parameters: list[nn.Parameter]) -> contextlib.AbstractContextManager[None]:
        """Freeze everything but these while a phase computes; with one phase there is nothing to freeze."""
        return contextlib.nullcontext() if len(self.parameters) == 1 else self._frozen_but(parameters)

    @contextlib.contextmanager
    def _frozen_but(self, parameters: list[nn.Parameter]) -> Iterator[None]:
        mine = {id(parameter) for parameter in parameters}
        others = [p for p in self.model.parameters() if p.requires_grad and id(p) not in mine]
        for parameter in others:
            parameter.requires_grad_(False)
        try:
            yield
        finally:
            for parameter in others:
                parameter.requires_grad_(True)

    def _update_average(self) -> None:
        if self.average is not None and self.epoch >= self._average_from:
            self.average.update(self.model)

    @property
    def _average_from(self) -> int:
        return 0 if self.config.swa_start is None else math.floor(self.config.swa_start * self.config.epochs)

    def _emit(self, event: str) -> None:
        for callback in self._listeners[event]:
            getattr(callback, event)(self)
