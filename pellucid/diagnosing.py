"""`diagnose` a run."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from pellucid import record
from pellucid.record.run import find_run
from pellucid.report.diagnosed import Diagnosis, diagnosis_of


def diagnose(
    run: record.Run | str | Path, *, mute: Collection[str] = (), runs: str | Path = "runs"
) -> Diagnosis:
    """Say what is wrong with a run.

    Args:
        run: a run, its id or its folder.
        mute: ids of findings to leave out; those in `diagnosis.mute` of its config are left out anyway.
        runs: the folder of runs, to find a run by its id.

    Returns:
        The findings, the most serious and likeliest first; `print` shows them with what to try, `skipped`
        lists the checks that could not run, and `to_dict()` is JSON.

    Raises:
        RunError: there is no such run.
        UnknownNameError: there is no finding with an id in `mute`.
    """
    return diagnosis_of(run if isinstance(run, record.Run) else find_run(runs, str(run)), mute)
