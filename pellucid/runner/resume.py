"""Resume a run or a study: what was started, and whether it is still the same."""

from __future__ import annotations

from dataclasses import dataclass

from pellucid.config import Config, Document
from pellucid.errors import ResumeError
from pellucid.record import Run, files
from pellucid.tasks.prepared import PreparedData


@dataclass(frozen=True)
class Resume:
    """A run to resume.

    Attributes:
        reference: a folder, an id, the start of one, or "last".
        allow_changes: go on although config or data differ from what was started.
    """

    reference: str
    allow_changes: bool = False


def check_resume(run: Run, config: Config, prepared: PreparedData, *, allow_changes: bool) -> None:
    """Refuse to resume a run whose config or data are no longer what they were.

    Raises:
        ResumeError: says what differs.
    """
    differences = changed(Config.read(run.path / "config.yaml"), config)
    kept = run.facts["dataset"]["splits"]
    for split, facts in prepared.facts()["splits"].items():
        if kept.get(split) != facts:
            differences.append(f"the {split} split was {kept.get(split)}, is {facts}")
    settle(run, config, differences, allow_changes=allow_changes)


def changed(before: Document, after: Document) -> list[str]:
    """Say which settings differ, one sentence each."""
    return [f"{key} was {old!r}, is {new!r}" for key, old, new in before.differences(after)]


def settle(
    run: Run,
    settings: Document,
    differences: list[str],
    *,
    allow_changes: bool,
    what: str = "Run",
    said: str = "Resumed with changes",
) -> None:
    """Refuse differences, or note them and let the new settings be those of the run.

    Args:
        run: the run to resume.
        settings: the new ones.
        differences: from what was started; none need no settling.
        allow_changes: whether to go on all the same.
        what: the run is called in the error.
        said: in the note, before the differences.

    Raises:
        ResumeError: there are differences, and they are not allowed.
    """
    if not differences:
        return
    if not allow_changes:
        raise ResumeError(
            f"{what} {run.id} cannot go on as it was: {'; '.join(differences)}.",
            remedy="the original settings, or `--allow-changes` to continue with the new ones",
        )
    run.note(f"{said}: {'; '.join(differences)}.")
    files.write(run.path / "config.yaml", settings.to_yaml())
