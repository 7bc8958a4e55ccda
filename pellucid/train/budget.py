"""Train for a given time: plan the number of updates, lay the schedule out over them, and stop in time.

The time that an update takes is measured in the first updates of the training run itself. From it, from what
validation takes and from what the end of the run is expected to take, a `Plan` follows: the number of
updates, and after which of them the model is validated next. The plan is revised when the machine becomes
faster or slower; the schedule goes on from the share of it that is done (as in budgeted training, Li, Yumer
and Ramanan 2020, who lay the schedule out over the updates that a budget allows). The plan is part of every
checkpoint, so that a resumed run continues with it.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

import torch

from pellucid.train.callbacks import Callback

if TYPE_CHECKING:
    from pellucid.train.trainer import Trainer

CLOCK = time.perf_counter
"""What a budget is measured with."""
KEPT = 2.0
"""Seconds after which the time used is saved again."""
AIM = 0.9
"""Share of the budget that is planned for, since the end is only estimated."""
LIMIT = 0.97
"""Share of the budget after which training stops, whatever was planned."""
MEASURED = (0.02, 0.2, 3.0)
"""How long updates are measured before the first plan: share of the budget; least and most seconds."""
REVISED = 0.05
"""Share of the budget after which a plan is revised at the latest."""
VALIDATIONS = (5, 60)
"""Least and most validations of a run, where validating takes little of the time."""
REHEARSED = (0.5, 0.08)
"""Share of the schedule after which the end is rehearsed again, and the share of the budget it then takes."""
OVERHEAD = 0.15
"""Most of the training time that validation should take."""


def now() -> float:
    """Return the seconds that a budget is measured with."""
    return CLOCK()


class Budget:
    """The time of a command, from its start to its end.

    Args:
        minutes: of the whole command, > 0.
        used: seconds that have passed already.
        clock: returns seconds; None: `CLOCK`.

    Attributes:
        save: writes the seconds that were used, so that a process that goes on after this one was killed
            knows them; None: nobody does.
    """

    def __init__(self, minutes: float, used: float = 0.0, clock: Callable[[], float] | None = None):
        self.minutes, self.seconds, self.clock = minutes, 60 * minutes, clock or CLOCK
        self._start = self.clock() - used
        self._before = self._saved_at = 0.0
        self.save: Callable[[float], None] | None = None

    @property
    def used(self) -> float:
        """Seconds since the start, and those that the run used before it was resumed."""
        return self.clock() - self._start

    def add(self, seconds: float) -> None:
        """Count the seconds that the run used before it was resumed; of several counts the largest."""
        more = max(seconds - self._before, 0.0)
        self._start, self._before = self._start - more, self._before + more

    def keep(self, every: float = 0.0) -> None:
        """Save the seconds used, unless that was done less than `every` seconds ago."""
        used = self.used
        if self.save is not None and used - self._saved_at >= every:
            self._saved_at = used
            self.save(used)


@dataclass(frozen=True)
class Plan:
    """The updates that a budget allows.

    Attributes:
        total: updates of the whole run.
        step: updates done when this plan was made.
        share: of the schedule that was done then, 0..1.
        validate_at: update after which the model is validated next.
    """

    total: int
    step: int = 0
    share: float = 0.0
    validate_at: int = 0

    def at(self, step: int) -> float:
        """Return the share of the schedule that is done before an update, 0..1."""
        rest = (step - self.step) / max(self.total - self.step, 1)
        return min(self.share + (1 - self.share) * max(rest, 0.0), 1.0)

    def revised(self, step: int, total: int) -> Plan:
        """Return a plan of another number of updates; the schedule goes on from where it is."""
        return Plan(total, step, self.at(step), min(self.validate_at, total))


class TimePlanner(Callback):
    """Plan a training run by time; see the module.

    Args:
        budget: the time of the command.
        batches: the training batches; `rounds` is what to train on in their place.
        group: batches of an update.
        schedule_steps: updates that the schedule was made for; it is stretched to those of the plan.
        whole_steps: whether the schedule takes whole numbers only.

    Attributes:
        plan: None until the first updates were measured.
        seconds: of an update.
        between: seconds of a validation and all that is done between two rounds; at first an estimate.
        end: expected seconds of everything after training.
        evaluated_rows: of every split to evaluate at the end; None: all.
        rehearse: measures `end` and `evaluated_rows` again, since a model that has learned may take less.
        looked_ahead: when `between` and `end` were measured; 0.0 if they were not.
        first: what the first plan was made from.
    """

    needs = frozenset()

    def __init__(
        self,
        budget: Budget,
        batches: Any,
        *,
        group: int = 1,
        schedule_steps: int = 1000,
        whole_steps: bool = False,
    ):
        self.budget, self.group, self.schedule_steps = budget, group, schedule_steps
        self.whole_steps = whole_steps
        self.between = self.end = self.looked_ahead = 0.0
        self.evaluated_rows: int | None = None
        self.rehearse: Callable[[], tuple[float, int | None]] | None = None
        self.plan: Plan | None = None
        self.seconds = 0.0  # of an update
        self.first: dict[str, float] = {}
        self.rounds = Rounds(batches, self)
        self._trainer: Trainer | None = None
        self._since: tuple[int, float] | None = None  # updates and time where the measurement began
        self._planned_at = self._round_ended = 0.0
        self._rounds_measured = 0

    # ---- what the trainer asks -----------------------------------------------------------------

    def schedule_step(self, step: int) -> float:
        """Return the step of the schedule that belongs to an update."""
        at = self.share(step) * self.schedule_steps
        return int(at) if self.whole_steps else at

    def share(self, step: int) -> float:
        """Return the share of the run that is done, 0..1."""
        return 0.0 if self.plan is None else self.plan.at(step)

    @property
    def round_is_over(self) -> bool:
        """Whether the model is to be validated before the next update."""
        assert self._trainer is not None
        return self.plan is not None and self._trainer.step >= self.plan.validate_at

    # ---- events --------------------------------------------------------------------------------

    def on_train_start(self, trainer: Trainer) -> None:
        self._trainer, trainer.planner = trainer, self
        if self.plan is None and self.looked_ahead:  # what other callbacks draw now, they draw in every pause
            self.between += self.budget.clock() - self.looked_ahead

    def on_epoch_start(self, trainer: Trainer) -> None:
        now = self.budget.clock()
        if self._round_ended:  # all of the pause, checkpoints and pictures included
            took, known = now - self._round_ended, self._rounds_measured > 0
            self.between = (self.between + took) / 2 if known else took
            self._rounds_measured, self._round_ended = self._rounds_measured + 1, 0.0
        self._since = (trainer.step, now) if self.plan is not None else None

    def on_step_end(self, trainer: Trainer) -> None:
        self.budget.keep(KEPT)
        now = self.budget.clock()
        if self._since is None:  # the first update takes longer
            self._since = (trainer.step, now)
            if self._late(now):
                self._finish(trainer)
            return
        if self.plan is None:
            if self._is_measured(trainer, now):
                self._make(trainer)
        elif now - self._planned_at > REVISED * self.budget.seconds:
            self._measure(trainer)
            self._rehearse(trainer)
            self.plan = self._revised(trainer)
        if self.plan is not None and trainer.step >= self.plan.total:
            self._stop(trainer)
        elif self._late(now):
            self._finish(trainer)
        elif self.round_is_over:
            self._measure(trainer)
        if self.round_is_over or trainer.stop_reason:
            self._round_ended = self.budget.clock()

    def on_epoch_end(self, trainer: Trainer) -> None:
        if trainer.stop_reason:
            return
        if not self._rounds_measured:
            self.between = max(self.between, self.budget.clock() - self._round_ended)
        before = self.budget.clock()
        self._rehearse(trainer)
        self._round_ended += self.budget.clock() - before  # not a part of every pause
        plan = self._revised(trainer)
        if trainer.step >= plan.total:
            self._stop(trainer)
        self.plan = replace(plan, validate_at=self._next_validation(trainer, plan))

    # ---- planning ------------------------------------------------------------------------------

    def _is_measured(self, trainer: Trainer, now: float) -> bool:
        assert self._since is not None
        step, began = self._since
        share, least, most = MEASURED
        enough = min(max(share * self.budget.seconds, least), most)
        return now - began >= enough or (
            trainer.step - step >= 3 and self.budget.used > AIM / 2 * self.budget.seconds
        )

    def _measure(self, trainer: Trainer) -> None:
        """Update the seconds of an update from those since the last measurement."""
        if trainer.device.type == "cuda":
            torch.cuda.synchronize()
        now = self.budget.clock()
        if self._since is not None and trainer.step > self._since[0]:
            self.seconds = (now - self._since[1]) / (trainer.step - self._since[0])
        self._since = (trainer.step, now)

    def _updates_left(self, every: int) -> int:
        left = AIM * self.budget.seconds - self.budget.used - self.end - self.between
        return max(math.floor(left / (self.seconds + self.between / every)), 0)

    def _make(self, trainer: Trainer) -> None:
        self._measure(trainer)
        every = self._every(self._updates_left(10**9))
        plan = Plan(trainer.step + self._updates_left(every))
        self.plan = replace(plan, validate_at=self._next_validation(trainer, plan))
        self._planned_at = self.budget.clock()
        self.first = {
            "updates": plan.total,
            "update_seconds": self.seconds,
            "validation_seconds": self.between,
            "end_seconds": self.end,
            "used_before": self.budget.used,
        }

    def _rehearse(self, trainer: Trainer) -> None:
        """Measure the end again, once, where much of the time is kept for it."""
        share, much = REHEARSED
        if self.rehearse is None or self.share(trainer.step) < share:
            return
        if self.end > much * self.budget.seconds:
            self.end, self.evaluated_rows = self.rehearse()
            self._since = (trainer.step, self.budget.clock())
        self.rehearse = None

    def _revised(self, trainer: Trainer) -> Plan:
        assert self.plan is not None
        self._planned_at = self.budget.clock()
        if not self.seconds:  # nothing is measured yet
            return self.plan
        every = self._every(self._updates_left(10**9))
        return self.plan.revised(trainer.step, trainer.step + self._updates_left(every))

    def _every(self, updates: int) -> int:
        """Return the updates between two validations: an epoch, unless that is too seldom or too often.

        Args:
            updates: that are left, if nothing were validated.
        """
        assert self._trainer is not None
        fewest, most = VALIDATIONS
        done = self._trainer.step
        dear = math.ceil(self.between / OVERHEAD / max(self.seconds, 1e-9))
        least = max((done + updates) // most, dear, 1)
        longest = max((done + updates) // fewest, least)
        epoch = self.rounds.length // self.group
        if epoch == 0 or epoch > longest:
            return longest
        return epoch * math.ceil(least / epoch)

    def _next_validation(self, trainer: Trainer, plan: Plan) -> int:
        every = self._every(plan.total - trainer.step)
        end = trainer.step + every
        return plan.total if plan.total - end < every / 2 else end

    # ---- ending --------------------------------------------------------------------------------

    def _late(self, now: float) -> bool:
        """Whether there is no time for another update."""
        return self.budget.used + self.seconds + self.between + self.end > LIMIT * self.budget.seconds

    def _finish(self, trainer: Trainer) -> None:
        self.plan = (self.plan or Plan(trainer.step)).revised(trainer.step, trainer.step)
        self._stop(trainer)

    def _stop(self, trainer: Trainer) -> None:
        trainer.stop(
            f"the time was planned for {trainer.step:,} update{'s' * (trainer.step != 1)} "
            f"({self.budget.minutes:g} minutes)"
        )

    # ---- state ---------------------------------------------------------------------------------

    def state_dict(self) -> dict[str, Any]:
        return {
            "plan": None if self.plan is None else asdict(self.plan),
            "used": self.budget.used,
            "seconds": self.seconds,
            "between": self.between,
            "first": self.first,
            "batches": list(self.rounds.at),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.plan = None if state["plan"] is None else Plan(**state["plan"])
        self.budget.add(state["used"])
        self.seconds, self.between, self.first = state["seconds"], state["between"], state["first"]
        self.rounds.at = (state["batches"][0], state["batches"][1])
        self._planned_at = self.budget.clock()


class Rounds:
    """Training batches in rounds that a planner ends, each followed by a validation, instead of epochs.

    Args:
        batches: with `epoch(number, start)`, or any iterable.
        planner: ends the rounds.

    Attributes:
        at: epoch of the data and batch of the epoch that come next.
        length: batches of an epoch of the data; 0 if unknown.
    """

    def __init__(self, batches: Any, planner: TimePlanner):
        self.batches, self.planner = batches, planner
        self.at = (0, 0)
        try:
            self.length = len(batches)
        except TypeError:  # a stream
            self.length = 0
        self._open: tuple[tuple[int, int], Iterator[Any]] | None = None

    def __len__(self) -> int:
        return len(self.batches)

    @property
    def epochs(self) -> float:
        """Passes over the data so far; whole ones where an epoch has no length."""
        return self.at[0] + (self.at[1] / self.length if self.length else 0)

    def __iter__(self) -> Iterator[Any]:
        return self.epoch(0)

    def epoch(self, number: int, start: int = 0) -> Iterator[Any]:
        """Yield batches until the round is over, from where the last one ended."""
        found = self._open[1] if self._open is not None and self._open[0] == self.at else None
        rest = self._epoch_from(*self.at) if found is None else found
        while not self.planner.round_is_over:
            batch = next(rest, _END)
            if batch is _END and not self.at[1]:
                return
            if batch is _END:
                self.at = (self.at[0] + 1, 0)
                rest = self._epoch_from(*self.at)
                continue
            self.at = (self.at[0], self.at[1] + 1)
            self._open = (self.at, rest)
            yield batch

    def _epoch_from(self, number: int, start: int) -> Iterator[Any]:
        if hasattr(self.batches, "epoch"):
            return iter(self.batches.epoch(number, start))
        rest = iter(self.batches)
        for _ in range(start):
            next(rest, None)
        return rest


_END = object()
