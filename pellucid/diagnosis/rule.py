"""A rule: one question about a run, answered by a finding or by None.

Rules live in `pellucid.diagnosis.rules`, one file a topic; each file has `RULES`, and new files are found by
themselves. Rules of your own project are added with `pellucid.diagnosis.register`.
A rule names what it needs and is not run where that is missing:

    Rule("loss-constant", needs=("curves",), check=lambda facts: Finding(...) or None)
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

from pellucid.diagnosis.facts import Facts
from pellucid.record import Finding

Check = Callable[[Facts], Finding | None]
OLD_IDS = {"non-finite": "non-finite-loss", "double-softmax": "activation-before-loss"}
"""Ids that rules had in earlier versions, and what they are called now."""


@dataclass(frozen=True)
class Rule:
    """One question about a run.

    Attributes:
        id: its name, lower case with hyphens: "still-improving".
        needs: the attributes of `Facts` without which it cannot run, e.g. ("curves",).
        check: returns a finding, or None where there is nothing to report.
        unless: ids of rules whose findings explain this one: it is not run when one of them found something.
        last_resort: it is run after all others and only where none of them warns.
        any_of: attributes of `Facts`, for each of which it can look: without all of them it cannot run.
        at_end: it can only be said of a finished run, and is not asked during training.
        about: the page of a rule of your own as Markdown, for `pellucid diagnose --explain ID`; the pages of
            our own rules are the files in `pellucid/diagnosis/pages`.
    """

    id: str
    needs: tuple[str, ...]
    check: Check
    unless: tuple[str, ...] = ()
    last_resort: bool = False
    any_of: tuple[str, ...] = ()
    at_end: bool = False
    about: str = ""


def first_of(*rules: Rule, after: Iterable[str] = ()) -> tuple[Rule, ...]:
    """Order rules so that only the first of them that finds something reports it.

    Args:
        rules: from the most to the least important.
        after: ids of rules that go before all of them.
    """
    before = list(after)
    ordered = []
    for rule in rules:
        ordered.append(replace(rule, unless=(*rule.unless, *before)))
        before.append(rule.id)
    return tuple(ordered)
