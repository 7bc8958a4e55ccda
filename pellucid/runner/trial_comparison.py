"""What the training runs of a trial say: scores by seed -> verdicts -> `Verified`."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pellucid.diagnosis import trials
from pellucid.diagnosis.baselines import GUESSES
from pellucid.diagnosis.remedies import Remedy
from pellucid.diagnosis.verified import Confirmed, Tried, Verified, mean
from pellucid.record import measures
from pellucid.runner.trial_runs import UNCHANGED, TrialRuns

MOST_SEEDS = 7
LOOKS = 2
"""How often a verdict is read: after the seeds that were asked for, and after all where it is close."""
Part = Mapping[str, Any]
"""The facts of a training run, as `TrialRuns.score` returns them."""


@dataclass
class Comparison:
    """The unchanged settings and a few changes, trained with the same seeds.

    Attributes:
        trial: that trains them.
        finalists: the changes.
        seeds: so far.
        parts: what each seed gave, by the name of the change.
    """

    trial: TrialRuns
    finalists: Sequence[Remedy]
    seeds: list[int] = field(default_factory=list)
    parts: dict[str, dict[int, Part]] = field(default_factory=dict)

    def extend(self, seed: int) -> None:
        """Train all with one more seed."""
        for name, patch in [(UNCHANGED, {}), *((one.name, one.patch) for one in self.finalists)]:
            self.parts.setdefault(name, {})[seed] = self.trial.score(name, patch, seed)
        self.seeds.append(seed)

    def settle(self, until: float | None) -> None:
        """Add seeds, once, where they could decide it; the tests are corrected for this second look.

        Args:
            until: a moment of `time.monotonic()` from which on none are added; None: there is time.
        """
        if self.is_close() and (until is None or time.monotonic() <= until):
            while len(self.seeds) < MOST_SEEDS:
                self.extend(self.seeds[-1] + 1)

    @property
    def control(self) -> dict[int, float]:
        """Scores of the unchanged settings on validation rows."""
        return self._scores(UNCHANGED, "value")

    def judged(self) -> trials.Trial:
        """Compare the changes with the unchanged settings on validation rows."""
        return self._judged("value", self.finalists)

    def tested(self, judged: trials.Trial) -> trials.Trial | None:
        """Compare the winner with the unchanged settings on test rows; None where there are none."""
        winner = "" if judged.winner is None else judged.winner.candidate.name
        winners = [one for one in self.finalists if one.name == winner]
        if any(part["test"] is None for one in winners for part in self.parts[one.name].values()):
            return None
        return self._judged("test", winners) if winners else None

    def is_close(self) -> bool:
        """Whether more seeds could decide it."""
        judged = self.judged()
        deciding = judged if judged.winner is None else self.tested(judged)
        return deciding is not None and any(trials.close(one, MOST_SEEDS) for one in deciding.verdicts)

    def reference(self) -> tuple[str, float] | None:
        """The best baseline that reads its input, where it is better than the unchanged settings."""
        trial = self.trial
        known = {
            measures.baseline(name, trial.run.spec).label: values[trial.metric]
            for name, values in (trial.run.facts.get("baselines") or {}).items()
            if name not in GUESSES and values.get(trial.metric) is not None
        }
        sign, start = (-1 if trial.lower else 1), mean(self.control)
        better = {label: value for label, value in known.items() if not sign * value <= sign * start}
        return max(better.items(), key=lambda item: sign * item[1]) if better else None

    def _scores(self, name: str, key: str) -> dict[int, float]:
        return {
            seed: math.nan if one[key] is None else float(one[key])
            for seed, one in self.parts.get(name, {}).items()
        }

    def _judged(self, key: str, remedies: Sequence[Remedy]) -> trials.Trial:
        candidates = [
            trials.Candidate(
                one.name,
                one.words,
                self._scores(one.name, key),
                sum(part["seconds"] for part in self.parts[one.name].values()),
                one.size,
                one.patch,
                next((part["failed"] for part in self.parts[one.name].values() if "failed" in part), ""),
            )
            for one in remedies
            if one.name in self.parts
        ]
        reference = self.reference()
        return trials.judge(
            self._scores(UNCHANGED, key),
            candidates,
            lower=self.trial.lower,
            reference=reference[1] if reference else None,
            looks=LOOKS,
        )


# ---- the result --------------------------------------------------------------------------------------


def result_of(comparison: Comparison, found: Sequence[Remedy], screened: Mapping[str, Part]) -> Verified:
    """Return what is stored.

    Args:
        comparison: of those that were kept.
        found: all that was tried.
        screened: what the first seed gave, by name; {} where all were kept at once.
    """
    trial, judged = comparison.trial, comparison.judged()
    confirmed = _confirmed(trial, comparison.tested(judged))
    proven = judged.winner is not None and (confirmed is None or confirmed.better)
    unchanged = comparison.parts.get(UNCHANGED, {}).values()
    usual = statistics.fmean([one["seconds"] for one in unchanged] or [0.0])
    tried = [_tried(one, judged.verdict(one.name), screened.get(one.name, {}), usual) for one in found]
    tried.sort(key=lambda one: -(one.gain if one.gain is not None else -1e300))
    return Verified(
        metric=trial.metric,
        lower=trial.lower,
        seeds=tuple(comparison.seeds),
        budget="",
        control={str(seed): value for seed, value in comparison.control.items()},
        tried=tuple(tried),
        winner=judged.winner.candidate.name if judged.winner and proven else "",
        reference=comparison.reference(),
        test=confirmed,
        seconds=trial.seconds,
    )


def _tried(remedy: Remedy, verdict: trials.Verdict | None, early: Part, usual: float) -> Tried:
    """Return what came of one change; `usual` is the seconds of a run of the unchanged settings."""
    base = (remedy.name, remedy.words, remedy.patch, remedy.findings)
    screened, problem = early.get("value"), early.get("failed", "")
    if verdict is None:
        return Tried(*base, "failed" if problem else "dropped", screened, problem=problem)
    candidate = verdict.candidate
    return Tried(
        *base,
        verdict.state,
        screened,
        scores={str(seed): value for seed, value in candidate.scores.items()},
        score=verdict.score,
        gain=verdict.gain,
        noise=verdict.noise,
        p=verdict.p,
        recovered=verdict.recovered,
        cost=candidate.seconds / max(len(candidate.scores), 1) / usual if usual else None,
        problem=candidate.problem,
    )


def _confirmed(trial: TrialRuns, tested: trials.Trial | None) -> Confirmed | None:
    if tested is None:
        return None
    one = tested.verdicts[0]
    return Confirmed(trial.on_test, mean(tested.control), one.score, one.gain, one.noise, one.better)
