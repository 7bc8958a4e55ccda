"""What is printed during training: one bar, and one table row per epoch; plain lines elsewhere."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from pellucid.record import Run
from pellucid.train.callbacks import Callback

if TYPE_CHECKING:
    from pellucid.train.trainer import Trainer

COLUMNS = ("train/loss", "val/loss", "val/accuracy", "val/mae")


class PlainUpdates(Callback):
    """Print and record, as soon as it happens, that an update cannot be compiled, and the reason."""

    needs = frozenset()

    def __init__(self, run: Run, console: Console):
        self.run, self.console = run, console
        self._told: set[str] = set()

    def on_step_end(self, trainer: Trainer) -> None:
        for name, update in trainer.updates.items():
            reason = getattr(update, "refused", "")
            if reason and name not in self._told:
                self._told.add(name)
                message = f"The update of the phase {name} is not compiled: {reason}"
                self.run.note(message)
                self.console.print(message, style="dim", markup=False, highlight=False)


class ProgressBar(Callback):
    """Show the progress of the epochs.

    Args:
        console: the console to print on; without a terminal, rows are printed but no bar.
        steps_per_epoch: updates per epoch, for the remaining time; None if unknown.
    """

    REFRESH = 0.1  # seconds

    def __init__(self, console: Console, steps_per_epoch: int | None):
        self.console, self.steps_per_epoch = console, steps_per_epoch
        self.progress: Progress | None = None
        self._header_shown, self._epoch_start, self._drawn = False, 0.0, 0.0

    def on_train_start(self, trainer: Trainer) -> None:
        if self.console.is_terminal:
            per_epoch = self.steps_per_epoch if trainer.planner is None else None
            total = per_epoch * trainer.config.epochs if per_epoch else None
            self.progress = Progress(
                TextColumn("{task.description}"),
                BarColumn(),
                TimeRemainingColumn(),
                console=self.console,
                transient=True,
            )
            self.task = self.progress.add_task("training", total=total, completed=trainer.step)
            self.progress.start()

    def on_epoch_start(self, trainer: Trainer) -> None:
        self._epoch_start = time.perf_counter()

    def on_step_end(self, trainer: Trainer) -> None:
        if self.progress is not None and time.perf_counter() - self._drawn > self.REFRESH:
            self._drawn = time.perf_counter()
            description, total = f"epoch {trainer.epoch + 1}/{trainer.config.epochs}", None
            if (planner := trainer.planner) is not None:
                description = f"{planner.budget.used / 60:.1f} of {planner.budget.minutes:g} min"
                total = planner.plan and planner.plan.total
            self.progress.update(self.task, completed=trainer.step, description=description, total=total)

    def on_epoch_end(self, trainer: Trainer) -> None:
        shown = [name for name in COLUMNS if name in trainer.measures]
        if not self._header_shown:
            self.console.print(
                "epoch  " + "  ".join(f"{name:>12}" for name in shown) + "     time",
                style="bold",
                highlight=False,
            )
            self._header_shown = True
        values = "  ".join(_cell(name, trainer.measures[name]) for name in shown)
        seconds = time.perf_counter() - self._epoch_start
        epoch = trainer.epochs_done
        number = f"{epoch:>5}" if epoch == trainer.epoch else f"{epoch:>5.4g}"
        self.console.print(f"{number}  {values}  {seconds:>5.1f} s", highlight=False)

    def on_train_end(self, trainer: Trainer) -> None:
        if self.progress is not None:
            self.progress.stop()
        if trainer.stop_reason:
            self.console.print(f"Stopped: {trainer.stop_reason}.", highlight=False)


def _cell(name: str, value: float) -> str:
    return f"{100 * value:>10.2f} %" if name.endswith("accuracy") else f"{value:>12.4f}"
