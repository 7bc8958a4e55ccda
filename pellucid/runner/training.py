"""From a config to a finished run: the steps are in `train`, in order."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from rich.console import Console
from rich.text import Text
from torch import nn

from pellucid import report
from pellucid.config import Config
from pellucid.data.dataset import Dataset
from pellucid.diagnosis import diagnose
from pellucid.errors import PellucidError, TrainingError
from pellucid.evaluation import Trained
from pellucid.record import Run, files
from pellucid.record.run import find_run, now
from pellucid.runner.components import (
    choose_execution,
    make_callbacks,
    make_trainer,
    monitored,
    optimizer_of,
    updates,
)
from pellucid.runner.data import kept
from pellucid.runner.load import load_needed
from pellucid.runner.needs import needed_recipes
from pellucid.runner.resume import Resume, check_resume
from pellucid.runner.run_facts import run_facts, target_met
from pellucid.runner.setup import make_ready
from pellucid.tasks.prepared import EVALUATED, Prepared
from pellucid.tasks.task import Task
from pellucid.train import checkpoint
from pellucid.train.callbacks import Monitor
from pellucid.train.device import choose_device
from pellucid.train.lr_find import LrSuggestion, lr_find
from pellucid.train.objective import Objective
from pellucid.train.seed import seed_everything
from pellucid.train.trainer import Trainer


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
) -> Run:
    """Train what a config says and return the finished run.

    Recipes that the config needs and that have no finished run are trained first.

    Args:
        config: everything there is to know.
        runs: the folder that holds run folders.
        resume: an earlier run to go on with.
        dataset: data already loaded, instead of `data.source`.
        model: a module of the caller's own, instead of `model.name`.
        needed: models of other runs that the task uses, by role, instead of those the config names.
        console: where progress is shown; None shows nothing.
        begun: is told of the run as soon as it has a folder.

    Raises:
        PellucidError: nothing has been written if the input was at fault.
    """
    began = time.perf_counter()
    console = console or Console(quiet=True)
    stopped = train_needed(config, runs, console, starts=resume is None)
    if stopped is not None:
        return stopped
    run = find_run(runs, resume.reference, config.name) if resume else None
    fitted = kept(run, config) if run else None
    ready = make_ready(config, runs, dataset=dataset, fitted=fitted, model=model, begins=run is None)
    needed = load_needed(config, runs) if needed is None else needed
    prepared = replace(ready.prepared, needed=needed)
    if run is None:
        run = Run.create(runs, config.name, config.to_yaml(), **run_facts(config, prepared, ready.model))
        for note in ready.notes:
            run.note(note)
        if begun is not None:
            begun(run)
    else:
        check_resume(run, config, prepared, allow_changes=resume is not None and resume.allow_changes)
    with run.writing(), outcome(run):
        if run.facts["status"] == "finished":
            console.print(f"Run {run.id} is already finished; nothing is left to train.")
            return run
        run.update(status="running")
        _announce(run, config, prepared, console)
        work = _Work(run, config, ready.task, prepared, ready.objective)
        _measure_baselines(work)
        try:
            trainer = _train(work, ready.model, console, resumed=resume is not None)
        except TrainingError as error:
            run.update(status="failed", stop_reason=error.message, ended=now())
            report.write(run.path)
            raise
        if trainer.interrupted:
            run.update(status="interrupted", stop_reason=trainer.stop_reason, ended=now())
            return run
        _finish(work, trainer, began)
    return run


def train_needed(config: Config, runs: str | Path, console: Console, *, starts: bool) -> Run | None:
    """Train the recipes that a config needs; return the first that was interrupted, else None."""
    for recipe, reason in needed_recipes(config, runs, starts=starts):
        console.print(reason, markup=False, highlight=False)
        run = train(recipe, runs=runs, console=console)
        if run.status == "interrupted":
            return run
        console.print()
    return None


@dataclass(frozen=True)
class _Work:
    """What the steps of a training share."""

    run: Run
    config: Config
    task: Task
    prepared: Prepared
    objective: Objective


def _train(work: _Work, model: nn.Module, console: Console, resumed: bool) -> Trainer:
    run, prepared, objective = work.run, work.prepared, work.objective
    state = {**prepared.preprocess.state(), "features": prepared.preprocess.feature_names}
    files.write_json(run.path / "preprocess.json", state)
    batches = prepared.training_batches()
    per_epoch, steps = updates(work.config, batches)
    execution, threads = _choose_execution(work, model)
    config = work.config.patch({"train.execution": execution})
    seed_everything(config.train.seed)
    shown = work.task.callbacks(run, prepared)
    callbacks = make_callbacks(config, objective, run, console, per_epoch, shown)
    trainer = make_trainer(config, model, objective, steps, per_epoch, callbacks)
    if resumed and checkpoint.restore(run, trainer):
        run.store.event(trainer.step, "resume", f"resumed at epoch {trainer.epoch}, batch {trainer.position}")
        console.print(f"Resumed {run.id} at epoch {trainer.epoch}, step {trainer.step}.", highlight=False)
    evaluations = {"val": prepared.batches(prepared.validation)}
    start, every = time.perf_counter(), torch.get_num_threads()
    try:
        torch.set_num_threads(threads)  # sums come out the same only with as many
        with run.timed("training"):
            trainer.fit(batches, evaluations, prepared.train_sample())
    finally:
        torch.set_num_threads(every)
        seconds = run.facts["seconds"]
        run.update(seconds={**seconds, "training": seconds.get("training", 0) + time.perf_counter() - start})
    return trainer


def _choose_execution(work: _Work, model: nn.Module) -> tuple[str, int]:
    """Choose device, execution mode and threads once per run; return the last two."""
    run, config = work.run, work.config
    kept = {choice["what"]: choice["value"] for choice in run.facts["choices"]}
    device, reason = choose_device(config.train.device)
    run.choose("device", device.type, reason)
    execution = kept.get("execution", kept.get("path"))  # version 0.1 called it the path
    if execution is not None:
        return execution, kept["threads"]
    with run.timed("choosing the execution mode"):
        tuned = choose_execution(config, work.prepared, model, work.objective)
    run.choose("threads", tuned.threads.value, tuned.threads.reason)
    run.choose("execution", tuned.execution.value, tuned.execution.reason)
    return tuned.execution.value, tuned.threads.value


def _finish(work: _Work, trainer: Trainer, began: float) -> None:
    """Take the best weights, measure them on every held-out split, and write the report."""
    run, config, prepared, objective = work.run, work.config, work.prepared, work.objective
    weights = checkpoint.find_weights(run, "best" if config.train.restore_best else "last")
    checkpoint.load_weights(trainer.model, weights)
    metrics = {key: value for key, value in trainer.measures.items() if key.startswith("train/")}
    preprocess, device, execution = prepared.preprocess, trainer.device, trainer.execution.name
    trained = Trained(trainer.model, objective, preprocess, device, execution, work.task.name)
    with run.timed("evaluation", trainer.step):
        for split, prefix in EVALUATED.items():
            if split in prepared.rows:
                outcome = work.task.evaluate(trained, prepared, split)
                outcome.write(run.path, split)
                metrics |= {f"{prefix}/{key}": value for key, value in outcome.metrics.items()}
    metric, mode = monitored(config, objective)
    monitor = next(c for c in trainer.callbacks if type(c) is Monitor)
    run.update(
        status="finished",
        ended=now(),
        stop_reason=trainer.stop_reason,
        metrics=metrics,
        best={**(monitor.best or {}), "metric": metric, "mode": mode},
        target_met=target_met(config, prepared.dataset, metrics),
        seconds={**run.facts["seconds"], "total": time.perf_counter() - began},
    )
    for finding in diagnose(run):
        run.find(finding)
    run.store.flush()
    report.write(run.path)


def _measure_baselines(work: _Work) -> None:
    """Measure what needs no network, such as guessing and a linear model."""
    if "baselines" not in work.run.facts:
        with work.run.timed("baselines"):
            found = work.task.baselines(work.prepared)
        work.run.update(baselines=found)


def _announce(run: Run, config: Config, prepared: Prepared, console: Console) -> None:
    dataset, facts = prepared.dataset, run.facts
    run.choose("data", "in memory" if prepared.in_memory else "streamed", prepared.where)
    origin = prepared.config.data.text.pretrained
    if origin != config.data.text.pretrained:
        run.choose("tokenizer", origin, "the weights the model begins with have a row for each of its tokens")
    sizes = ", ".join(f"{name} {len(table):,}" for name, table in dataset.splits.items())
    console.print(Text.assemble((run.name, "bold"), f"  {run.path}"))
    console.print(f"data    {dataset.source.name} ({dataset.source.kind}): {sizes}", highlight=False)
    for note in filter(None, [dataset.source.note, *facts["dataset"]["notes"]]):
        console.print(f"        {note}", highlight=False, style="dim", markup=False)
    model = facts["model"]
    console.print(f"model   {model['name']}, {model['parameters']:,} parameters", highlight=False)


# ---- ending ------------------------------------------------------------------------------------


@contextmanager
def outcome(run: Run) -> Iterator[None]:
    """Record how a run ended if it did not end well."""
    try:
        yield
    except KeyboardInterrupt:
        run.update(status="interrupted", stop_reason="interrupted", ended=now())
        raise
    except Exception as error:
        reason = error.message if isinstance(error, PellucidError) else f"{type(error).__name__}: {error}"
        run.update(status="failed", stop_reason=reason, ended=now())
        raise


def find_lr(config: Config, runs: str | Path = "runs") -> LrSuggestion:
    """Measure which learning rate suits the model and data of a config; nothing is written."""
    ready = make_ready(config, runs)
    batches, loss = ready.prepared.training_batches(), ready.objective.phases[0].loss
    return lr_find(ready.model, batches, loss, optimizer=optimizer_of(config))
