"""Run the rules on what a run recorded, and rank what they find."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter

from pellucid.diagnosis.facts import MISSING, Facts, Speed, facts_of
from pellucid.diagnosis.rule import OLD_IDS, Rule
from pellucid.diagnosis.rules import LEFT_OUT, all_rules, recall_rules, unknown_need
from pellucid.record import Finding, Run

LEVELS = ("error", "warning", "note")
SYMPTOMS = ("underfitting", "diverging")
"""Findings that say that something is wrong, and stand after those that say what."""


@dataclass(frozen=True)
class Skipped:
    """A rule that could not run, and why."""

    rule: str
    reason: str


@dataclass(frozen=True)
class Examination:
    """What the rules found.

    Attributes:
        findings: errors first, then warnings, then notes; within a level the surest first.
        skipped: the rules that could not run.
    """

    findings: list[Finding]
    skipped: list[Skipped]


def diagnose(run: Run, muted: Collection[str] = ()) -> list[Finding]:
    """Run all rules on a run and return what they find, ranked; nothing is written.

    Args:
        run: any run, finished or not.
        muted: ids of rules to leave out, in addition to `run.facts["muted"]`.
    """
    return examine_run(run, muted).findings


def findings(run: Run) -> list[Finding]:
    """Return a run's findings, ranked: the stored ones, or, where none are stored, those of `diagnose`."""
    stored = run.store.findings()
    if not stored:
        return diagnose(run)
    muted = muted_in(run)
    return ranked(finding for finding in stored if finding.rule not in muted)


def advice(speed: Speed) -> list[Finding]:
    """Return what would make training faster, the largest gain first; never empty."""
    return examine(Facts(speed=speed)).findings


def examine_run(run: Run, muted: Collection[str] = (), rules: Sequence[Rule] | None = None) -> Examination:
    """Run all rules on a run; also return the rules that could not run."""
    recall_rules(run.facts.get("registered", {}).get("rules", {}))
    return examine(facts_of(run), rules, muted={*muted, *muted_in(run)})


def muted_in(run: Run) -> set[str]:
    """Return the ids of rules that are muted in a run: by `diagnosis.mute` of its config, or its facts."""
    asked = run.settings.get("diagnosis", {}).get("mute") or ()
    named = [str(id) for id in (*asked, *(run.facts.get("muted") or ()))]
    return {OLD_IDS.get(id, id) for id in named}


def examine(facts: Facts, rules: Sequence[Rule] | None = None, muted: Collection[str] = ()) -> Examination:
    """Run rules on facts.

    Args:
        facts: what is known.
        rules: each is run unless something it needs is missing, or another finding explains it; None: all.
        muted: ids of rules to leave out.
    """
    found: dict[str, Finding] = {}
    skipped: dict[str, str] = {}
    left_out = _left_out() if rules is None else []
    rules = all_rules() if rules is None else rules
    muted = {OLD_IDS.get(id, id) for id in muted}
    ordered = _in_order([rule for rule in rules if rule.id not in muted])
    for rule in sorted(ordered, key=lambda rule: rule.last_resort):
        if rule.last_resort and any(one.level != "note" for one in found.values()):
            continue
        reason = _unmet(rule, facts)
        if reason:
            skipped[rule.id] = reason
        elif not found.keys() & set(rule.unless):
            _ask(rule, facts, found, skipped)
    asked = list(dict.fromkeys(rule.id for rule in rules))
    return Examination(
        ranked(found[id] for id in asked if id in found),
        [*(Skipped(id, skipped[id]) for id in asked if id in skipped), *left_out],
    )


def not_applicable(run: Run) -> list[Skipped]:
    """Return the rules that cannot run on a run, without running the others."""
    facts = facts_of(run)
    unmet = [Skipped(rule.id, reason) for rule in all_rules() if (reason := _unmet(rule, facts))]
    return [*unmet, *_left_out()]


def ranked(found: Iterable[Finding]) -> list[Finding]:
    """Sort findings: errors, warnings, notes; within a level causes before symptoms, by confidence, gain."""

    def rank(one: Finding) -> tuple[int, bool, float, float]:
        level = LEVELS.index(one.level) if one.level in LEVELS else len(LEVELS)
        return level, one.rule in SYMPTOMS, -one.confidence, -one.gain

    return sorted(found, key=rank)


def _left_out() -> list[Skipped]:
    """The rules that were left out when they were loaded."""
    return [Skipped(name, f"it was left out: {reason}") for name, reason in LEFT_OUT.items()]


def _ask(rule: Rule, facts: Facts, found: dict[str, Finding], skipped: dict[str, str]) -> None:
    """Run one rule; one that fails is listed as skipped, so that it cannot end a training run."""
    try:
        finding = rule.check(facts)
    except Exception as error:
        skipped[rule.id] = f"it failed: {type(error).__name__}: {error}"
        return
    if finding is None:
        return
    if problem := _problem(rule, finding):
        skipped[rule.id] = f"it failed: {problem}"
    else:
        found[rule.id] = finding


def _problem(rule: Rule, finding: object) -> str:
    """Say what is wrong with what a rule returned; "" if nothing is."""
    if not isinstance(finding, Finding):
        return f"expected a Finding or None, it returned {finding!r:.80}"
    if finding.rule != rule.id:
        return f"expected a finding of the rule {rule.id!r}, it returned one of {finding.rule!r}"
    if finding.level not in LEVELS:
        return f"expected one of the levels {', '.join(LEVELS)}, its finding has {finding.level!r}"
    if not all(isinstance(number, int | float) for number in (finding.confidence, finding.gain)):
        return "expected numbers for confidence and gain"
    return ""


def _unmet(rule: Rule, facts: Facts) -> str:
    """Why a rule cannot run; "" if it can."""
    if problem := unknown_need(rule):
        return problem
    missing = next((need for need in rule.needs if getattr(facts, need) is None), None)
    if rule.any_of and all(getattr(facts, need) is None for need in rule.any_of):
        missing = rule.any_of[0]
    return "" if missing is None else MISSING.get(missing, f"{missing} is not known")


def _in_order(rules: Sequence[Rule]) -> list[Rule]:
    """Rules, each after those in its `unless`."""
    by_id = {rule.id: rule for rule in reversed(rules)}
    graph = {rule.id: [id for id in rule.unless if id in by_id] for rule in rules}
    try:
        return [by_id[id] for id in TopologicalSorter(graph).static_order()]
    except CycleError:  # rules that name each other: in the given order
        return [by_id[id] for id in dict.fromkeys(rule.id for rule in rules)]
