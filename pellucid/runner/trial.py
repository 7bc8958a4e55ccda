"""Try what may help a run: the unchanged settings and each change, with the same seeds and budget.

    remedies -> one run each, by which the best two are kept
             -> these and the unchanged settings with new seeds, more of them where the verdict is close
             -> the winner on test rows, which took no part in choosing

Each of these is a run folder in `trials/` of the run, a part of a study that is resumed by trying again.
"""

from __future__ import annotations

import io
import statistics
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from rich.console import Console

from pellucid import report
from pellucid.config import Config
from pellucid.data.dataset import Dataset
from pellucid.diagnosis import findings, trials
from pellucid.diagnosis.baselines import GUESSES
from pellucid.diagnosis.remedies import Remedy, remedies
from pellucid.diagnosis.verified import NAME, Confirmed, Tried, Verified, mean
from pellucid.errors import PellucidError, RunError, TrainingError, UsageError
from pellucid.record import Run, files, measures
from pellucid.record.run import CONFIG, list_runs, now
from pellucid.runner.check import check_config
from pellucid.runner.components import direction, monitored, spec_of
from pellucid.runner.load import refuse_study
from pellucid.runner.model_builder import OWN_MODEL
from pellucid.runner.resume import Resume
from pellucid.runner.run_study import record_part, train_part
from pellucid.study import Study
from pellucid.tasks import get_task
from pellucid.train.execution import execution_mode

FOLDER = "trials"
SEEDS, MOST_SEEDS = 3, 7
FINALISTS = 2
"""Changes that are compared with the unchanged settings over seeds; the fewer, the fewer seeds it takes."""
UNCHANGED = "unchanged"
LOOKS = 2
"""How often a verdict is read: after the seeds that were asked for, and after all where it is close."""
OTHER_METRIC = {"overconfident": "val/loss"}
"""Findings that are about another measure than the one by which the best weights are chosen."""


def verify(
    run: Run,
    *,
    seeds: int = SEEDS,
    minutes: float | None = None,
    console: Console | None = None,
    dataset: Dataset | None = None,
) -> Verified:
    """Try what could help a run, and store the result with it; trying again resumes what was interrupted.

    Args:
        run: a finished or failed run.
        seeds: number of training runs of the unchanged settings and of each change, at least 3.
        minutes: about how long all may take; with less than it needs, fewer epochs are trained.
        console: where to show progress.
        dataset: the data, where it cannot be opened by name.

    Raises:
        UsageError: no finding has a setting to try, or there are fewer than 3 seeds.
        RunError: the run is being trained, or cannot be trained again from its config.
    """
    if seeds < SEEDS:
        raise UsageError(f"--seeds is at least {SEEDS}, received {seeds}.", remedy=f"--seeds {SEEDS}")
    config = _config(run, dataset)
    found = remedies(findings(run), config.model_dump(), lambda patch: _usable(config, patch))
    if not found:
        raise UsageError(
            f"No finding of run {run.id} has a setting that could be tried.",
            remedy=f"`pellucid diagnose {run.id}` says what to change in the data or the code",
        )
    began = time.monotonic()
    count = (len(found) if len(found) > FINALISTS else 0) + seeds * (1 + min(len(found), FINALISTS))
    base, budget = _budget(run, config, minutes, count)
    trial = _Trial(run, base, _metric(run, config), console or Console(quiet=True), dataset, count)
    with trial.folder.writing():
        try:
            made = _tried(trial, found, seeds, None if minutes is None else began + 60 * minutes)
        except KeyboardInterrupt:
            trial.folder.update(status="interrupted", stop_reason="interrupted", ended=now())
            raise
        trial.folder.update(status="finished", ended=now(), stop_reason="all is tried", metrics={})
    made = replace(made, budget=budget, folder=trial.folder.path.relative_to(run.path).as_posix())
    with run.writing():
        run.artifact(_last_step(run), NAME, "json", made.to_dict())
        run.store.flush()
        report.write(run.path)
    return made


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
        raise RunError(
            f"Run {run.id} cannot be trained again from its config: {', '.join(own)} was passed in Python.",
            remedy="name what was passed (a model as package.module:Class, a file of data), or "
            "pellucid.diagnose(run, verify=True) in the process that trained it, where only data was passed",
        )
    return config


def _usable(config: Config, patch: Mapping[str, Any]) -> bool:
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
    shared: dict[str, Any] = {"train.keep": 1, "train.snapshots": 0, "train.trackers": [], "target": None}
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


# ---- the runs ----------------------------------------------------------------------------------------


@dataclass
class _Trial:
    """The study of a trial; `score` trains a part, unless it is finished."""

    run: Run
    base: Config
    metric: str
    console: Console
    dataset: Dataset | None
    expected: int
    done: int = 0
    folder: Run = field(init=False)
    parts: dict[str, dict[str, Any]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        root = self.run.path / FOLDER
        for known in list_runs(root) if root.is_dir() else []:
            if known.kind == "study" and Study.read(known.path / CONFIG).base == self.base:
                self.folder, self.parts = known, dict(Study.read(known.path / CONFIG).parts)
                return
        facts = {
            "task": self.run.task,
            "spec": self.run.spec.to_dict(),
            "study": {"metric": self.metric, "along": None, "lines": None},
            "summary": f"what could help the run {self.run.id}",
        }
        text = self._study({UNCHANGED: {}}).to_yaml()
        self.folder = Run.create(root, f"{self.base.name}-trial", text, parts={}, **facts)

    @property
    def lower(self) -> bool:
        """Whether a lower score is better."""
        return direction(self.metric, self.run.spec) == "min"

    def _study(self, parts: dict[str, dict[str, Any]]) -> Study:
        return Study(name=f"{self.base.name}-trial", base=self.base, parts=parts, metric=self.metric)

    def score(self, name: str, patch: Mapping[str, Any], seed: int) -> dict[str, Any]:
        """Return the facts of a part: its `value` on validation rows and `test`, or how it `failed`."""
        label = f"{name}, seed {seed}"
        known = self.folder.facts["parts"].get(label, {})
        if "value" not in known:
            self.parts[label] = {**patch, "train.seed": seed}
            files.write(self.folder.path / CONFIG, self._study(self.parts).to_yaml())
            if not known:
                record_part(self.folder, label, {"line": name, "x": None})
            known = self._train(label)
        self.done += 1
        shown = measures.written(self.metric, known["value"], self.run.spec)
        self.console.print(
            f"{self.done} of {max(self.expected, self.done)}: {label}: {self.metric} "
            f"{known.get('failed') or shown} ({known['seconds']:.0f} s)"
        )
        return known

    def _train(self, label: str) -> dict[str, Any]:
        config = self._study(self.parts).configs()[label]
        began = time.perf_counter()
        facts: dict[str, Any] = {"value": None, "test": None}
        try:
            part = train_part(
                self.folder,
                label,
                config,
                Resume("last", allow_changes=True),
                Console(file=io.StringIO()),
                dataset=self.dataset,
                begun=self._know_baselines,
            )
        except TrainingError as error:
            facts |= {"failed": error.message}
        else:
            if part.status == "interrupted":
                raise KeyboardInterrupt
            facts |= {"value": self._value(part), "test": part.metrics.get(f"test/{self._name}")}
        record_part(self.folder, label, {**facts, "seconds": time.perf_counter() - began})
        return self.folder.facts["parts"][label]

    def _value(self, part: Run) -> float | None:
        best = part.facts["best"]
        return part.metrics.get(self.metric, best.get("value") if best["metric"] == self.metric else None)

    @property
    def _name(self) -> str:
        return self.metric.partition("/")[2]

    def _know_baselines(self, part: Run) -> None:
        """Spare a part the baselines, which are those of the run."""
        if "baselines" in self.run.facts:
            part.update(baselines=self.run.facts["baselines"])


# ---- the comparison ----------------------------------------------------------------------------------


def _tried(trial: _Trial, found: Sequence[Remedy], seeds: int, until: float | None) -> Verified:
    """Train all that is needed, and compare."""
    first, screened = trial.base.train.seed, {}
    finalists = list(found)
    if len(found) > FINALISTS:
        screened = {one.name: trial.score(one.name, one.patch, first) for one in found}
        scored = [one for one in found if screened[one.name]["value"] is not None]
        sign = 1 if trial.lower else -1
        scored.sort(key=lambda one: (sign * screened[one.name]["value"], one.size))
        finalists = scored[:FINALISTS]
    parts: dict[str, dict[int, dict[str, Any]]] = {}

    def extend(seed: int) -> None:
        for name, patch in [(UNCHANGED, {}), *((one.name, one.patch) for one in finalists)]:
            parts.setdefault(name, {})[seed] = trial.score(name, patch, seed)

    numbers = list(range(first + 1, first + 1 + seeds))
    for seed in numbers if finalists else ():
        extend(seed)
    judged = _judged(trial, finalists, parts, "value")
    tested = _tested(trial, finalists, parts, judged)
    if _is_close(judged, tested) and not _is_over(until):  # one more look, for which the tests are corrected
        while len(numbers) < MOST_SEEDS:
            numbers.append(numbers[-1] + 1)
            extend(numbers[-1])
        judged = _judged(trial, finalists, parts, "value")
        tested = _tested(trial, finalists, parts, judged)
    return _result(trial, found, screened, parts, judged, tested, numbers)


def _is_over(until: float | None) -> bool:
    return until is not None and time.monotonic() > until


def _is_close(judged: trials.Trial, tested: trials.Trial | None) -> bool:
    """Whether more seeds could decide it."""
    if judged.winner is None:
        return any(trials.close(one, MOST_SEEDS) for one in judged.verdicts)
    return tested is not None and any(trials.close(one, MOST_SEEDS) for one in tested.verdicts)


def _scores(parts: Mapping[int, Mapping[str, Any]], key: str) -> dict[int, float]:
    return {seed: float("nan") if one[key] is None else float(one[key]) for seed, one in parts.items()}


def _judged(
    trial: _Trial, finalists: Sequence[Remedy], parts: Mapping[str, Any], key: str, names: Sequence[str] = ()
) -> trials.Trial:
    candidates = [
        trials.Candidate(
            one.name,
            one.words,
            _scores(parts[one.name], key),
            sum(part["seconds"] for part in parts[one.name].values()),
            one.size,
            one.patch,
            next((part["failed"] for part in parts[one.name].values() if "failed" in part), ""),
        )
        for one in finalists
        if not names or one.name in names
    ]
    control = _scores(parts.get(UNCHANGED, {}), key)
    named = _reference(trial, control)
    return trials.judge(
        control, candidates, lower=trial.lower, reference=named[1] if named else None, looks=LOOKS
    )


def _tested(
    trial: _Trial, finalists: Sequence[Remedy], parts: Mapping[str, Any], judged: trials.Trial
) -> trials.Trial | None:
    """The winner and the unchanged settings on test rows; None where there are none."""
    if judged.winner is None:
        return None
    name = judged.winner.candidate.name
    if any(part["test"] is None for part in parts[name].values()):
        return None
    return _judged(trial, finalists, parts, "test", [name])


def _reference(trial: _Trial, control: Mapping[int, float]) -> tuple[str, float] | None:
    """The best baseline that does not ignore its input, where it is better than the unchanged settings."""
    known = {
        measures.baseline(name, trial.run.spec).label: values[trial.metric]
        for name, values in (trial.run.facts.get("baselines") or {}).items()
        if name not in GUESSES and values.get(trial.metric) is not None
    }
    start = mean(control)
    sign = -1 if trial.lower else 1
    better = {label: value for label, value in known.items() if not sign * value <= sign * start}
    return max(better.items(), key=lambda item: sign * item[1]) if better else None


def _result(
    trial: _Trial,
    found: Sequence[Remedy],
    screened: Mapping[str, Mapping[str, Any]],
    parts: Mapping[str, Mapping[int, Mapping[str, Any]]],
    judged: trials.Trial,
    tested: trials.Trial | None,
    seeds: Sequence[int],
) -> Verified:
    usual = statistics.fmean([one["seconds"] for one in parts.get(UNCHANGED, {}).values()] or [0.0])

    def made(remedy: Remedy) -> Tried:
        early = screened.get(remedy.name, {})
        base = (remedy.name, remedy.words, remedy.patch, remedy.findings)
        verdict = judged.verdict(remedy.name)
        if verdict is None:
            state = "failed" if early.get("failed") else "dropped"
            return Tried(*base, state, early.get("value"), problem=early.get("failed", ""))
        cost = verdict.candidate.seconds / max(len(seeds), 1) / usual if usual else None
        scores = {str(seed): value for seed, value in verdict.candidate.scores.items()}
        return Tried(
            *base,
            verdict.state,
            early.get("value"),
            scores,
            verdict.score,
            verdict.gain,
            verdict.noise,
            verdict.p,
            verdict.recovered,
            cost,
            verdict.candidate.problem,
        )

    tried = sorted(
        (made(one) for one in found), key=lambda one: -(one.gain if one.gain is not None else -1e300)
    )
    confirmed = _confirmed(trial, tested)
    proven = judged.winner is not None and (confirmed is None or confirmed.better)
    winner = judged.winner.candidate.name if judged.winner and proven else ""
    control = _scores(parts.get(UNCHANGED, {}), "value")
    seconds = sum(part["seconds"] for part in trial.folder.facts["parts"].values())
    return Verified(
        trial.metric,
        trial.lower,
        tuple(seeds) if parts else (),
        "",
        {str(seed): value for seed, value in control.items()},
        tuple(tried),
        winner,
        _reference(trial, control),
        confirmed,
        seconds,
    )


def _confirmed(trial: _Trial, tested: trials.Trial | None) -> Confirmed | None:
    if tested is None:
        return None
    one = tested.verdicts[0]
    metric = f"test/{trial.metric.partition('/')[2]}"
    return Confirmed(metric, mean(tested.control), one.score, one.gain, one.noise, one.better)
