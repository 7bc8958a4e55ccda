"""Profile a config: where the time goes, and what would make it faster."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from rich.console import Console

from pellucid.config import Config
from pellucid.diagnosis import Speed, advice
from pellucid.record import Finding, Run
from pellucid.runner.check import check_config
from pellucid.runner.components import make_callbacks, make_trainer
from pellucid.runner.optimization import choose_execution, updates
from pellucid.runner.setup import set_up
from pellucid.runner.training import train_start
from pellucid.train.autotune import Tuned, ratio
from pellucid.train.device import choose_device
from pellucid.train.profile import Profile, Profiler


@dataclass(frozen=True)
class Profiled:
    """The profile of a training run.

    Attributes:
        profile: seconds by part.
        tuned: the execution mode and number of threads, with reasons.
        updates: number of updates per epoch.
        epoch_seconds: seconds per epoch, evaluation included.
        findings: advice, the most effective first.
    """

    profile: Profile
    tuned: Tuned
    updates: int
    epoch_seconds: float
    findings: list[Finding]


def profile(
    config: Config,
    runs: str | Path = "runs",
    *,
    console: Console | None = None,
    begun: Callable[[Run], None] | None = None,
) -> Profiled:
    """Train as a config says for a few seconds and measure the time of each part; nothing is saved.

    A recipe that the model starts from, and that has no finished run, is trained first; its run is kept.

    Args:
        config: the whole config.
        runs: the folder of runs, to find the run that the model starts from.
        console: where to show the training of that recipe; None to show nothing.
        begun: called with the run of that recipe, once its folder exists.

    Raises:
        PellucidError: the data is unavailable, or the parts do not fit together.
    """
    check_config(config)
    train_start(config, runs, console, begun)
    setup = set_up(config, runs)
    prepared, objective = setup.prepared, setup.objective
    batches = prepared.training_batches()
    per_epoch, _ = updates(config, batches)
    device, _ = choose_device(config.train.device)
    batch, loss = next(iter(batches)), objective.phases[0].loss
    tuned = choose_execution(config, prepared, setup.model, objective)
    asked = config.train.execution != "auto"
    auto = config.patch({"train.execution": "auto"})
    best = (choose_execution(auto, prepared, setup.model, objective) if asked else tuned).execution.value
    times = (
        ratio(tuned.execution.value, best, setup.model, batch, loss, device)
        if best != tuned.execution.value
        else 1.0
    )
    every = torch.get_num_threads()
    profiler = Profiler()
    with tempfile.TemporaryDirectory() as folder:
        run = Run.create(folder, "profile", config.to_yaml())
        plan = config.patch(
            {"train.execution": tuned.execution.value, "train.epochs": 10_000, "train.max_steps": None}
        )
        made = make_callbacks(plan, objective, run, Console(quiet=True), per_epoch)
        trainer = make_trainer(plan, setup.model, objective, per_epoch, per_epoch, [*made, profiler])
        try:
            torch.set_num_threads(tuned.threads.value)
            found = profiler.profile(trainer, batches, prepared.batches(prepared.validation or "train"))
        finally:
            torch.set_num_threads(every)
    measuring = found.measuring * len(prepared.batches(prepared.validation or "train"))
    epoch = found.seconds * per_epoch + measuring
    speed = Speed(
        parts={part: seconds / found.seconds for part, seconds in found.parts.items()},
        by_callback={name: seconds / found.seconds for name, seconds in found.by_callback.items()},
        measuring=measuring / epoch,
        share_of_peak=found.share_of_peak,
        rows=found.rows,
        double=found.double,
        in_memory=prepared.in_memory,
        augmented=prepared.augment is not None,
        path=tuned.execution.value,
        faster=(best, times),
        checkpoint_seconds=config.train.checkpoint_seconds,
    )
    return Profiled(found, tuned, per_epoch, epoch, advice(speed))
