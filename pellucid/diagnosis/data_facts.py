"""What is recorded of the data of a run, as plain values: the input of the rules in `rules/labels.py` and
`rules/data.py`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class LabelFacts:
    """What the margins of the training rows say about their labels; see `diagnosis.label_noise`.

    Attributes:
        rows: training rows.
        suspected: rows whose label is suspected.
        wrong: wrong labels in all, by the mixture; None where the margins do not show two groups.
        precision: expected share of wrong labels among the suspected; None likewise.
        separation: distance of the two groups in their widths; None likewise.
        pairs: (label, what the model says, rows) of the suspected rows, the most frequent first.
    """

    rows: int
    suspected: int
    wrong: int | None = None
    precision: float | None = None
    separation: float | None = None
    pairs: tuple[tuple[str, str, int], ...] = ()


def label_facts(facts: Mapping[str, Any]) -> LabelFacts | None:
    """Read `labels` of run.json; None where no margins were recorded."""
    found = facts.get("labels") or {}
    if "suspected" not in found:
        return None
    pairs = tuple((str(a), str(b), int(rows)) for a, b, rows in found.get("pairs") or ())
    return LabelFacts(
        found["rows"],
        found["suspected"],
        found.get("wrong"),
        found.get("precision"),
        found.get("separation"),
        pairs,
    )


@dataclass(frozen=True)
class Copies:
    """Rows of a split that are copies: of earlier rows of train for "train", of rows in train for the others.

    Attributes:
        split: its name.
        rows: that were compared.
        exact: rows whose inputs are equal.
        near, searched: rows that are nearly the same as another, and how many were looked for.
        pairs: (row, other row, similarity 0..1).
        accuracy, without: on all rows of the split, and on those that are no copies; None where not measured.
    """

    split: str
    rows: int
    exact: int = 0
    near: int = 0
    searched: int = 0
    pairs: tuple[tuple[int, int, float], ...] = ()
    accuracy: float | None = None
    without: float | None = None

    @property
    def found(self) -> int:
        """Copies that were found."""
        return self.exact + self.near

    @property
    def share(self) -> float:
        """Share of the rows that are copies, 0..1."""
        return self.exact / max(self.rows, 1) + self.near / max(self.searched, 1)


@dataclass(frozen=True)
class Shift:
    """How well a linear classifier tells a split from train: AUC, its standard error, columns that differ."""

    split: str
    auc: float
    error: float
    columns: tuple[tuple[str, float], ...] = ()


@dataclass(frozen=True)
class DataFacts:
    """What the checks of the data recorded before training.

    Attributes:
        copies: by split.
        shift: by held-out split.
        revealing: (column, share of the targets that it predicts by itself).
        normalized: whether inputs were scaled.
        mean, spread: of the numbers that the model receives; None where these are tokens.
    """

    copies: tuple[Copies, ...] = ()
    shift: tuple[Shift, ...] = ()
    revealing: tuple[tuple[str, float], ...] = ()
    normalized: bool = True
    mean: float | None = None
    spread: float | None = None


@dataclass(frozen=True)
class ClassRecall:
    """Rows of a class in the evaluated split, and the share of them that was found."""

    name: str
    rows: int
    recall: float


def data_facts(facts: Mapping[str, Any], settings: Mapping[str, Any]) -> DataFacts | None:
    """Read `data_checks` of run.json; None where the data were not checked."""
    found = facts.get("data_checks")
    if not found:
        return None
    copies = tuple(
        Copies(
            split,
            one["rows"],
            one["exact"],
            one["near"],
            one["searched"],
            tuple((int(row), int(other), float(alike)) for row, other, alike in one["pairs"]),
            one.get("accuracy"),
            one.get("without"),
        )
        for split, one in (found.get("copies") or {}).items()
    )
    shift = tuple(
        Shift(split, one["auc"], one["error"], tuple((str(name), float(far)) for name, far in one["columns"]))
        for split, one in (found.get("shift") or {}).items()
    )
    scale = found.get("scale") or {}
    return DataFacts(
        copies,
        shift,
        tuple((str(name), float(share)) for name, share in found.get("revealing") or ()),
        bool((settings.get("data") or {}).get("normalize", True)),
        scale.get("mean"),
        scale.get("std"),
    )


def class_facts(per_class: Any) -> tuple[ClassRecall, ...] | None:
    """Read the scores by class of an evaluated split; None where there are none."""
    if not isinstance(per_class, list) or not per_class:
        return None
    return tuple(
        ClassRecall(str(one.get("name", one.get("class"))), int(one["support"]), float(one["recall"]))
        for one in per_class
    )
