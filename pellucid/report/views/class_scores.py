"""Precision, recall and F1 by class.

{"kind": "class_scores", "of": "class" or "label",
 "scores": [{"name", "precision", "recall", "f1", "support"}]}
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pellucid.report import words
from pellucid.report.block import Section, Shelf, View

FOLDED_FROM = 24  # more classes than this are folded away
WEAKEST_SHOWN = 10  # classes that are shown then


@dataclass(frozen=True)
class ClassScore:
    """One class or label; precision, recall and F1 are shares of 1, `missed` the rows that were not found."""

    name: str
    precision: float
    recall: float
    f1: float
    support: int
    missed: int


@dataclass(frozen=True)
class ClassScores:
    """Scores in class order, and the weakest of them where there are many; `most_missed` is at least 1."""

    of: str
    scores: tuple[ClassScore, ...]
    lowest: tuple[ClassScore, ...]
    sentence: str
    most_missed: int


def prepare(facts: Mapping[str, Any], shelf: Shelf) -> ClassScores:
    """Find the weakest and the best class."""
    scores = tuple(_score(entry) for entry in facts["scores"])
    seen = [score for score in scores if score.support] or list(scores)
    ranked = sorted(seen, key=lambda score: score.f1)
    weakest, best = ranked[0], ranked[-1]
    sentence = (
        f"The weakest is {weakest.name} with an F1 of {words.percent(weakest.f1)}, "
        f"the best {best.name} with {words.percent(best.f1)}."
    )
    lowest = tuple(ranked[:WEAKEST_SHOWN]) if len(scores) > FOLDED_FROM else ()
    most = max(1, *(score.missed for score in scores))
    return ClassScores(str(facts.get("of") or "class"), scores, lowest, sentence, most)


def _score(entry: Mapping[str, Any]) -> ClassScore:
    support = int(entry["support"])
    missed = round((1 - entry["recall"]) * support)
    return ClassScore(str(entry["name"]), entry["precision"], entry["recall"], entry["f1"], support, missed)


VIEW = View("class_scores", prepare, section=Section("classes", "Classes"))
