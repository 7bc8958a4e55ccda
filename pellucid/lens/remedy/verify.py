"""Try remedies on a training loop and prove the one that helps.

1. The unchanged loop is trained under the watch: its findings say which remedies are tried.
2. Each remedy is trained once, with the first seed. The best ones of several findings are tried together, and
   where the watch finds something new in the best, remedies of that are put on top.
3. The best few and the unchanged loop are trained with seeds that this choice never saw, and compared seed by
   seed (`pellucid.diagnosis.trials`); where that is close, with more.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

from pellucid.diagnosis.trials import AS_GOOD, Candidate, Trial, close, judge
from pellucid.errors import PellucidError, UsageError
from pellucid.lens.remedy.parts import Loop, Make, Parts, Train, Unfit, random_numbers_kept
from pellucid.lens.remedy.registry import REMEDIES, remedies_for
from pellucid.lens.remedy.verification import Plan, Tried, Verification
from pellucid.lens.remedy.watching import watched
from pellucid.record import Finding

GENERAL = (
    *("rate-divided-by-10", "rate-times-10", "inputs-standard", "targets-standard", "default-weights"),
    "rows-shuffled",
)
"""Remedies where nothing is found, or nothing of what was found can be changed from outside."""
UNKNOWN = Finding("nothing-found", "note", "The watch found nothing.", "The cause is not known.")
FINALISTS = 2
BLIND = (
    "The watch saw no step of the loop, since the loss that make() returned was not called with gradients. "
    "Try: take watch as an argument of train(), and call watch.step(loss, inputs=x, targets=y) in each step."
)


def verify(
    train: Train,
    make: Make,
    *,
    findings: Iterable[Finding] | None = None,
    seeds: int = 3,
    most: int = 7,
    lower: bool = False,
    reference: float | None = None,
    limit: int = 16,
    progress: Callable[[str], None] | None = None,
) -> Verification:
    """Find out which change fixes a training loop, by training it.

    The loop stays as it is written: its parts are made anew for every training, and a remedy changes them
    before it starts. Nothing that you hold is changed, and a remedy that fails is noted, not raised.

    Args:
        train: your loop, `train(model, optimizer, loss, batches) -> score`, measured on rows that are not
            trained on. If it has arguments named epochs, batch_size, seed or watch, it is given those too;
            what else it takes must have a default value.
        make: returns (model, optimizer, loss, batches) anew at each call, or `Parts` with epochs and
            batch_size; it may take a seed.
        findings: of a watch; without them, the unchanged loop is watched.
        seeds: with which the finalists are compared, at least 2.
        most: seeds where the verdict is close.
        lower: a lower score is better.
        reference: a healthy or best known score; the gap to it that is recovered is reported.
        limit: training runs of single remedies.
        progress: is called with a sentence before each training.

    Returns:
        A `Verification`: `fixed`, `winner`, `edits`; `print` shows what was tried.

    Raises:
        UsageError: `make` or `train` returns something else, or cannot be called as above.
    """
    if seeds < 2:
        raise UsageError(f"seeds must be at least 2 to compare with noise; received {seeds}.")
    given = None if findings is None else list(findings)
    for one in given or ():
        if not isinstance(one, Finding):
            raise UsageError(
                f"findings must be those of a watch; received {one!r}.", remedy="findings=w.findings"
            )
    search = _Search(Loop(train, make), lower, limit, progress or (lambda _: None))
    with random_numbers_kept():
        search.start(given)
        search.screen()
        return search.result(search.prove(seeds, max(seeds, most), reference))


class _Search:
    """The steps of `verify`, and what is known between them."""

    def __init__(self, loop: Loop, lower: bool, limit: int, progress: Callable[[str], None]) -> None:
        self.loop, self.lower, self.limit, self.progress = loop, lower, limit, progress
        self.findings: list[Finding] = []
        self.tried: list[Tried] = []
        self.problems: list[str] = []
        self.first, self.control_steps = math.nan, 0
        self.left: dict[str, list[Finding] | None] = {}

    # ---- 1: the unchanged loop -----------------------------------------------------------------------

    def start(self, findings: list[Finding] | None) -> None:
        """Train the unchanged loop with the first seed."""
        self.progress("The unchanged loop is trained under the watch.")
        seen = watched(self.loop, self.loop.make(0), 0, self.lower)
        self.first, self.control_steps = seen.score, self.loop.steps
        self.findings = seen.findings if findings is None else findings
        if seen.error is not None:
            self.problems.append(f"The unchanged loop broke off: {_reason(seen.error)}.")
        elif seen.blind and findings is None and not self.loop.takes_watch:
            self.problems.append(BLIND)

    # ---- 2: screening --------------------------------------------------------------------------------

    def screen(self) -> None:
        """Train remedies of the findings once, then the best together, then what the best still needs.

        Where the watch finds nothing more in the best, what was found besides was its consequence.
        """
        for finding in self._asking(self.findings):
            ran = sum(not one.problem for one in self.tried)
            self._try_all(_plans(finding), self.limit - ran)
            if self._cured():
                return
        if all(one.problem for one in self.tried):
            self._try_all([Plan(((UNKNOWN, REMEDIES[name]),)) for name in GENERAL], len(GENERAL))
        self._combine()
        best = self.best()
        if best is not None:
            base = best.plan
            plans = [one for finding in self._warnings(base) for one in _plans(finding, base)]
            self._try_all(plans, self.limit // 2)

    def _asking(self, findings: Sequence[Finding]) -> list[Finding]:
        """The findings that ask for a change; notes, where no other says anything."""
        return [one for one in findings if one.severity != "info"] or list(findings)

    def _cured(self) -> bool:
        best = self.best()
        return best is not None and not self._warnings(best.plan)

    def _warnings(self, plan: Plan) -> list[Finding]:
        """What is still wrong with a plan; everything that was, where it could not be watched."""
        found = self._watch(plan)
        return [one for one in (self.findings if found is None else found) if one.severity != "info"]

    def _try_all(self, plans: Iterable[Plan], limit: int) -> None:
        left = limit
        for plan in plans:
            if left > 0 and not any(one.plan.name == plan.name for one in self.tried):
                tried = self._try(plan)
                self.tried.append(tried)
                left -= not tried.problem

    def _try(self, plan: Plan) -> Tried:
        tried = Tried(plan, words=" and ".join(one.words for _, one in plan.steps))
        before = self.loop.seconds
        try:
            parts = plan.apply(self.loop, 0)
            tried.words = " and ".join(parts.said)
            self.progress(f"Tried: {tried.words}.")
            tried.score = self.loop.run(parts, 0)
            tried.steps = self.loop.steps
        except Exception as error:  # of somebody else's loop, which a remedy may not fit
            tried.problem = _reason(error)
        tried.seconds = self.loop.seconds - before
        return tried

    def value(self, score: float) -> float:
        """A score for which higher is better; minus infinity where there is none."""
        return -math.inf if math.isnan(score) else -score if self.lower else score

    def _good(self) -> list[Tried]:
        """What was better than the unchanged loop in the first seed, the best first."""
        good = [one for one in self.tried if self.value(one.score) > self.value(self.first)]
        return sorted(good, key=lambda one: (-self.value(one.score), one.plan.size))

    def best(self) -> Tried | None:
        """The best of the first seed."""
        return next(iter(self._good()), None)

    def _combine(self) -> None:
        """Try the best remedies of different findings together."""
        chosen: dict[str, Tried] = {}
        for one in self._good():
            if len(one.plan.steps) == 1:
                chosen.setdefault(one.plan.steps[0][0].id, one)
        several = list(chosen.values())[:3]
        for count in range(2, len(several) + 1):
            steps = tuple(one.plan.steps[0] for one in several[:count])
            self._try_all([Plan(steps)], 1)

    def _watch(self, plan: Plan) -> list[Finding] | None:
        if plan.name not in self.left:
            self.progress("The changed loop is trained under the watch.")
            seen = watched(self.loop, plan.apply(self.loop, 0), 0, self.lower)
            self.left[plan.name] = seen.findings if seen.error is None else None
            if seen.error is not None:
                reason = _reason(seen.error)
                self.problems.append(f"The loop with {plan.name} broke off under the watch: {reason}.")
        return self.left[plan.name]

    # ---- 3: proof ------------------------------------------------------------------------------------

    def finalists(self) -> list[Tried]:
        """The best of the first seed, and the smallest change that is about as good.

        Where none is better in the first seed, the remedies of what was found first: one seed may mislead.
        """
        good = self._good()
        if not good:
            ran = [
                one for one in self.tried if math.isfinite(one.score) and one.plan.steps[0][0] is not UNKNOWN
            ]
            return sorted(ran, key=lambda one: -self.value(one.score))[:1]
        start = self.value(self.first)
        gain = self.value(good[0].score) - start
        near = [
            one for one in good if not math.isfinite(gain) or self.value(one.score) - start >= AS_GOOD * gain
        ]
        smallest = min(near, key=lambda one: one.plan.size)
        chosen = good[:FINALISTS]
        return chosen if smallest in chosen else [*chosen[:-1], smallest]

    def prove(self, seeds: int, most: int, reference: float | None) -> Trial:
        """Compare the finalists with the unchanged loop over seeds that the choice did not use."""
        chosen = self.finalists()
        control: dict[int, float] = {}
        scores: dict[str, dict[int, float]] = {one.plan.name: {} for one in chosen}
        open_, count = list(chosen), 0
        trial = judge(control, [])
        guessed = any(finding is UNKNOWN for one in chosen for finding, _ in one.plan.steps)
        looks = (most,) if guessed else (seeds, most)  # without a cause, luck of a few seeds is likelier
        for wanted in looks:
            for seed in range(count + 1, wanted + 1 if open_ else 0):
                control[seed] = self._run(lambda seed=seed: self.loop.make(seed), seed)
                for one in open_:
                    scores[one.plan.name][seed] = self._run(
                        lambda seed=seed, one=one: one.plan.apply(self.loop, seed), seed, one
                    )
            count = wanted
            candidates = [self._candidate(one, scores[one.plan.name]) for one in chosen]
            trial = judge(control, candidates, lower=self.lower, reference=reference, looks=len(looks))
            if trial.winner is not None:
                break
            near = {one.candidate.name for one in trial.verdicts if close(one, most)}
            open_ = [one for one in chosen if one.plan.name in near]
        return trial

    def _run(self, make: Callable[[], Parts], seed: int, tried: Tried | None = None) -> float:
        before = self.loop.seconds
        try:
            self.progress(f"Seed {seed}: {tried.words if tried else 'the unchanged loop'}.")
            return self.loop.run(make(), seed)
        except Exception as error:  # of somebody else's loop
            what = tried.plan.name if tried else "the unchanged loop"
            self.problems.append(f"With seed {seed}, {what} broke off: {_reason(error)}.")
            return math.nan
        finally:
            if tried is not None:
                tried.seconds += self.loop.seconds - before

    def _candidate(self, one: Tried, scores: dict[int, float]) -> Candidate:
        return Candidate(one.plan.name, one.words, scores, one.seconds, one.plan.size)

    def result(self, trial: Trial) -> Verification:
        """Put everything together."""
        result = Verification(
            self.findings,
            trial,
            self.tried,
            self.first,
            control_steps=self.control_steps,
            problems=self.problems,
            loop=self.loop,
        )
        left = None if result.plan is None else self._watch(result.plan)
        return replace(result, left=left, training_runs=self.loop.training_runs, seconds=self.loop.seconds)


def _plans(finding: Finding, base: Plan | None = None) -> list[Plan]:
    """Plans for a finding, each a remedy on top of what is done already."""
    steps = base.steps if base else ()
    done = {one.name for _, one in steps}
    return [Plan((*steps, (finding, one))) for one in remedies_for(finding.id) if one.name not in done]


def _reason(error: Exception) -> str:
    text = str(error).strip().splitlines()
    said = text[0] if text else type(error).__name__
    return said if isinstance(error, Unfit | PellucidError) else f"{type(error).__name__}: {said}"
