"""Whether a change is a fix: scores of a trial, compared by seed.

A trial trains the unchanged *control* and changed copies, the *candidates*, with the same seeds and budget.
Runs with one seed share the first weights and the order of batches, so they are compared in pairs. A
candidate is better *beyond noise* if one of two one-sided tests says so at 5 %:

- the paired t-test of its gains over the seeds (Student, 1908);
- every score of the candidate is above every score of the control, which chance does once in C(2n, n)
  (the exact rank test of Mann and Whitney, 1947). It does not mind that a control diverged to -10^9.

The smaller p counts twice, since there were two chances, and is corrected for the number of candidates
(Holm, 1979) and of looks, where seeds are added while it is close. Candidates that were dropped after a seed
which the tests do not see need no correction.
Nothing here imports torch.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from pellucid.diagnosis.wording import figure

Scores = Mapping[int, float]
"""The score of each seed; NaN where a run diverged or broke off."""
LEVEL = 0.05
"""Chance of calling a change better that is not."""
AS_GOOD = 0.95
"""A smaller change wins if it has at least this share of the gain of the best."""


@dataclass(frozen=True)
class Candidate:
    """A change and what it scored.

    Attributes:
        name: short and unique in its trial.
        words: what was changed, as one phrase: "the learning rate is 0.001 instead of 0.1".
        scores: by seed.
        seconds: what its runs took in all.
        size: how large the change is; of several that do it, the smallest wins.
        patch: the settings that it changes, where it changes settings.
        problem: why it could not be run; "" if it was.
    """

    name: str
    words: str
    scores: Scores
    seconds: float = 0.0
    size: float = 1.0
    patch: Mapping[str, Any] | None = None
    problem: str = ""


@dataclass(frozen=True)
class Verdict:
    """What a trial says about a candidate.

    Attributes:
        candidate: that was tried.
        state: "better", "worse" or "within noise", compared with the control; "failed" where no run of it
            gave a score.
        score: mean of its scores.
        gain: mean over seeds of how much better it is than the control, above 0 whichever direction is
            better; infinite where only the control has no score.
        noise: standard error of the gain.
        p: of the tests, corrected for the number of candidates.
        seeds: that were compared.
        recovered: the share of the way from the control to the reference; None without a reference.
    """

    candidate: Candidate
    state: str
    score: float = math.nan
    gain: float = math.nan
    noise: float = math.nan
    p: float = 1.0
    seeds: int = 0
    recovered: float | None = None

    @property
    def better(self) -> bool:
        """Whether it may be called a fix."""
        return self.state == "better"

    def __str__(self) -> str:
        """What was changed, what came of it, and how sure that is."""
        words = self.candidate.words[:1].upper() + self.candidate.words[1:]
        if self.state == "failed":
            return f"{words}: could not be run ({self.candidate.problem or 'no score'})."
        by = f"{self.state}, by {_signed(self.gain)} ± {figure(self.noise)}"
        if math.isinf(self.gain):
            by = f"{self.state}, the control has no score at all"
        gap = "" if self.recovered is None else f", {100 * self.recovered:.0f} % of the gap recovered"
        return f"{words}: {figure(self.score)} ({by}, {self.seeds} seeds{gap})."


@dataclass(frozen=True)
class Trial:
    """The control, the candidates and what follows.

    Attributes:
        control: scores of the unchanged program by seed.
        verdicts: in the order of the candidates.
        lower: lower scores are better.
        reference: the score of a healthy program or the best known; None if there is none.
    """

    control: Scores
    verdicts: tuple[Verdict, ...]
    lower: bool = False
    reference: float | None = None

    @property
    def winner(self) -> Verdict | None:
        """The smallest change that does it; None where none is better beyond noise."""
        good = [one for one in self.verdicts if one.better]
        if not good:
            return None
        best = max(good, key=lambda one: one.gain)
        near = [one for one in good if one.gain >= AS_GOOD * best.gain or one is best]
        return min(near, key=lambda one: (one.candidate.size, -one.gain))

    def verdict(self, name: str) -> Verdict | None:
        """Return the verdict of a candidate; None if it was not in the trial."""
        return next((one for one in self.verdicts if one.candidate.name == name), None)

    def plain(self) -> dict[str, Any]:
        """Return everything as plain data for JSON; what is not finite is None."""
        verdicts = [as_plain(asdict(one)) for one in self.verdicts]
        return {
            "control": as_plain(dict(self.control)),
            "lower": self.lower,
            "reference": self.reference,
            "verdicts": verdicts,
            "winner": self.winner.candidate.name if self.winner else None,
        }

    def __str__(self) -> str:
        """The answer, then a line for each candidate, the best first."""
        order = sorted(self.verdicts, key=lambda one: _rank(one.gain), reverse=True)
        control = mean_of(self.control.values())
        unchanged = "no score" if math.isnan(control) else figure(control)
        return "\n".join(
            [
                self.answer,
                f"Unchanged: {unchanged} ({len(self.control)} seeds).",
                *(str(one) for one in order),
            ]
        )

    @property
    def answer(self) -> str:
        """One sentence: what the fix is, or that there is none."""
        if self.winner is not None:
            return f"Fixed: {self.winner.candidate.words}."
        tried = sum(one.state != "failed" for one in self.verdicts)
        if not tried:
            return "No fix: nothing could be tried."
        changes = "the one change that was tried is not" if tried == 1 else f"none of {tried} changes is"
        return f"No fix: {changes} better than the unchanged program beyond noise."


def judge(
    control: Scores,
    candidates: Iterable[Candidate],
    *,
    lower: bool = False,
    reference: float | None = None,
    looks: int = 1,
) -> Trial:
    """Compare candidates with the control.

    Args:
        control: score of the unchanged program by seed; NaN where a run gave none.
        candidates: only the seeds that the control also has are compared.
        lower: lower scores are better.
        reference: a healthy score, or the best known, to which the recovered gap is measured.
        looks: how often the verdict is read at most, where seeds are added while it is close.
    """
    verdicts = [_compare(control, one, lower, reference) for one in candidates]
    return Trial(dict(control), tuple(_corrected(verdicts, looks)), lower, reference)


def close(verdict: Verdict, most: int = 7) -> bool:
    """Whether more seeds could change the verdict: it points upwards, is not sure, and there is room.

    Where only the control has no score, the ranks decide, and those of a few seeds are never sure.
    """
    hopeful = verdict.p < 0.4 or math.isinf(verdict.gain)
    return not verdict.better and verdict.gain > 0 and hopeful and verdict.seeds < most


def _compare(control: Scores, candidate: Candidate, lower: bool, reference: float | None) -> Verdict:
    seeds = sorted(control.keys() & candidate.scores.keys())
    sign = -1.0 if lower else 1.0
    pairs = [(sign * control[seed], sign * candidate.scores[seed]) for seed in seeds]
    if not pairs or not any(math.isfinite(after) for _, after in pairs):
        return Verdict(candidate, "failed", seeds=len(pairs))
    before, after = [_finite(one) for one in zip(*pairs, strict=True)]
    score = sign * mean_of(after)
    p_up, p_down = _p(before, after), _p(after, before)
    state = "better" if p_up < LEVEL else "worse" if p_down < LEVEL else "within noise"
    verdict = Verdict(candidate, state, score, p=p_up, seeds=len(seeds))
    if not any(math.isfinite(one) for one in before):
        return replace(verdict, gain=math.inf, noise=0.0)
    worst = min(one for one in (*before, *after) if math.isfinite(one))
    # a run without a score counts as the worst that there is
    gains = [_or(b, worst, a) for b, a in zip(before, after, strict=True)]
    gain = statistics.fmean(gains)
    return replace(
        verdict, gain=gain, noise=_error(gains), recovered=_recovered(before, after, worst, sign, reference)
    )


def _or(before: float, worst: float, after: float) -> float:
    return max(after, worst) - max(before, worst)


def _finite(values: Sequence[float]) -> list[float]:
    """The scores; minus infinity where there is none."""
    return [one if math.isfinite(one) else -math.inf for one in values]


def _recovered(
    before: list[float], after: list[float], worst: float, sign: float, reference: float | None
) -> float | None:
    if reference is None:
        return None
    start = statistics.fmean(max(one, worst) for one in before)
    end = statistics.fmean(max(one, worst) for one in after)
    gap = sign * reference - start
    return None if gap <= 0 else (end - start) / gap


def _p(before: Sequence[float], after: Sequence[float]) -> float:
    """The chance that `after` is no better, from the better of two tests."""
    count = len(before)
    if count < 2:
        return 1.0
    apart = 1 / math.comb(2 * count, count) if min(after) > max(before) else 1.0
    return min(1.0, 2 * min(apart, _paired(before, after)))


def _paired(before: Sequence[float], after: Sequence[float]) -> float:
    if not all(math.isfinite(one) for one in (*before, *after)):
        return 1.0
    gains = [a - b for b, a in zip(before, after, strict=True)]
    gain, error = statistics.fmean(gains), _error(gains)
    # gains that are equal by luck, as few rows make them, are not taken to be without noise
    error = max(error, 0.25 * max(_error(before), _error(after)), 1e-9 * max(map(abs, (*before, *after))))
    if error == 0:
        return 1.0
    return student_tail(gain / error, len(gains) - 1)


def _error(values: Sequence[float]) -> float:
    """The standard error of the mean; 0 for one value."""
    return statistics.stdev(values) / math.sqrt(len(values)) if len(values) > 1 else 0.0


def _corrected(verdicts: Sequence[Verdict], looks: int) -> list[Verdict]:
    """Holm's correction: the smallest p counts as often as there are candidates, the next once less."""
    tried = sorted((one for one in verdicts if one.state != "failed"), key=lambda one: one.p)
    corrected, highest = {}, 0.0
    for index, one in enumerate(tried):
        highest = max(highest, min(1.0, looks * one.p * (len(tried) - index)))
        corrected[one.candidate.name] = highest
    return [_with(one, corrected.get(one.candidate.name, one.p)) for one in verdicts]


def _with(verdict: Verdict, p: float) -> Verdict:
    state = "within noise" if verdict.better and p >= LEVEL else verdict.state
    return replace(verdict, p=p, state=state)


def student_tail(t: float, freedom: int) -> float:
    """The chance of a value above `t` under Student's t distribution (Abramowitz and Stegun, 26.7.3-4)."""
    if t < 0:
        return 1 - student_tail(-t, freedom)
    angle = math.atan(t / math.sqrt(freedom))
    cos2, odd = math.cos(angle) ** 2, freedom % 2
    term = math.cos(angle) if odd else 1.0
    total = term if freedom > 1 else 0.0
    for k in range(3 if odd else 2, freedom - 1, 2):
        term *= cos2 * (k - 1) / k
        total += term
    inside = 2 / math.pi * (angle + math.sin(angle) * total) if odd else math.sin(angle) * total
    return max(0.0, (1 - inside) / 2)


def mean_of(values: Iterable[float]) -> float:
    """Return the mean of those that are finite; NaN for none."""
    finite = [one for one in values if math.isfinite(one)]
    return statistics.fmean(finite) if finite else math.nan


def _rank(gain: float) -> float:
    return -math.inf if math.isnan(gain) else gain


def _signed(value: float) -> str:
    return f"{'-' if value < 0 else '+'}{figure(abs(value))}"


def as_plain(value: Any) -> Any:
    """Return values as JSON can hold them; what is not finite is None."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(name): as_plain(one) for name, one in value.items()}
    return [as_plain(one) for one in value] if isinstance(value, list | tuple) else value
