"""Train a config to a finished run; `train` has the steps in order."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.text import Text
from torch import nn

from pellucid import report
from pellucid.config import Config
from pellucid.config_text import near
from pellucid.data.dataset import Dataset
from pellucid.diagnosis import diagnose
from pellucid.errors import PellucidError, StorageError, TrainingError
from pellucid.evaluation import Trained
from pellucid.record import Run, files
from pellucid.record.run import REPORT, find_run, now
from pellucid.runner import budget as budgeted
from pellucid.runner.budget import refuse_needed
from pellucid.runner.check import check_config
from pellucid.runner.components import make_callbacks, make_trainer
from pellucid.runner.data import fitted_before
from pellucid.runner.data_checks import check_data, measure_without_copies
from pellucid.runner.data_warnings import data_warnings, left_out
from pellucid.runner.decision import with_threshold
from pellucid.runner.load import load_needed
from pellucid.runner.model_builder import recall_model
from pellucid.runner.needs import needed_recipes
from pellucid.runner.optimization import choose_execution, optimizer_of, updates
from pellucid.runner.paths import with_absolute_paths
from pellucid.runner.resume import Resume, check_resume
from pellucid.runner.run_facts import run_facts, target_met
from pellucid.runner.setup import set_up
from pellucid.runner.supplied import NOTHING, Supplied, make_own_callbacks, may_change
from pellucid.runner.timed_baselines import measure_baselines
from pellucid.runner.watching import Watching
from pellucid.tasks.prepared import EVALUATED, PreparedData
from pellucid.tasks.task import Task, check_baselines
from pellucid.train import checkpoint
from pellucid.train.budget import Budget
from pellucid.train.callbacks import EarlyStopping, Monitor
from pellucid.train.device import choose_device
from pellucid.train.execution import execution_mode
from pellucid.train.finding_stream import FindingStream, OnFinding
from pellucid.train.lr_find import LrSuggestion, lr_find
from pellucid.train.objective import Objective
from pellucid.train.seed import borrowed_generators, seed_everything
from pellucid.train.trainer import Trainer


@borrowed_generators()
def train(
    config: Config,
    *,
    runs: str | Path = "runs",
    resume: Resume | None = None,
    dataset: Dataset | None = None,
    model: nn.Module | None = None,
    needed: Mapping[str, Trained] | None = None,
    console: Console | None = None,
    begun: Callable[[Run], None] | None = None,
    supplied: Supplied = NOTHING,
    used: float = 0.0,
    on_finding: OnFinding | None = None,
) -> Run:
    """Train a config and return the finished run.

    Recipes that the config needs and that have no finished run are trained first. If one of them is
    interrupted, its run is returned.

    Args:
        config: the whole config.
        runs: the folder that holds run folders.
        resume: an earlier run to resume.
        dataset: a loaded dataset to use instead of `data.source`.
        model: the caller's own module, to use instead of `model.name`.
        needed: models of other runs that the task uses, by role, instead of those the config names.
        console: where to show progress; None to show nothing.
        begun: called with the run, and before with each run of a needed recipe, once its folder exists.
        supplied: objects that the caller passed in instead of naming them in the config.
        used: seconds of `train.minutes` that have passed already.
        on_finding: called with each finding, once: during training as soon as it is seen, else at its end.

    Raises:
        PellucidError: the input is invalid, in which case nothing has been written, or training failed.
    """
    began = time.perf_counter()
    config = with_absolute_paths(config, dataset)
    minutes = config.train.minutes
    budget = None if minutes is None else Budget(minutes, used)
    console = console or Console(quiet=True)
    run = find_run(runs, resume.reference, config.name) if resume else None
    if run is not None:
        recall_model(run)
        began -= max(run.facts["seconds"].get("total", 0.0), run.facts["seconds"].get("training", 0.0))
    check_config(config, supplied, own_model=model is not None)
    refuse_needed(config, runs, starts=resume is None)
    stopped = train_needed(config, runs, console, starts=resume is None, begun=begun)
    if stopped is not None:
        return stopped
    fitted = fitted_before(run, config) if run else None
    setup = set_up(
        config,
        runs,
        dataset=dataset,
        fitted=fitted,
        model=model,
        fresh=run is None,
        architecture=run.facts["model"].get("architecture") if run and fitted is not None else None,
        supplied=supplied,
    )
    config = setup.config
    needed = load_needed(config, runs) if needed is None else needed
    prepared, longer = setup.prepared.with_needed(needed), False
    if run is None:
        run = Run.create(
            runs,
            config.name,
            config.to_yaml(),
            **run_facts(config, prepared, setup.model, setup.objective, supplied, setup.activation),
        )
        if setup.activation and console.quiet:
            warnings.warn(setup.notes[-1], stacklevel=2)
        found = data_warnings(prepared, labelled=setup.task.labelled)
        about = budgeted.notes_on(config)
        for note in [*setup.notes, *about, *found, *setup.task.warnings(prepared)]:
            run.note(note)
    else:
        longer = check_resume(
            run,
            config,
            prepared,
            allow_changes=resume is not None and resume.allow_changes,
            supplied=supplied,
            model=setup.model,
        )
    if begun is not None:
        begun(run)
    with run.writing(), outcome(run):
        if run.facts["status"] == "finished" and not longer:
            _tell(console, f"Run {run.id} is already finished; it is returned as it is, nothing was trained.")
            if not (run.path / REPORT).exists():  # its process was killed before it was written
                _conclude(run, FindingStream(run, console, on_finding))
            return run
        run.update(status="running")
        if budget is not None:
            budgeted.remember(budget, run)
        _print_header(run, config, prepared, console)
        check_data(run, prepared)
        stream = FindingStream(run, console, on_finding)
        parts = (setup.task, prepared, setup.objective, supplied, stream, budget, longer)
        context = _Context(run, config, *parts)
        _measure_baselines(context)
        try:
            trainer = _train(context, setup.model, console, resumed=resume is not None)
        except TrainingError as error:
            run.update(status="failed", stop_reason=error.message, ended=now())
            report.write(run.path)
            stream.tell(run.store.findings())
            raise
        if trainer.interrupted:
            run.update(status="interrupted", stop_reason=trainer.stop_reason, ended=now())
            _record_time(context, trainer)
            return run
        known = len(run.facts["notes"])
        _finish(context, trainer, began)
        for note in run.facts["notes"][known:]:
            console.print(note, highlight=False, markup=False)
        _record_time(context, trainer)
    return run


def train_needed(
    config: Config,
    runs: str | Path,
    console: Console,
    *,
    starts: bool,
    uses: bool = True,
    begun: Callable[[Run], None] | None = None,
) -> Run | None:
    """Train the recipes that a config needs; return the first run that was interrupted, else None."""
    for recipe, reason in needed_recipes(config, runs, starts=starts, uses=uses):
        console.print(reason, markup=False, highlight=False)
        run = train(recipe, runs=runs, console=console, begun=begun)
        if run.status == "interrupted":
            return run
        console.print()
    return None


def train_start(
    config: Config, runs: str | Path, console: Console | None, begun: Callable[[Run], None] | None
) -> None:
    """Train the recipe that a config's model starts from, unless there is a finished run of it.

    Raises:
        KeyboardInterrupt: its training was interrupted.
    """
    console = console or Console(quiet=True)
    stopped = train_needed(config, runs, console, starts=True, uses=False, begun=begun)
    if stopped is not None:
        raise KeyboardInterrupt


@dataclass(frozen=True)
class _Context:
    """What the steps of a training run share."""

    run: Run
    config: Config
    task: Task
    prepared: Any  # PreparedData
    objective: Objective
    supplied: Supplied
    stream: FindingStream
    budget: Budget | None = None
    longer: bool = False  # resumed to train for longer than it was to


def _train(context: _Context, model: nn.Module, console: Console, resumed: bool) -> Trainer:
    run, prepared, objective = context.run, context.prepared, context.objective
    if (state := prepared.state()) is not None:
        files.write_json(run.path / "preprocess.json", state)
    batches = prepared.training_batches()
    per_epoch, steps = updates(context.config, batches)
    execution, threads = _choose_execution(context, model)
    config = context.config.patch({"train.execution": execution})
    if context.budget is not None:
        config = budgeted.planned(config)
    seed_everything(config.train.seed)
    extra = [*context.task.callbacks(run, prepared), *make_own_callbacks(config, context.supplied)]
    validation = prepared.validation
    callbacks = make_callbacks(
        config,
        objective,
        run,
        console,
        per_epoch,
        extra,
        validated=validation is not None,
        stream=context.stream,
    )
    planner = None
    if config.train.watch == "light" and not may_change(context.supplied):
        callbacks.insert(0, Watching(run))
    if context.budget is not None:
        planner = budgeted.make_planner(config, context.budget, batches, steps, context.supplied)
        callbacks.insert(-1, planner)  # the last one saves checkpoints
    trainer = make_trainer(config, model, objective, steps, per_epoch, callbacks, context.supplied)
    before = len(run.facts["notes"])
    trainer.run = run
    if resumed and checkpoint.restore(run, trainer):
        run.store.event(trainer.step, "resume", f"resumed at epoch {trainer.epoch}, batch {trainer.position}")
        console.print(f"Resumed {run.id} at epoch {trainer.epoch}, step {trainer.step}.", highlight=False)
        for note in run.facts["notes"][before:]:
            _tell(console, note)
        if context.longer:
            _go_on(trainer, run)
    evaluations = {} if validation is None else {"val": prepared.batches(validation)}
    sample = prepared.train_sample()
    start, threads_before = time.perf_counter(), torch.get_num_threads()
    try:
        torch.set_num_threads(threads)  # sums are only reproducible with the same number of threads
        if planner is not None:
            with run.timed("planning the time"):
                evaluations, sample = budgeted.look_ahead(planner, context.task, trainer, prepared)
            batches = planner.rounds
        with run.timed("training"):
            trainer.fit(batches, evaluations, sample)
    finally:
        torch.set_num_threads(threads_before)
        seconds = run.facts["seconds"]
        run.update(seconds={**seconds, "training": seconds.get("training", 0) + time.perf_counter() - start})
    return trainer


def _go_on(trainer: Trainer, run: Run) -> None:
    """Let a run that had ended train for longer: what ended it no longer counts, nor what was found then."""
    run.store.forget_findings()
    trainer.stop_reason = trainer.stopped = ""
    for callback in trainer.callbacks:
        if isinstance(callback, EarlyStopping):
            callback.since = trainer.epochs_done


def _choose_execution(context: _Context, model: nn.Module) -> tuple[str, int]:
    """Choose device, execution mode and number of threads once per run; return the last two."""
    run, config = context.run, context.config
    chosen = {choice["what"]: choice["value"] for choice in run.facts["choices"]}
    device, reason = choose_device(config.train.device)
    run.choose("device", device.type, reason)
    execution = chosen.get("execution", chosen.get("path"))  # version 0.1 called it the path
    if execution is not None:
        return execution, chosen["threads"]
    budget = context.budget
    seconds = None if budget is None else max(budget.seconds - budget.used, 0.0)
    with run.timed("choosing the execution mode"):
        tuned = choose_execution(
            config, context.prepared, model, context.objective, context.supplied, seconds
        )
    run.choose("threads", tuned.threads.value, tuned.threads.reason)
    mode, reason = execution_mode(tuned.execution.value), tuned.execution.reason
    if mode.compiled and may_change(context.supplied):
        mode = replace(mode, compiled=False)
        reason += "; not compiled, since a loss or an objective of your own may change during training"
    run.choose("execution", mode.name, reason)
    return mode.name, tuned.threads.value


def _finish(context: _Context, trainer: Trainer, began: float) -> None:
    """Load the best weights, evaluate them on every held-out split, and write the report."""
    run, config, prepared, objective = context.run, context.config, context.prepared, context.objective
    weights = checkpoint.find_weights(run, "best" if config.train.restore_best else "last")
    checkpoint.load_weights(trainer.model, weights)
    metrics = {key: value for key, value in trainer.measures.items() if key.startswith("train/")}
    preprocess, device, execution = prepared.preprocess, trainer.device, trainer.execution.name
    trained = Trained(trainer.model, objective, preprocess, device, execution, context.task.name)
    with run.timed("evaluation", trainer.step):
        trained = with_threshold(trained, config, prepared, run)
        for split, prefix in EVALUATED.items():
            if prepared.has(split):
                outcome = budgeted.evaluate(context.task, trained, prepared, split, trainer.planner, run)
                outcome.write(run.path, split)
                for name, reason in outcome.left_out.items():
                    run.note(f"{prefix}/{name} is left out: {reason}.")
                metrics |= {f"{prefix}/{key}": value for key, value in outcome.metrics.items()}
    if trainer.planner is not None:
        budgeted.record_updates(run, trainer.planner, trainer)
    monitor = next(c for c in trainer.callbacks if type(c) is Monitor)
    run.update(
        status="finished",
        ended=now(),
        stop_reason=trainer.stop_reason,
        metrics=metrics,
        best={**(monitor.best or {}), "metric": monitor.metric, "mode": monitor.mode},
        target_met=target_met(config, prepared, metrics, run.spec),
        seconds={**run.facts["seconds"], "total": time.perf_counter() - began},
    )
    measure_without_copies(run)
    _conclude(run, context.stream)


def _record_time(context: _Context, trainer: Trainer) -> None:
    if context.budget is not None:
        context.budget.keep()
        context.run.update(budget={**context.run.facts["budget"], "updates": trainer.step})


def _conclude(run: Run, stream: FindingStream) -> None:
    """Store the findings and write the report; what goes wrong there must not undo a finished run."""
    try:
        found = diagnose(run)
        for finding in found:
            run.find(finding)
        stream.tell(found)
        run.store.flush()
        report.write(run.path)
    except StorageError:
        raise
    except Exception as error:
        run.note(
            f"The findings or the report could not be written: {type(error).__name__}: {error}. The results "
            "are complete."
        )


def _measure_baselines(context: _Context) -> None:
    """Measure the baselines, such as guessing and a linear model, unless they are already recorded."""
    if "baselines" not in context.run.facts:
        with context.run.timed("baselines"):
            measured = measure_baselines(context.task, context.prepared, context.budget, context.run)
            found = check_baselines(context.task.name, measured)
        context.run.update(baselines=found)


def _print_header(run: Run, config: Config, prepared: PreparedData, console: Console) -> None:
    """Print the run, its data and its model."""
    facts = run.facts["dataset"]
    run.choose("data", "in memory" if prepared.in_memory else "streamed", prepared.where)
    origin = prepared.config.data.text.pretrained
    if origin != config.data.text.pretrained:
        run.choose("tokenizer", origin, "the initial weights have one embedding row for each of its tokens")
    sizes = ", ".join(
        name if part["rows"] is None else f"{name} {part['rows']:,}" for name, part in facts["splits"].items()
    )
    console.print(Text.assemble((run.name, "bold"), f"  {near(run.path)}"))
    console.print(
        f"data    {near(facts['source']['name'])} ({facts['source']['kind']}): {sizes}", highlight=False
    )
    for note in filter(None, [facts["source"]["note"], *facts["notes"]]):
        console.print(f"        {note}", highlight=False, style="dim", markup=False)
    for line in [*left_out(facts["skipped"]), *(run.facts.get("notes") or [])]:
        console.print(f"      ! {line}", highlight=False, markup=False)
    model = run.facts["model"]
    console.print(f"model   {model['name']}, {model['parameters']:,} parameters", highlight=False)


def _tell(console: Console, message: str) -> None:
    """Print a message that must not be missed; where nothing is shown, warn."""
    if console.quiet:
        warnings.warn(message, stacklevel=2)
    else:
        console.print(message, highlight=False, markup=False)


# ---- ending ------------------------------------------------------------------------------------


@contextmanager
def outcome(run: Run) -> Iterator[None]:
    """Record the status and the reason if a run is interrupted or fails."""
    try:
        yield
    except KeyboardInterrupt:
        run.update(status="interrupted", stop_reason="interrupted", ended=now())
        raise
    except Exception as error:
        reason = error.message if isinstance(error, PellucidError) else f"{type(error).__name__}: {error}"
        run.update(status="failed", stop_reason=reason, ended=now())
        raise


@borrowed_generators()
def find_lr(
    config: Config,
    runs: str | Path = "runs",
    *,
    console: Console | None = None,
    begun: Callable[[Run], None] | None = None,
) -> LrSuggestion:
    """Suggest a learning rate for the model and data of a config; nothing is written.

    A recipe that the model starts from, and that has no finished run, is trained first; its run is kept. For
    the arguments see `pellucid.runner.profile`.
    """
    check_config(config)
    train_start(config, runs, console, begun)
    setup = set_up(config, runs)
    batches, loss = setup.prepared.training_batches(), setup.objective.phases[0].loss
    return lr_find(setup.model, batches, loss, optimizer=optimizer_of(config))
