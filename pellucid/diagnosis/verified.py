"""What a trial of remedies showed, as it is stored with the run: the artifact "verified".

Nothing is called a fix before it was measured: the unchanged settings and each change are trained with the
same seeds and the same budget, and compared by `pellucid.diagnosis.trials`. The winner is then measured on
rows that took no part in choosing it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from pellucid.diagnosis.trials import as_plain, mean_of
from pellucid.diagnosis.wording import figure, listed, percent
from pellucid.errors import RunError
from pellucid.record import Run, files, measures

NAME = "verified"
SCHEMA = 1
LENGTHS = {"train.epochs", "train.max_steps"}
"""Settings that say how long a run is trained."""


@dataclass(frozen=True)
class Tried:
    """One change, and what came of it.

    Attributes:
        name, words, patch, findings: see `pellucid.diagnosis.remedies.Remedy`.
        state: "better", "worse" or "within noise", compared with the unchanged settings; "dropped" after the
            first seed; "failed" where no training run gave a score.
        screened: its score with the first seed, by which some are dropped; None if there was no such round.
        scores: by seed, in the trial.
        score: their mean.
        gain: how much better than unchanged, above 0 whichever direction is better; mean over seeds.
        noise: standard error of the gain.
        p: of the test, corrected for the number of changes.
        recovered: share of the way to the reference; None without one.
        cost: seconds of a run, relative to the unchanged settings.
        problem: why it failed.
    """

    name: str
    words: str
    patch: Mapping[str, Any]
    findings: tuple[str, ...]
    state: str
    screened: float | None = None
    scores: Mapping[str, float | None] = field(default_factory=dict)
    score: float | None = None
    gain: float | None = None
    noise: float | None = None
    p: float | None = None
    recovered: float | None = None
    cost: float | None = None
    problem: str = ""


@dataclass(frozen=True)
class Confirmed:
    """The winner on rows that took no part in choosing it.

    Attributes:
        metric: the measure on these rows, e.g. "test/accuracy".
        before, after: its mean for the unchanged settings and for the winner.
        gain, noise: of the winner, as for `Tried`.
        better: whether the gain is beyond noise.
    """

    metric: str
    before: float
    after: float
    gain: float
    noise: float
    better: bool


@dataclass(frozen=True)
class Verified:
    """The result of a trial.

    Attributes:
        metric: the measure by which was chosen, e.g. "val/accuracy".
        lower: lower is better.
        seeds: of the training runs that are compared.
        budget: how long each of them was trained, in words.
        control: scores of the unchanged settings by seed; None where a run broke off.
        tried: the changes, the best first.
        winner: the name of the smallest change that does it; "" if nothing was proven.
        reference: (what it is, its score) to which the recovered gap is measured; None without one.
        test: the winner on rows that were not used for choosing; None if there are none.
        seconds: of all training runs.
        folder: that holds these runs, relative to the run.
    """

    metric: str
    lower: bool
    seeds: tuple[int, ...]
    budget: str
    control: Mapping[str, float | None]
    tried: tuple[Tried, ...]
    winner: str = ""
    reference: tuple[str, float] | None = None
    test: Confirmed | None = None
    seconds: float = 0.0
    folder: str = ""
    schema: int = SCHEMA

    @property
    def best(self) -> Tried | None:
        """The winner; None if nothing was proven."""
        return next((one for one in self.tried if one.name == self.winner), None)

    @property
    def before(self) -> float:
        """The mean score of the unchanged settings; NaN if they gave none."""
        return mean(self.control)

    @property
    def answer(self) -> str:
        """What the fix is and what it gains, or that there is none, as one sentence."""
        best = self.best
        if best is None:
            return self._nothing()
        words = f"Fixed: {best.words}. {self.name_of_metric} {self.written(best.score)} instead of "
        words += f"{self.written(self.before)}" if not math.isnan(self.before) else "none"
        words += f" (mean of {len(self.seeds)} seeds, gain {self.difference(best.gain, best.noise)})"
        if best.recovered is not None and self.reference is not None:
            words += f"; {percent(min(best.recovered, 9.99))} of the gap to {self.reference[0]} recovered"
        return f"{words}."

    def _nothing(self) -> str:
        tried = len(self.tried)
        if not tried:
            return "No fix: no setting is known that could help."
        if any(one.state == "better" for one in self.tried):
            return "No fix: the best change was not better on the test rows, beyond noise."
        changes = "the one change that was tried is not" if tried == 1 else f"none of {tried} changes is"
        return f"No fix: {changes} better than the unchanged settings beyond noise."

    @property
    def name_of_metric(self) -> str:
        """The metric in words: "Validation accuracy"."""
        split, _, name = self.metric.partition("/")
        label = {"val": "Validation", "test": "Test"}.get(split, split)
        return f"{label} {measures.measure(name).name}"

    def written(self, value: float | None) -> str:
        """Write a score in the unit of the metric."""
        if value is None or math.isnan(value):
            return "no score"
        return percent(value) if self._share else figure(value)

    def difference(self, gain: float | None, noise: float | None) -> str:
        """Write a gain and its standard error: in points where the measure is a share."""
        if gain is None or math.isinf(gain):
            return "from no score at all"
        sign, wide = "+" if gain >= 0 else "-", noise or 0.0
        if self._share:
            return f"{sign}{100 * abs(gain):.2f} ± {100 * wide:.2f} points"
        return f"{sign}{figure(abs(gain))} ± {figure(wide)}"

    @property
    def on_test(self) -> str:
        """What the best change gained on rows that took no part in choosing it; "" if there are none."""
        if self.test is None:
            return ""
        one = self.test
        words = f"On test rows, which took no part in choosing: {self.written(one.after)} instead of "
        words += f"{self.written(one.before)}, gain {self.difference(one.gain, one.noise)}"
        return f"{words}." if one.better else f"{words}: within noise, so it is not called a fix."

    @property
    def how(self) -> str:
        """How it was measured."""
        dropped = any(one.screened is not None for one in self.tried)
        words = f"Each was trained for {self.budget}, with the same {len(self.seeds)} seeds"
        words += "; all changes with one seed before, by which the best two were kept" if dropped else ""
        longer = [one.name for one in self.tried if LENGTHS & one.patch.keys()]
        words += f"; {listed(longer)} for as long as that says" if longer else ""
        return f"{words}. {self.seconds:.0f} s in all."

    def table(self) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
        """Return (columns, rows): the unchanged settings, then the changes, the best first."""
        rows = [("unchanged", self.written(self.before), "", "", "1.0 ×")]
        for one in self.tried:
            shown = self.written(one.score if one.scores else one.screened)
            gain = "" if one.gain is None else self.difference(one.gain, one.noise).removesuffix(" points")
            cost = "" if one.cost is None else f"{one.cost:.1f} ×"
            rows.append((one.name, shown, gain, one.state, cost))
        return ("change", self.metric, "gain, points" if self._share else "gain", "compared", "time"), rows

    def __str__(self) -> str:
        columns, rows = self.table()
        widths = [max(len(row[place]) for row in (columns, *rows)) for place in range(len(columns))]
        lines = [
            "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
            for row in (columns, *rows)
        ]
        parts = [self.answer, *([self.on_test] if self.test else []), "", *lines, "", self.how]
        return "\n".join(parts)

    @property
    def _share(self) -> bool:
        return measures.measure(self.metric.partition("/")[2]).share

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain values; what is not finite is None."""
        return as_plain(asdict(self))


def read(run: Run) -> Verified | None:
    """Return the newest trial that is stored with a run; None if there is none.

    Raises:
        RunError: it is damaged, or of a newer version.
    """
    stored = run.store.artifacts(NAME)
    if not stored:
        return None
    path = run.path / stored[-1].path
    try:
        values = files.read_json(path)
        if values["schema"] > SCHEMA:
            raise RunError(f"{path} has schema {values['schema']}; this Pellucid reads up to {SCHEMA}.")
        values["tried"] = tuple(
            Tried(**{**one, "findings": tuple(one["findings"])}) for one in values["tried"]
        )
        values["seeds"] = tuple(values["seeds"])
        values["reference"] = values["reference"] and tuple(values["reference"])
        values["test"] = values["test"] and Confirmed(**values["test"])
        return Verified(**values)
    except FileNotFoundError:
        return None
    except (KeyError, TypeError) as error:
        raise RunError(f"{path} is damaged: {error}.") from None


def mean(scores: Mapping[Any, float | None]) -> float:
    """Return the mean of the scores there are; NaN for none."""
    return mean_of(one for one in scores.values() if one is not None)
