"""The run that "last" names for a command that needs a trained model."""

from __future__ import annotations

from pathlib import Path

from pellucid.record.run import Run, find_run, list_runs


def find_trained_run(root: str | Path, reference: str) -> tuple[Run, str]:
    """Return the run that `reference` names, and what to tell the user; "last" is the last run with weights.

    A run that failed or was stopped before its first checkpoint has nothing to predict with. A study has no
    model of its own; it is returned where it is the last, so that what is asked of it can be refused.

    Args:
        root: the folder of runs.
        reference: see `find_run`.

    Raises:
        UsageError, RunError, UnknownNameError: there is no such run.
    """
    newest = find_run(root, reference)
    if reference != "last" or _is_trained(newest):
        return newest, ""
    trained = [run for run in list_runs(root) if run.kind == "run" and _is_trained(run)]
    if not trained:
        return newest, ""
    found = max(trained, key=lambda run: (run.facts.get("started", ""), run.id))
    return found, f"the last run with weights is {found.id}; {newest.id} ({newest.status}) has none"


def _is_trained(run: Run) -> bool:
    return run.kind == "study" or bool(run.checkpoints.all())
