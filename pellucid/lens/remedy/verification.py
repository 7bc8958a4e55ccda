"""What `verify` returns: which change fixes a loop, how that was found out, and what did not work."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pellucid.diagnosis.trials import Trial, Verdict
from pellucid.diagnosis.wording import figure
from pellucid.lens.remedy.parts import Loop, Parts
from pellucid.lens.remedy.registry import Case, Remedy
from pellucid.record import Finding

WIDTH = 72


@dataclass(frozen=True)
class Plan:
    """Remedies that are applied one after the other, each for a finding."""

    steps: tuple[tuple[Finding, Remedy], ...]

    @property
    def name(self) -> str:
        """The names of the remedies."""
        return " + ".join(one.name for _, one in self.steps)

    @property
    def size(self) -> float:
        """How large the change is."""
        return sum(one.size for _, one in self.steps)

    def apply(self, loop: Loop, seed: int) -> Parts:
        """Return new parts with all remedies.

        Raises:
            Exception: a remedy cannot be applied.
        """
        parts = loop.make(seed)
        for finding, remedy in self.steps:
            said = len(parts.said)
            parts = remedy.apply(parts, Case(finding, loop, seed))
            if len(parts.said) == said:
                parts.say(remedy.words)
        return parts


@dataclass
class Tried:
    """A plan and what came of it in the first, screening seed.

    Attributes:
        plan: the remedies.
        score: NaN where it gave none.
        words: what was changed.
        problem: why it could not be run; "" if it was.
        steps: updates of the run.
        seconds: of all its runs.
    """

    plan: Plan
    score: float = math.nan
    words: str = ""
    problem: str = ""
    steps: int = 0
    seconds: float = 0.0


@dataclass(frozen=True)
class Verification:
    """The result of `verify`.

    Attributes:
        findings: what the watch found in the unchanged loop.
        trial: the control and the finalists over seeds that the choice of finalists did not use.
        tried: everything that was tried, with its score in the first seed.
        first: the score of the unchanged loop in the first seed.
        left: what the watch still finds after the fix; None where there is none.
        training_runs, seconds: that all this took.
        control_steps: updates of the unchanged loop.
        problems: what went wrong in the loop itself, as sentences.
        loop: that was verified.
    """

    findings: Sequence[Finding]
    trial: Trial
    tried: Sequence[Tried]
    first: float
    left: Sequence[Finding] | None = None
    training_runs: int = 0
    seconds: float = 0.0
    control_steps: int = 0
    problems: Sequence[str] = ()
    loop: Loop | None = field(default=None, repr=False)

    @property
    def winner(self) -> Verdict | None:
        """The smallest change that is better beyond noise; None where there is none."""
        return self.trial.winner

    @property
    def fixed(self) -> bool:
        """Whether there is a fix."""
        return self.winner is not None

    @property
    def plan(self) -> Plan | None:
        """The remedies of the winner."""
        won = self.winner
        return next((one.plan for one in self.tried if won and one.plan.name == won.candidate.name), None)

    @property
    def edits(self) -> list[str]:
        """What to write in the code, in words."""
        return [] if self.plan is None else [one.edit or one.words for _, one in self.plan.steps]

    def parts(self, seed: int = 0) -> Parts:
        """Return new parts with the fix; without one, new parts as they were."""
        assert self.loop is not None
        return self.plan.apply(self.loop, seed) if self.plan else self.loop.make(seed)

    def plain(self) -> dict[str, Any]:
        """Return everything as plain data for JSON."""
        return {
            "fixed": self.fixed,
            "findings": [
                {"id": one.id, "severity": one.severity, "where": one.where} for one in self.findings
            ],
            "edits": self.edits,
            "trial": self.trial.plain(),
            "tried": [_plain(one, self.first) for one in self.tried],
            "left": None if self.left is None else [one.id for one in self.left],
            "training_runs": self.training_runs,
            "seconds": round(self.seconds, 3),
            "problems": list(self.problems),
        }

    def __str__(self) -> str:
        return "\n".join([self.answer, *self._about_the_winner(), "", *self._table(), "", self._cost()])

    @property
    def answer(self) -> str:
        """One sentence: what the fix is, or that there is none."""
        ran = sum(not one.problem for one in self.tried)
        if not self.trial.verdicts and ran:
            return f"No fix: none of {ran} changes is better than the unchanged loop with the first seed."
        return self.trial.answer

    def _about_the_winner(self) -> list[str]:
        lines = list(self.problems)
        won = self.winner
        if won is None:
            ours = [one for one in self.findings if one.severity != "info" and one.remedy]
            return [*lines, *(f"Not proven: {one.remedy} [{one.id}]." for one in ours)]
        control = [one for one in self.trial.control.values() if math.isfinite(one)]
        before = figure(sum(control) / len(control)) if control else "no score"
        gap = "" if won.recovered is None else f"; {100 * won.recovered:.0f} % of the gap recovered"
        by = "" if math.isinf(won.gain) else f", better by {figure(won.gain)} ± {figure(won.noise)}"
        lines.append(
            f"Score {figure(won.score)} instead of {before}{by} "
            f"(mean of {won.seeds} seeds, p = {won.p:.2g}{gap})."
        )
        lines += [f"In your code: {one}." for one in self.edits]
        return [*lines, *self._evidence()]

    def _evidence(self) -> list[str]:
        if self.left is None:
            return []
        before = [one.id for one in self.findings if one.severity != "info"]
        after = {one.id for one in self.left if one.severity != "info"}
        gone, kept = [one for one in before if one not in after], [one for one in before if one in after]
        new = sorted(after - set(before))
        lines = []
        if gone:
            lines.append(f"The watch no longer reports {', '.join(gone)}.")
        if kept:
            lines.append(f"It still reports {', '.join(kept)}.")
        if new:
            lines.append(f"It now reports {', '.join(new)}.")
        return lines

    def _table(self) -> list[str]:
        unchanged = figure(self.first) if math.isfinite(self.first) else "none"
        lines = [f"{'change':<{WIDTH}}  first seed  over seeds", f"{'none':<{WIDTH}}  {unchanged:>10}"]
        ran = [one for one in self.tried if not one.problem]
        sign = -1 if self.trial.lower else 1
        for one in sorted(ran, key=lambda one: -sign * one.score if math.isfinite(one.score) else math.inf):
            score = figure(one.score) if math.isfinite(one.score) else "none"
            lines.append(f"{_cut(one.words):<{WIDTH}}  {score:>10}  {self._over_seeds(one)}".rstrip())
        for one in self.tried:
            if one.problem:
                lines.append(f"{_cut(one.words):<{WIDTH}}  not tried: {one.problem}")
        return lines

    def _over_seeds(self, one: Tried) -> str:
        verdict = self.trial.verdict(one.plan.name)
        if verdict is None:
            return ""
        return f"{figure(verdict.score)}, {verdict.state}" if math.isfinite(verdict.score) else verdict.state

    def _cost(self) -> str:
        won = next((one for one in self.tried if self.plan is not None and one.plan is self.plan), None)
        steps = ""
        if won is not None and self.control_steps and won.steps != self.control_steps:
            steps = f" The fix takes {won.steps} steps instead of {self.control_steps}."
        return f"{self.training_runs} training runs in {self.seconds:.0f} s.{steps}"


def _cut(words: str) -> str:
    return words if len(words) <= WIDTH else words[: WIDTH - 3] + "..."


def _plain(one: Tried, first: float) -> Mapping[str, Any]:
    return {
        "name": one.plan.name,
        "for": [finding.id for finding, _ in one.plan.steps],
        "words": one.words,
        "score": one.score if math.isfinite(one.score) else None,
        "unchanged": first if math.isfinite(first) else None,
        "problem": one.problem,
        "steps": one.steps,
        "seconds": round(one.seconds, 3),
    }
