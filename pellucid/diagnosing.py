"""`diagnose` a run and try what may help it; `fix` its config."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from rich.console import Console

from pellucid import record
from pellucid.config import Config
from pellucid.diagnosis.verified import Verified, read
from pellucid.record.run import CONFIG, find_run
from pellucid.report.diagnosed import Diagnosis, diagnosis_of
from pellucid.terminal import TextConsole


def diagnose(
    run: record.Run | str | Path,
    *,
    mute: Collection[str] = (),
    verify: bool = False,
    seeds: int = 3,
    minutes: float | None = None,
    progress: bool = True,
    runs: str | Path = "runs",
) -> Diagnosis:
    """Say what is wrong with a run, and with `verify` try what may help it.

    Each change is then trained with the same seeds and for as long as the run; of more than two, one seed
    decides which two are compared with the unchanged settings. Where the verdict is close, up to 7 seeds are
    used. A change is called a fix only if it is better beyond noise, on test rows as well, where there are
    some. The result is stored with the run. Calling it again resumes what was interrupted.

    Args:
        run: a run, its id or its folder.
        mute: ids of findings to leave out, with what they suggest; those in `diagnosis.mute` of its config
            are left out anyway.
        verify: try what the findings suggest.
        seeds: training runs of each change that is compared, at least 3.
        minutes: about how long trying may take; fewer epochs are trained then, of the unchanged settings too.
        progress: print the score of each training run.
        runs: the folder of runs, to find a run by its id.

    Returns:
        The findings, the most serious and likeliest first; `print` shows them with what to try, `skipped`
        lists the checks that could not run, `verified` is what came of trying, and `to_dict()` is JSON.

    Raises:
        RunError: there is no such run, or it cannot be trained again from its config.
        UnknownNameError: there is no finding with an id in `mute`.
        UsageError: no finding has a setting to try, `seeds` is below 3, or `minutes` not above 0.
    """
    found = _found(run, runs)
    if verify:
        _verify(found, seeds, minutes, progress, mute)
    return diagnosis_of(found, mute)


def fix(
    run: record.Run | str | Path,
    *,
    seeds: int = 3,
    minutes: float | None = None,
    progress: bool = True,
    runs: str | Path = "runs",
) -> Config | None:
    """Return the config of a run with the change that was proven to help; None if none was.

    What may help is tried first, unless that has been done. For the arguments see `diagnose`.
    """
    found = _found(run, runs)
    verified = read(found) or _verify(found, seeds, minutes, progress)
    return None if verified.best is None else fixed_config(found, verified)


def _verify(
    run: record.Run, seeds: int, minutes: float | None, progress: bool, mute: Collection[str] = ()
) -> Verified:
    from pellucid.runner.trial import verify  # here, since most diagnoses need no training

    console = TextConsole() if progress else Console(quiet=True)
    dataset = getattr(run, "dataset", None)
    return verify(run, seeds=seeds, minutes=minutes, console=console, dataset=dataset, mute=mute)


def fixed_config(run: record.Run, verified: Verified) -> Config:
    """Return the config of a run with the winner of a trial.

    Args:
        run: the run.
        verified: its trial, which has a winner.
    """
    config = Config.read(run.path / CONFIG)
    return config if verified.best is None else config.patch(verified.best.patch)


def _found(run: record.Run | str | Path, runs: str | Path) -> record.Run:
    return run if isinstance(run, record.Run) else find_run(runs, str(run))
