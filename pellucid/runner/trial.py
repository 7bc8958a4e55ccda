"""Try what may help a run: the unchanged settings and each change, with the same seeds and budget.

    remedies -> one run each, by which the best two are kept
             -> these and the unchanged settings with new seeds, more of them where the verdict is close
             -> the winner on test rows, which took no part in choosing

Each of these is a run folder in `trials/` of the run (`trial_runs`); what they say is in `trial_comparison`.
"""

from __future__ import annotations

import math
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any

from rich.console import Console

from pellucid import report
from pellucid.config import Config
from pellucid.data.dataset import Dataset
from pellucid.diagnosis import findings
from pellucid.diagnosis.explained import check_muted
from pellucid.diagnosis.remedies import Remedy, remedies
from pellucid.diagnosis.rule import OLD_IDS
from pellucid.diagnosis.verified import NAME, Verified
from pellucid.errors import PellucidError, RunError, UsageError
from pellucid.record import Run
from pellucid.record.run import CONFIG, now
from pellucid.runner.check import check_config
from pellucid.runner.components import monitored, spec_of
from pellucid.runner.load import refuse_study
from pellucid.runner.model_builder import OWN_MODEL
from pellucid.runner.training import outcome
from pellucid.runner.trial_comparison import Comparison, Part, result_of
from pellucid.runner.trial_runs import TrialRuns
from pellucid.tasks import get_task
from pellucid.train.execution import execution_mode

SEEDS = 3
FINALISTS = 2
"""Changes that are compared with the unchanged settings over seeds; the fewer, the fewer seeds it takes."""
OTHER_METRIC = {"overconfident": "val/loss"}
"""Findings that are about another measure than the one by which the best weights are chosen."""


def verify(
    run: Run,
    *,
    seeds: int = SEEDS,
    minutes: float | None = None,
    console: Console | None = None,
    dataset: Dataset | None = None,
    mute: Collection[str] = (),
) -> Verified:
    """Try what could help a run, and store the result with it; trying again resumes what was interrupted.

    Args:
        run: a finished or failed run.
        seeds: number of training runs of the unchanged settings and of each change, at least 3.
        minutes: about how long all may take; with less than it needs, fewer epochs are trained.
        console: where to show progress.
        dataset: the data, where it cannot be opened by name.
        mute: ids of findings whose remedies are not tried, in addition to those that the run mutes.

    Raises:
        UsageError: no finding has a setting to try, there are fewer than 3 seeds, or no time.
        UnknownNameError: no finding has an id in `mute`.
        RunError: the run is being trained, or cannot be trained again from its config.
    """
    if seeds < SEEDS:
        raise UsageError(f"--seeds is at least {SEEDS}, received {seeds}.", remedy=f"--seeds {SEEDS}")
    if minutes is not None and not 0 < minutes < math.inf:
        raise UsageError(
            f"--minutes is {minutes:g}: expected a number of minutes above 0.", remedy="--minutes 10"
        )
    check_muted(mute)
    muted = {OLD_IDS.get(id, id) for id in mute}
    config = _config(run, dataset)
    asked = [one for one in findings(run) if one.rule not in muted]
    found = remedies(asked, config.model_dump(), lambda patch: _usable(config, patch))
    if not found:
        raise UsageError(
            f"No finding of run {run.id} has a setting that could be tried.",
            remedy=f"`pellucid diagnose {run.id}` says what to change in the data or the code",
        )
    began = time.monotonic()
    count = (len(found) if len(found) > FINALISTS else 0) + seeds * (1 + min(len(found), FINALISTS))
    base, budget = _budget(run, config, minutes, count)
    trial = TrialRuns(run, base, _metric(run, config), console or Console(quiet=True), dataset, count)
    with trial.folder.writing(), outcome(trial.folder):
        made = _tried(trial, found, seeds, None if minutes is None else began + 60 * minutes)
        trial.folder.update(status="finished", ended=now(), stop_reason="all is tried", metrics={})
    made = replace(made, budget=budget, folder=trial.folder.path.relative_to(run.path).as_posix())
    with run.writing():
        run.artifact(_last_step(run), NAME, "json", made.to_dict())
        run.store.flush()
        report.write(run.path)
    return made


def _tried(trial: TrialRuns, found: Sequence[Remedy], seeds: int, until: float | None) -> Verified:
    """Train all that is needed, and compare; from the moment `until` on no seeds are added."""
    first, screened, finalists = trial.base.train.seed, {}, list(found)
    if len(found) > FINALISTS:
        screened = {one.name: trial.score(one.name, one.patch, first) for one in found}
        finalists = _best(found, screened, lower=trial.lower)
    comparison = Comparison(trial, finalists)
    for seed in range(first + 1, first + 1 + seeds) if finalists else ():
        comparison.extend(seed)
    comparison.settle(until)
    return result_of(comparison, found, screened)


def _best(found: Sequence[Remedy], screened: Mapping[str, Part], *, lower: bool) -> list[Remedy]:
    """Return the changes with the best scores; of equal ones the smallest."""
    sign = 1 if lower else -1
    scored = [one for one in found if screened[one.name]["value"] is not None]
    return sorted(scored, key=lambda one: (sign * screened[one.name]["value"], one.size))[:FINALISTS]


# ---- the settings ------------------------------------------------------------------------------------


def _config(run: Run, dataset: Dataset | None) -> Config:
    """Return the config of a run; refuse what cannot be trained again from it."""
    refuse_study(run)
    if run.status == "running":
        raise RunError(f"Run {run.id} is still being trained.", remedy="wait for its end, or stop it")
    config = Config.read(run.path / CONFIG)
    own = [name for name, words in (run.facts.get("supplied") or {}).items() if words]
    if config.model.name == OWN_MODEL:
        own.insert(0, "model")
    kind = (run.facts.get("dataset") or {}).get("source", {}).get("kind")
    if kind == "loader" or (kind == "arrays" and dataset is None):
        own.append("data")
    if own:
        passed = f"{' and '.join(own)} {'was' if len(own) == 1 else 'were'}"
        raise RunError(
            f"Run {run.id} cannot be trained again from its config: {passed} passed in Python.",
            remedy="name what was passed (a model as package.module:Class, a file of data), or "
            "pellucid.diagnose(run, verify=True) in the process that trained it, where only data was passed",
        )
    return config


def _usable(config: Config, patch: Mapping[str, Any]) -> bool:
    if "train.minutes" in patch:
        return False  # all are trained for as many updates as the run, so that would change nothing
    try:
        check_config(config.patch(patch))
    except PellucidError:
        return False
    return not any(key.startswith("data.augment") for key in patch) or _has_images(config)


def _has_images(config: Config) -> bool:
    return config.model.name in ("cnn", "vit", "unet") or any(config.data.augment.model_dump().values())


def _budget(run: Run, config: Config, minutes: float | None, count: int) -> tuple[Config, str]:
    """Return the settings that all runs of a trial share, and how long each is trained, in words."""
    mode = next((one["value"] for one in run.facts["choices"] if one["what"] in ("execution", "path")), None)
    unneeded = {"train.keep": 1, "train.snapshots": 0, "train.trackers": [], "train.watch": "off"}
    shared: dict[str, Any] = {**unneeded, "target": None}
    if mode is not None:
        shared["train.execution"] = replace(execution_mode(mode), compiled=False).name
    if config.train.minutes is not None:
        shared |= {"train.minutes": None, "train.max_steps": max(1, _last_step(run)), "train.epochs": 100_000}
    seconds = run.facts["seconds"].get("training", 0.0) + 1
    share = 1.0 if minutes is None else min(1.0, 60 * minutes / (count * seconds))
    epochs = config.train.epochs
    words = f"{epochs} epochs, as the run" if epochs > 1 else "1 epoch, as the run"
    if config.train.minutes is not None:
        words = f"{_last_step(run):,} updates, as the run"
    if share < 1 and config.train.minutes is None:
        fewer = max(1, int(epochs * share))
        shared["train.epochs"] = fewer
        words = f"{fewer} of the run's {epochs} epochs, for {minutes:g} minutes"
    elif share < 1:
        shared["train.max_steps"] = fewer = max(1, int(_last_step(run) * share))
        words = f"{fewer:,} of the run's {_last_step(run):,} updates, for {minutes:g} minutes"
    return config.patch(shared), words


def _metric(run: Run, config: Config) -> str:
    """The measure on validation rows by which is chosen."""
    first = next(iter(findings(run)), None)
    if first is not None and first.rule in OTHER_METRIC:
        return OTHER_METRIC[first.rule]
    known = (run.facts.get("best") or {}).get("metric")
    if known:
        return known
    objective = get_task(config.objective.name).objective(config)
    return monitored(config, objective, spec_of(config, objective))[0]


def _last_step(run: Run) -> int:
    series = run.store.series("epoch")
    return series[-1][0] if series else 0
