"""A finding: something a rule saw in a run, in words a user can act on."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, Literal

from pellucid.errors import worded

Level = Literal["note", "warning", "error"]


@dataclass(frozen=True)
class Finding:
    """What was seen, where, what it means and what to try.

    Attributes:
        rule: the id of the rule that saw it, e.g. "still-improving"; lower case with hyphens.
        level: "note" informs, "warning" asks for a change, "error" stopped the run.
        seen: the evidence, with its numbers.
        means: the cause in plain words.
        remedy: what to try, in words.
        patch: the same as dotted config keys, e.g. {"optimizer.lr": 1e-4}; empty if there is none.
        where: a module, column or file; "" for the whole run.
        step: the optimizer update it was seen at.
        confidence: 0..1, how sure the rule is.
        gain: share of the time that the remedy could save, 0..1; 0 where the finding is not about speed.
    """

    rule: str
    level: Level
    seen: str
    means: str
    remedy: str = ""
    patch: dict[str, Any] = field(default_factory=dict)
    where: str = ""
    step: int = 0
    confidence: float = 1.0
    gain: float = 0.0

    @property
    def id(self) -> str:
        """The id of the rule, as `rule`."""
        return self.rule

    @property
    def severity(self) -> str:
        """The level in three words that loggers use: "info", "warn" or "error"."""
        return {"note": "info", "warning": "warn"}.get(self.level, self.level)

    @property
    def message(self) -> str:
        """What was seen, what it means and what to try, in one text."""
        tried = f" Try: {self.remedy}." if self.remedy else ""
        return f"{self.seen} {self.means}{tried}"

    def __str__(self) -> str:
        return f"{self.severity}: {self.message} [{self.id}{f' at {self.where}' if self.where else ''}]"

    def worded(self) -> Finding:
        """Return the finding with the options of the command line as arguments where Python is used."""
        return replace(self, seen=worded(self.seen), means=worded(self.means), remedy=worded(self.remedy))
