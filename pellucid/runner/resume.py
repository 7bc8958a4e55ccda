"""Resume a run or a study: check that its config and data are still the same."""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn

from pellucid.config import Config, Document
from pellucid.errors import ResumeError
from pellucid.record import Run, files
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
) -> None:
    """Refuse to resume a run whose config, data, model or objects passed in have changed.

    Raises:
        ResumeError: lists the changes.
    """
    changes = list_changes(Config.read(run.path / "config.yaml"), config)
    recorded = run.facts["dataset"]["splits"]
    for split, facts in prepared.facts()["splits"].items():
        if recorded.get(split) != facts:
            changes.append(f"the {split} split was {recorded.get(split)}, is {facts}")
    passed = supplied.described()
    for name, before in (run.facts.get("supplied") or {}).items():
        if name != "callbacks" and passed.get(name) != before:
            changes.append(f"{name}= was {before}, is {passed.get(name)}")
    if model is not None:
        layers = [(layer["name"], layer["type"]) for layer in model_facts(model)["layers"]]
        before = [(layer["name"], layer["type"]) for layer in run.facts["model"]["layers"]]
        changes += [
            f"the layer {old} is {new}" for old, new in zip(before, layers, strict=False) if old != new
        ]
        if len(layers) != len(before):
            changes.append(f"the model had {len(before)} layers, has {len(layers)}")
    accept_changes(run, config, changes, allow_changes=allow_changes)


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
