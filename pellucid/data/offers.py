"""What can be learned from data: every task says so itself, in the `offer.py` of its folder.

An `offer.py` lists `OFFERS`, each with the names that users call it by, what it needs, and a function that
looks at the contents of data and proposes what to learn, with the config to do so. Adding a task adds its
offers: command line, `inspect` and `fit` find them here and know no task by name.
"""

from __future__ import annotations

import functools
import importlib
import importlib.util
import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from pellucid.config import Config
from pellucid.data.contents import Contents
from pellucid.errors import BadDataError, PellucidError, UnknownNameError, UsageError
from pellucid.extensions import explain
from pellucid.record.spec import TaskSpec, find_spec, package_of, specs

LISTED = 6
Choice = tuple[str, Any, str]
"""What was chosen, its value, and the reason; the arguments of `Run.choose`."""
SURE = 0.9
"""Likelihood from which a proposal is followed although another use of the named target is refused."""


@dataclass(frozen=True)
class Suggestion:
    """A config that trains on data as it is.

    Attributes:
        config: all of it.
        reasons: why it is so, one sentence each.
        choices: what was chosen for the time there is, to be recorded with the run.
        for_size: the settings that change with another size of the model, such as its learning rate; None:
            none do.
    """

    config: Config
    reasons: tuple[str, ...] = ()
    choices: tuple[Choice, ...] = ()
    for_size: Callable[[str], Mapping[str, Any]] | None = field(default=None, repr=False)


@dataclass(frozen=True)
class Proposal:
    """What a task would learn from data.

    Attributes:
        learns: in one phrase, such as "the class of 'species' from 4 columns".
        likelihood: how likely it is what is wanted, in 0..1.
        suggest: makes the config, for a command that may take some minutes; None: without a limit.
        name: what users call it; that of its offer.
        task: the name of its task.
    """

    learns: str
    likelihood: float
    suggest: Callable[[float | None], Suggestion] = field(repr=False)
    name: str = ""
    task: str = ""


@dataclass(frozen=True)
class Offer:
    """A way in which a task learns, by the names that users have for it.

    Attributes:
        names: what users call it, besides the name of the task; the first is shown.
        needs: what data it needs, e.g. "pictures".
        propose: proposes what to learn from data; None where it cannot.
        why_not: what is wrong with data that it could nearly learn from; None: that it is of another kind.
        task: the name of its task; added when it is found.
    """

    names: tuple[str, ...]
    needs: str
    propose: Callable[[Contents], Proposal | None] = field(repr=False)
    why_not: Callable[[Contents], PellucidError | None] = field(default=lambda _: None, repr=False)
    task: str = ""

    def proposal(self, contents: Contents) -> Proposal | None:
        """Return what it proposes, under its name."""
        from pellucid.data.model_size import for_time

        found = self.propose(contents)
        if found is None:
            return None
        suggest = found.suggest
        return replace(
            found,
            suggest=lambda budget: for_time(suggest(budget), contents, budget),
            name=self.names[0],
            task=self.task,
        )


def all_offers() -> list[Offer]:
    """Return the offers of all tasks that have an `offer.py`."""
    return [offer for package, spec in specs().items() for offer in _offers_of(package, spec.name)]


def proposals(contents: Contents) -> list[Proposal]:
    """Return everything that can be learned from data, the likeliest first."""
    found = [proposal for offer in all_offers() if (proposal := offer.proposal(contents)) is not None]
    return sorted(found, key=lambda proposal: -proposal.likelihood)


def choose(
    contents: Contents, wanted: str | None = None, proposed: Sequence[Proposal] | None = None
) -> Proposal:
    """Return what to learn from data: what is wanted, or the likeliest.

    Args:
        contents: of the data.
        wanted: a name that an offer or a task has, with dashes or underscores; None: the likeliest.
        proposed: what `proposals` returned for these contents; None: it is asked.

    Raises:
        UnknownNameError: there is no such task.
        DataError: it cannot be learned from this data; names what can.
    """
    possible = proposals(contents) if proposed is None else proposed
    if wanted is None:
        doubted = contents.refusal is not None and contents.named_target
        if not possible or (doubted and possible[0].likelihood < SURE):
            raise _refused(contents, possible)
        return possible[0]
    offers = find_offers(wanted)
    if not offers:
        return _without_offer(contents, find_spec(_plain(wanted)))
    asked = {(offer.task, offer.names[0]) for offer in offers}
    for proposal in possible:
        if (proposal.task, proposal.name) in asked:
            return proposal
    wrong = next((error for offer in offers if (error := offer.why_not(contents)) is not None), None)
    raise wrong or _refused(contents, possible, wanted, offers)


def find_offers(wanted: str) -> list[Offer]:
    """Return the offers of a name: one by its own name, or all of a task; [] for a task without offers.

    Raises:
        UnknownNameError: there is no such task.
    """
    offers, name = all_offers(), _plain(wanted)
    if found := [offer for offer in offers if name in map(_plain, offer.names)]:
        return found
    known = {shown for offer in offers for shown in (offer.names[0], offer.task)}
    try:
        package = package_of(name if "." not in wanted else wanted)  # which registers it
        task = specs()[package].name
    except UnknownNameError:
        raise UnknownNameError("task", wanted, sorted(known)) from None
    return [offer for offer in offers if offer.task == task]


def _plain(name: str) -> str:
    return name if "." in name else name.strip().lower().replace("-", "_").replace(" ", "_")


def _without_offer(contents: Contents, spec: TaskSpec) -> Proposal:
    """Return the proposal of a task that says nothing about data: the usual config for the data."""
    from pellucid.data.suggest import suggest_plain

    return Proposal(
        spec.summary or spec.name.replace("_", " "),
        0.0,
        lambda budget: suggest_plain(contents, spec.name),
        name=spec.name,
        task=spec.name,
    )


@functools.cache
def _offers_of(package: str, task: str) -> tuple[Offer, ...]:
    """Read `OFFERS` of the `offer.py` of a task; () without one.

    Raises:
        UsageError: it cannot be imported, or holds something else.
    """
    name = f"{package}.offer"
    if importlib.util.find_spec(name) is None:
        return ()
    try:
        found: Any = getattr(importlib.import_module(name), "OFFERS", None)
    except Exception as error:
        raise UsageError(f"{name} cannot be imported: {explain(error)}.") from error
    if not isinstance(found, tuple | list) or not all(isinstance(offer, Offer) for offer in found):
        raise UsageError(f"{name}: expected OFFERS = (Offer(...), ...), found {found!r:.80}.")
    return tuple(replace(offer, task=task) for offer in found)


# ---- words -----------------------------------------------------------------------------------------


def command(contents: Contents, name: str) -> str:
    """Return the command that learns something from data."""
    return f"pellucid train {shlex.quote(contents.config.source)} --task {name}"


def in_words(contents: Contents, possible: Sequence[Proposal]) -> str:
    """Return what can be learned, as commands: the first in full, of the others the option."""
    if not possible:
        return ""
    first, *others = dict.fromkeys(proposal.name for proposal in possible)
    if contents.fixed:
        return "pellucid.fit(model, data, task=" + " | ".join(map(repr, [first, *others][:LISTED])) + ")"
    return command(contents, " | ".join([first, *others][:LISTED]))


def _refused(
    contents: Contents,
    possible: Sequence[Proposal],
    wanted: str | None = None,
    offers: Sequence[Offer] = (),
) -> PellucidError:
    """Return the error that nothing, or not what is wanted, can be learned; names what can."""
    other, refusal = in_words(contents, possible), contents.refusal
    if wanted is None and refusal is None:
        return BadDataError(f"There is no task for this data: received {contents.named()}.")
    if wanted is None or (refusal is not None and any(find_spec(offer.task).labelled for offer in offers)):
        assert refusal is not None
        needed = "" if wanted is None else f"{_needed(contents, wanted, offers)} "
        remedy = "; or ".join(part for part in (refusal.remedy, other) if part)
        return BadDataError(needed + refusal.message, remedy=remedy or None)
    return BadDataError(_needed(contents, wanted, offers), remedy=other or None)


def _needed(contents: Contents, wanted: str, offers: Sequence[Offer]) -> str:
    """Return what a task needs, and what the data is."""
    needs = " or ".join(dict.fromkeys(offer.needs for offer in offers))
    return (
        f"{wanted} cannot be learned from {contents.config.source}: expected {needs}; received "
        f"{contents.named()}."
    )
