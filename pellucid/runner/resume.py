"""Resume a run or a study: check that its config and data are still the same."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import nn

from pellucid.config import Config, Document
from pellucid.errors import ResumeError
from pellucid.record import Run, files
from pellucid.runner.paths import with_absolute_paths
from pellucid.runner.run_facts import model_facts
from pellucid.runner.supplied import NOTHING, Supplied
from pellucid.tasks.prepared import PreparedData


@dataclass(frozen=True)
class Resume:
    """A run to resume.

    Attributes:
        reference: a folder, an id, the start of an id, or "last".
        allow_changes: whether to resume even if config or data have changed.
    """

    reference: str
    allow_changes: bool = False


def check_resume(
    run: Run,
    config: Config,
    prepared: PreparedData,
    *,
    allow_changes: bool,
    supplied: Supplied = NOTHING,
    model: nn.Module | None = None,
) -> bool:
    """Refuse to resume a run whose config, data, model or objects passed in have changed.

    More epochs or updates are no such change: the run goes on, and a note says so.

    Returns:
        Whether it is to be trained for longer than before.

    Raises:
        ResumeError: lists the changes.
    """
    recorded = with_absolute_paths(Config.read(run.path / "config.yaml"))
    longer = is_longer(recorded, config)
    changes = list_changes(recorded.patch(_length(config)) if longer else recorded, config)
    before, now = run.facts["dataset"]["splits"], prepared.facts()["splits"]
    changes += [
        f"the {split} split was {before.get(split)}, is {now.get(split)}"
        for split in {**before, **now}
        if before.get(split) != now.get(split)
    ]
    changes += _other_objects(run.facts.get("supplied"), supplied.described())
    changes += [] if model is None else _other_layers(run.facts["model"]["layers"], model)
    accept_changes(run, config, changes, allow_changes=allow_changes)
    if longer:
        run.note(_goes_on(recorded, config))
        files.write(run.path / "config.yaml", config.to_yaml())
    return longer


def _length(config: Config) -> dict[str, Any]:
    """Return the settings that say how long to train."""
    return {"train.epochs": config.train.epochs, "train.max_steps": config.train.max_steps}


def is_longer(before: Config, after: Config) -> bool:
    """Whether a config trains for more epochs or updates than another, and for fewer of neither."""

    def sizes(config: Config) -> tuple[float, float]:
        return config.train.epochs, config.train.max_steps or math.inf

    (epochs, steps), (epochs_now, steps_now) = sizes(before), sizes(after)
    return epochs_now >= epochs and steps_now >= steps and (epochs_now, steps_now) != (epochs, steps)


def _goes_on(before: Config, after: Config) -> str:
    """Say how much longer a run is trained, and what becomes of the learning rate."""
    rule = after.schedule.name
    words = f"Trained for longer: up to {after.train.epochs} epochs"
    words += f" or {after.train.max_steps:,} updates" if after.train.max_steps else ""
    words += f", instead of {before.train.epochs}"
    words += f" or {before.train.max_steps:,} updates" if before.train.max_steps else ""
    if rule in ("constant", "plateau", "step"):
        return f"{words}."
    return f"{words}; from here the learning rate is that of the schedule {rule} over the whole new length."


def _other_objects(before: Mapping[str, Any] | None, now: Mapping[str, Any]) -> list[str]:
    """Return a phrase for every object that was passed and is not the same; callbacks may differ."""
    if before is None:  # version 0.1 did not record them
        return []
    return [
        f"{name}= was {before.get(name)}, is {now.get(name)}"
        for name in {**before, **now}
        if name != "callbacks" and before.get(name) != now.get(name)
    ]


def _other_layers(before: Sequence[Mapping[str, Any]], model: nn.Module) -> list[str]:
    """Return a phrase for every layer that has another name, type or size."""
    now = model_facts(model)["layers"]
    changes = [
        f"the layer {_layer(old)} is {_layer(new)}"
        for old, new in zip(before, now, strict=False)
        if old != new
    ]
    if len(now) != len(before):
        changes.append(f"the model had {len(before)} layers, has {len(now)}")
    return changes


def _layer(facts: Mapping[str, Any]) -> str:
    return f"{facts['name']} ({facts['type']}, {facts['parameters']:,} parameters)"


def list_changes(before: Document, after: Document) -> list[str]:
    """Return a phrase for every setting that has changed."""
    return [f"{key} was {old!r}, is {new!r}" for key, old, new in before.differences(after)]


def accept_changes(
    run: Run,
    settings: Document,
    changes: list[str],
    *,
    allow_changes: bool,
    kind: str = "Run",
    note: str = "Resumed with changes",
) -> None:
    """Refuse changes, or note them and write the new settings to the run.

    Args:
        run: the run to resume.
        settings: the new settings.
        changes: the changes, in words; does nothing if there are none.
        allow_changes: whether changes are allowed.
        kind: "Run" or "Study", for the error.
        note: the start of the note that lists the changes.

    Raises:
        ResumeError: there are changes, and they are not allowed.
    """
    if not changes:
        return
    if not allow_changes:
        raise ResumeError(
            f"{kind} {run.id} cannot be resumed, because it has changed: {'; '.join(changes)}.",
            remedy="the original settings, or `--allow-changes` to resume with the new ones",
        )
    run.note(f"{note}: {'; '.join(changes)}.")
    files.write(run.path / "config.yaml", settings.to_yaml())
