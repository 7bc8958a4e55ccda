"""What a remedy is, and which there are for a finding."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from pellucid.lens.remedy.parts import Loop, Parts
from pellucid.record import Finding


@dataclass(frozen=True)
class Case:
    """What a remedy may look at: the finding, and the loop for training runs of its own.

    Attributes:
        finding: that it is for.
        loop: makes and trains parts.
        seed: of this training.
    """

    finding: Finding
    loop: Loop
    seed: int = 0


Apply = Callable[[Parts, Case], Parts]


@dataclass(frozen=True)
class Remedy:
    """A change of the parts of a loop.

    Attributes:
        name: unique, lower case with hyphens.
        ids: of findings that it is for.
        words: what is changed, as a phrase; `Parts.say` may be more exact.
        apply: changes new parts and returns them; raises `Unfit` where it cannot.
        size: how large the change is: 1 a setting, 2 a line, 3 a layer, 4 several layers or the data, 5 more.
        edit: the same as an edit of the code, in words.
    """

    name: str
    ids: tuple[str, ...]
    words: str
    apply: Apply
    size: float = 1.0
    edit: str = ""


REMEDIES: dict[str, Remedy] = {}


def remedy(name: str, *ids: str, words: str, size: float = 1.0, edit: str = "") -> Callable[[Apply], Apply]:
    """Register a function of parts as a remedy for findings."""

    def register(apply: Apply) -> Apply:
        REMEDIES[name] = Remedy(name, ids, words, apply, size, edit)
        return apply

    return register


def remedies_for(id: str) -> list[Remedy]:
    """Return the remedies for a finding, the smallest change first."""
    return sorted((one for one in REMEDIES.values() if id in one.ids), key=lambda one: one.size)
