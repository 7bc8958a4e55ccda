"""Compute one update of a run again, to the bit: `replay`.

An update depends on its batch, which is a function of seed, epoch and position, and on what a checkpoint
holds. So the trainer is built as in training, brought to the newest checkpoint before the update (or to the
initial weights, which follow from the seed), and trains on until then. Everything that it writes goes into a
temporary folder; the run is only read.
"""

from __future__ import annotations

import contextlib
import copy
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import torch
from rich.console import Console
from torch import nn

from pellucid.config import Config
from pellucid.data.dataset import Dataset
from pellucid.errors import RunError
from pellucid.record import Run
from pellucid.record.checkpoints import step_of
from pellucid.runner.batch_rows import batch_rows
from pellucid.runner.components import make_callbacks, make_trainer
from pellucid.runner.load import load_needed, load_preprocess
from pellucid.runner.model_builder import OWN_MODEL, recall_model
from pellucid.runner.new_data import check_unchanged
from pellucid.runner.optimization import updates
from pellucid.runner.paths import with_absolute_paths
from pellucid.runner.replayable import check_parts, check_run, check_step, device_of, other_versions
from pellucid.runner.replayed import Replay
from pellucid.runner.setup import Setup, set_up
from pellucid.runner.supplied import NOTHING, Supplied, make_own_callbacks
from pellucid.runner.watched_update import WatchedPreparation, WatchedUpdate, finite
from pellucid.train import checkpoint
from pellucid.train.callbacks import Callback, EarlyStopping, Recorder, SignalHandler
from pellucid.train.checkpoint import Checkpointer
from pellucid.train.margins import LabelMargins
from pellucid.train.seed import borrowed_generators, seed_everything
from pellucid.train.trainer import Trainer

LEFT_OUT = (Checkpointer, EarlyStopping, LabelMargins, Recorder, SignalHandler)
"""Callbacks that write, or decide when training ends, which is known here."""
StepLosses = dict[str, dict[int, list[float | None]]]
"""Losses by phase and update: several where a phase is repeated in a step; None is not finite."""


@borrowed_generators()
def replay(
    run: Run,
    step: int,
    *,
    model: nn.Module | None = None,
    dataset: Dataset | None = None,
    supplied: Supplied | None = None,
) -> Replay:
    """Compute an update of a run again, and compare its loss with the recorded one.

    Args:
        run: any run of ours, finished or not; nothing is written to it.
        step: the update, from 1.
        model: a module like the one that was trained, if that was the caller's own.
        dataset: the data of the run, where they were passed; None to load them again.
        supplied: what else was passed to `fit`.

    Returns:
        The update: its rows, losses, learning rate, norms, and a trace of every module.

    Raises:
        UsageError: the run has no such update.
        RunError: what is needed is not there; says what.
    """
    supplied = supplied or NOTHING
    check_run(run)
    config = with_absolute_paths(Config.read(run.path / "config.yaml"))
    check_parts(run, config, model, supplied)
    check_step(run, step)
    base = run.checkpoints.before(step - 1)
    if base is None and config.model.name == OWN_MODEL:
        first = min((step_of(folder) for folder in run.checkpoints.all()), default=None)
        raise RunError(
            f"Step {step:,} of run {run.id} cannot be replayed: the initial weights of a module of your own "
            f"are not kept, and its first checkpoint is that of step {first}.",
            remedy=f"a step after {first}; a larger train.snapshots keeps more checkpoints",
        )
    recall_model(run)
    config = config.patch({"train.device": device_of(run, config)})
    setup = set_up(
        config,
        run.path.parent,
        dataset=dataset,
        fitted=load_preprocess(run),
        model=copy.deepcopy(model),
        fresh=base is None,
        architecture=run.facts["model"].get("architecture"),
        supplied=supplied,
    )
    check_unchanged(run, setup.prepared.facts()["splits"])
    with _copy_of(run) as scratch, _threads(run):
        replaying = _Replaying(setup, scratch, run, supplied, step)
        replayed = replaying.train(base is not None)
    _compare(replayed, run, replaying.losses.found)
    replayed.notes += other_versions(run)
    return replayed


class _Replaying:
    """The trainer of a run, built as `runner.training` does, and brought to the step that is wanted.

    Args:
        setup: the parts of the run.
        scratch: a copy of the run, which its callbacks write to.
        run: the run itself, which is read.
        supplied: the objects that were passed in.
        step: the update.
    """

    def __init__(self, setup: Setup, scratch: Run, run: Run, supplied: Supplied, step: int):
        self.run, self.step = run, step
        chosen = {choice["what"]: choice["value"] for choice in run.facts["choices"]}
        execution = chosen.get("execution", chosen.get("path"))  # version 0.1 called it the path
        config = setup.config.patch({"train.execution": execution, "train.trackers": []})
        self.prepared = setup.prepared.with_needed(load_needed(config, run.path.parent))
        self.batches = self.prepared.training_batches()
        per_epoch, steps = updates(setup.config, self.batches)
        seed_everything(config.train.seed)
        validated = self.prepared.validation is not None
        extra = [*setup.task.callbacks(scratch, self.prepared), *make_own_callbacks(config, supplied)]
        usual = make_callbacks(
            config, setup.objective, scratch, Console(quiet=True), per_epoch, extra, validated=validated
        )
        self.losses = _Losses()
        callbacks = [c for c in usual if not isinstance(c, LEFT_OUT)]
        self.trainer = make_trainer(
            config,
            setup.model,
            setup.objective,
            steps,
            per_epoch,
            [*callbacks, self.losses, _Until(step)],
            supplied,
        )
        self.trainer.run = scratch
        self.at: tuple[int, int] = (0, 0)
        prepare, shared = setup.objective.prepare_batch, None
        if prepare is not None:
            shared = WatchedPreparation(prepare, self._wanted)
            self.trainer.objective = replace(setup.objective, prepare_batch=shared)
        self.watched = {
            name: WatchedUpdate(update, self._wanted, shared) for name, update in self.trainer.updates.items()
        }
        self.trainer.updates = self.watched  # type: ignore[assignment]

    def _wanted(self) -> bool:
        """Whether the trainer is about to compute the update; also remembers its place."""
        trainer = self.trainer
        self.at = trainer.epoch, trainer.position
        return trainer.step == self.step - 1

    def train(self, from_checkpoint: bool) -> Replay:
        """Go to the step, through it, and return what happened."""
        trainer, prepared = self.trainer, self.prepared
        if from_checkpoint:
            checkpoint.look_back(self.run, trainer, self.step - 1)
            trainer.stop_reason = trainer.stopped = ""  # a run that was trained for longer had ended here
        start = trainer.step
        validation = prepared.validation
        evaluations = {} if validation is None else {"val": prepared.batches(validation)}
        trainer.fit(self.batches, evaluations, prepared.train_sample())
        trainer.flush_losses()
        epoch, position = self.at
        made = Replay(
            self.run.id,
            self.step,
            epoch,
            position,
            start,
            not from_checkpoint,
            trainer.execution.name,
            [w.seen for w in self.watched.values() if w.seen is not None],
            batch_rows(prepared, self.batches, epoch, position, trainer.config.gradient_accumulation_steps),
        )
        made.notes += [note for watched in self.watched.values() for note in watched.notes]
        return made


class _Losses(Callback):
    """Keeps the losses of all updates, by phase and step."""

    def __init__(self) -> None:
        self.found: StepLosses = {}

    def on_losses(self, trainer: Trainer, rows: list[tuple[int, float, float]]) -> None:
        if len(trainer.objective.phases) == 1:
            self.on_phase_losses(trainer, trainer.objective.phases[0].name, rows)

    def on_phase_losses(self, trainer: Trainer, phase: str, rows: list[tuple[int, float, float]]) -> None:
        for step, loss, _ in rows:
            self.found.setdefault(phase, {}).setdefault(step, []).append(finite(loss))


class _Until(Callback):
    """Ends training after a step."""

    def __init__(self, step: int):
        self.step = step

    def on_step_end(self, trainer: Trainer) -> None:
        if trainer.step >= self.step:
            trainer.interrupt("replayed")


@contextlib.contextmanager
def _copy_of(run: Run) -> Iterator[Run]:
    """A temporary folder with the facts of a run, for what the callbacks of its task write."""
    with tempfile.TemporaryDirectory(prefix="pellucid-replay-") as root:
        folder = Path(root, run.id)
        folder.mkdir()
        for name in ("run.json", "config.yaml", "preprocess.json"):
            if (run.path / name).is_file():
                shutil.copyfile(run.path / name, folder / name)
        copied = Run(folder)
        with copied.writing():
            yield copied


@contextlib.contextmanager
def _threads(run: Run) -> Iterator[None]:
    """Compute with as many threads as the run, without which sums round differently."""
    before = torch.get_num_threads()
    torch.set_num_threads(next(c["value"] for c in run.facts["choices"] if c["what"] == "threads"))
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _compare(replayed: Replay, run: Run, computed: StepLosses) -> None:
    """Add the recorded losses."""
    recorded = run.store.step_losses(replayed.start + 1, replayed.step)
    if not recorded:  # versions 0.1 and 0.2 recorded every tenth
        name = replayed.phases[0].phase
        points = {at: [finite(loss)] for at, loss in run.store.series("step/loss")}
        recorded = {name: {at: points[at] for at in points if replayed.start < at <= replayed.step}}
        replayed.notes.append("The run recorded the loss of every tenth update; only these can be proved.")
    for phase in replayed.phases:
        phase.recorded = recorded.get(phase.phase, {}).get(replayed.step, [])
    for name, by_step in computed.items():
        for at, losses in by_step.items():
            if at < replayed.step and at in recorded.get(name, {}):
                replayed.before += 1
                replayed.before_exact += losses == recorded[name][at]
