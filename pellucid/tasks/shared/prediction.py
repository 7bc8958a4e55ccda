"""Predictions of classes, of sets of labels and of amounts, row by row."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from pellucid.errors import UnknownNameError, UsageError

FEW = 20
"""Up to this many classes, rows show the probability of each."""
TOP = 3
"""Probabilities that rows show of more classes."""
HALF = 0.5


@dataclass(frozen=True)
class Prediction:
    """Predictions for N rows.

    Attributes:
        outputs: (N, K) probabilities of the classes; or (N,) amounts, (N, D) of several a row, in the units
            of the data.
        classes: the K classes in the type that y had; () for amounts.
        class_names: the K classes as text.
        targets: the names of D amounts; () where there is one, or none has a name.
        several: whether each row has any number of the K labels.
        thresholds: (K,) probability from which on a label holds; of one class out of two, from which on it is
            predicted; None: the most probable class.
        shown: probabilities that `rows` shows; None: all of few classes, else the largest three.
    """

    outputs: np.ndarray
    classes: tuple[Any, ...] = ()
    class_names: tuple[str, ...] = ()
    targets: tuple[str, ...] = ()
    several: bool = False
    thresholds: np.ndarray | None = None
    shown: int | None = None

    @property
    def labels(self) -> list[Any]:
        """What is predicted for each row: a class, a tuple of the labels that hold, or the amount itself."""
        if not self.classes:
            return self.outputs.tolist()
        if self.several:
            return [
                tuple(label for label, holds in zip(self.classes, row, strict=True) if holds)
                for row in self.indicators
            ]
        return [self.classes[index] for index in self._best]

    @property
    def probs(self) -> np.ndarray:
        """(N, K) the probability of every class, in the order of `classes`."""
        if not self.classes:
            raise AttributeError("amounts are predicted, which have no probabilities")
        return self.outputs

    @property
    def indicators(self) -> np.ndarray:
        """(N, K) 1 where a label holds, else 0."""
        if not self.several:
            return np.eye(len(self.classes), dtype=np.int64)[self._best]
        return (self.outputs >= self.thresholds).astype(np.int64)

    @property
    def _best(self) -> np.ndarray:
        if self.thresholds is None:
            return self.outputs.argmax(1)
        return (self.outputs[:, 1] >= self.thresholds[1]).astype(np.int64)

    @property
    def notes(self) -> tuple[str, ...]:
        """Say where not all probabilities are shown."""
        if self.shown is not None or len(self.classes) <= FEW:
            return ()
        return (
            f"the {TOP} largest of {len(self.classes):,} probabilities are shown; "
            "probabilities=all gives all",
        )

    def rows(self, top: int | None = None) -> list[dict[str, Any]]:
        """One dict a row: the prediction, and the probabilities of the most probable `top` classes.

        Args:
            top: how many; None: all of few classes, else three.
        """
        if not self.classes:
            return [{"prediction": self._amount(value)} for value in self.outputs.tolist()]
        count = top if top is not None else self.shown
        if count is None:
            count = len(self.classes) if len(self.classes) <= FEW or self.several else TOP
        order = np.argsort(-self.outputs, axis=1, kind="stable")[:, :count]
        return [
            self._row(label, probs, best)
            for label, probs, best in zip(self.labels, self.outputs, order, strict=True)
        ]

    def records(self) -> list[dict[str, Any]]:
        """The rows of a file: with the probabilities of all classes, in their order."""
        if not self.classes:
            return self.rows()
        every = np.arange(len(self.classes))
        pairs = zip(self.labels, self.outputs, strict=True)
        return [self._row(label, probs, every) for label, probs in pairs]

    def _row(self, label: Any, probs: np.ndarray, chosen: np.ndarray) -> dict[str, Any]:
        row: dict[str, Any] = {"prediction": list(label) if self.several else label}
        if not self.several:
            row["confidence"] = float(probs[self.classes.index(label)])
        if len(chosen):
            row["probs"] = {self.class_names[index]: float(probs[index]) for index in chosen}
        return row

    def _amount(self, value: Any) -> Any:
        return dict(zip(self.targets, value, strict=True)) if self.targets else value


# ---- options -------------------------------------------------------------------------------------


def read_thresholds(asked: Any, classes: Sequence[str], *, several: bool) -> np.ndarray | None:
    """Return the threshold of every class, (K,).

    Args:
        asked: one number; by class; one for each class; or None: 0.5 for labels, none for classes.
        classes: their names.
        several: whether each row has any number of labels. Of two classes that exclude each other, one number
            is the threshold of the second.

    Raises:
        UsageError: there is one for more than two classes that exclude each other, or it is no probability.
        UnknownNameError: there is no class of a name.
    """
    if asked is None:
        return np.full(len(classes), HALF) if several else None
    if not several and len(classes) != 2:
        raise UsageError(
            f"A threshold decides between two classes, and there are {len(classes)}: the most probable one "
            "is predicted.",
            remedy="compare probs with it yourself",
        )
    if isinstance(asked, Mapping):
        made = np.full(len(classes), HALF)
        for name, value in asked.items():
            if str(name) not in classes:
                raise UnknownNameError("class", str(name), classes)
            place = classes.index(str(name))
            made[place] = _probability(value)
            if not several and place == 0:
                made[1] = np.nextafter(1 - made[0], 2)  # the first is predicted from its threshold on
        return made
    if isinstance(asked, (list, tuple, np.ndarray)):
        if len(asked) != len(classes):
            raise UsageError(
                f"threshold has {len(asked)} values: expected one number, one for each of {len(classes)} "
                f"classes, or numbers by class ({', '.join(classes[:5])})."
            )
        return np.array([_probability(value) for value in asked])
    return np.full(len(classes), _probability(asked))


def _probability(value: Any) -> float:
    number = float(value) if isinstance(value, (int, float, np.number)) else np.nan
    if isinstance(value, bool) or not 0 <= number <= 1:
        raise UsageError(f"threshold: expected a probability from 0 to 1, received {value!r}.")
    return number


def read_shown(asked: Any) -> int | None:
    """Return how many probabilities are to be shown: of "all", "none", a number, or None.

    Raises:
        UsageError: it is none of these.
    """
    words = {"all": 10**9, True: 10**9, "none": 0, False: 0}
    if asked is None or (isinstance(asked, int) and not isinstance(asked, bool) and asked >= 0):
        return asked
    if asked not in words:
        raise UsageError(f"probabilities: expected all, none or a number, received {asked!r}.")
    return words[asked]
