"""Whether an update of a run can be computed again, and what is missing if not."""

from __future__ import annotations

from torch import nn

from pellucid.config import Config
from pellucid.config_text import is_reference
from pellucid.errors import RunError, UsageError
from pellucid.record import Run
from pellucid.record.checkpoints import step_of
from pellucid.record.run import environment
from pellucid.runner.load import refuse_study
from pellucid.runner.model_builder import OWN_MODEL
from pellucid.runner.supplied import Supplied
from pellucid.train.device import choose_device


def check_run(run: Run) -> None:
    """Refuse runs that hold too little.

    Raises:
        RunError: says what is missing.
    """
    refuse_study(run)
    chosen = {choice["what"] for choice in run.facts["choices"]}
    if "threads" not in chosen or not chosen & {"execution", "path"}:
        raise RunError(
            f"Run {run.id} cannot be replayed: it did not come to its first update, or was not made by "
            "`pellucid` or `fit`, so how it was to be computed is not recorded."
        )
    if (run.facts.get("dataset") or {}).get("source", {}).get("kind") == "loader":
        raise RunError(
            f"Run {run.id} learned from batches of your own, which are not stored with it, so its updates "
            "cannot be replayed.",
            remedy="train on arrays, a file or a data set: their batches follow from the seed",
        )


def check_parts(run: Run, config: Config, model: nn.Module | None, supplied: Supplied) -> None:
    """Refuse where objects are missing that were passed in training, or that cannot begin anew."""
    if config.train.minutes is not None:
        raise RunError(
            f"Run {run.id} was trained for {config.train.minutes:g} minutes, so that the clock decided when "
            "it was validated and how its learning rate fell. Its updates cannot be replayed.",
            remedy="train with train.epochs or train.max_steps",
        )
    if config.model.name == OWN_MODEL and model is None:
        raise RunError(
            f"Run {run.id} trained a module of your own, {run.facts['model']['name']}, which cannot be built "
            "again by name.",
            remedy=f"pellucid.Run({str(run.path)!r}).replay(N, model=YourModule()) in Python",
        )
    named = {
        "loss": is_reference(config.objective.loss or ""),
        "optimizer": is_reference(config.optimizer.name),
        "schedule": is_reference(config.schedule.name),
        "callbacks": False,
        "objective": False,
    }
    there = supplied.described()
    for name, words in (run.facts.get("supplied") or {}).items():
        if named.get(name, True) or (name in there and name in ("loss", "objective")):
            continue
        words = words if isinstance(words, str) else ", ".join(words)
        raise RunError(
            f"Run {run.id} cannot be replayed: {name}= was {words}, an object that the run does not hold in "
            "the state that it was in.",
            remedy="pass what can be named: a class or function of a module that can be imported"
            + (", as train.callbacks" if name == "callbacks" else ""),
        )


def check_step(run: Run, step: int) -> None:
    last = last_step(run)
    if not 1 <= step <= last:
        raise UsageError(
            f"Run {run.id} has the updates 1 to {last:,}, received {step:,}."
            if last
            else f"Run {run.id} has no update yet.",
            remedy=f"step {last}, the last one" if last else "",
        )


def last_step(run: Run) -> int:
    """Return the number of updates that a run has recorded."""
    _, rows = run.store.query("SELECT max(step) FROM metrics UNION ALL SELECT max(step) FROM losses")
    return max([row[0] or 0 for row in rows] + [step_of(folder) for folder in run.checkpoints.all()])


def device_of(run: Run, config: Config) -> str:
    """Return the device that the run was computed on.

    Raises:
        RunError: this machine has none.
    """
    was = next((c["value"] for c in run.facts["choices"] if c["what"] == "device"), config.train.device)
    here = choose_device("auto")[0].type
    if was not in ("auto", "cpu", here):
        raise RunError(
            f"Run {run.id} was computed on {was}, which this machine does not have; another device rounds "
            "differently.",
            remedy="replay it on the machine that trained it",
        )
    return was


def other_versions(run: Run) -> list[str]:
    """Say where the machine or torch is another one, which may round differently."""
    was, now = run.facts.get("environment", {}), environment()
    pairs = {
        "torch": (was.get("packages", {}).get("torch"), now["packages"].get("torch")),
        "machine": (was.get("machine"), now["machine"]),
    }
    return [
        f"It was trained with {name} {before}, and computed again with {after}."
        for name, (before, after) in pairs.items()
        if before and before != after
    ]
