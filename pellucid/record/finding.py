"""A finding: something a rule saw in a run, in words a user can act on."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal


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
    level: Literal["note", "warning", "error"]
    seen: str
    means: str
    remedy: str = ""
    patch: dict[str, Any] = field(default_factory=dict)
    where: str = ""
    step: int = 0
    confidence: float = 1.0
    gain: float = 0.0
