"""Columns to numbers: one encoder for each kind, fitted on the training rows, kept as plain JSON.

An encoder has `names` (of the numbers it makes), `apply(column) -> (N, len(names)) float32`, and `state()`
from which `restore` makes it again. What was not seen in training is "other", missing is the median.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Protocol

import numpy as np
import pyarrow as pa

from pellucid.config import ColumnKind
from pellucid.data import parse, schema
from pellucid.data.compute import pc
from pellucid.data.dataset import Column

MOST_CATEGORIES = 50
MOST_WORDS = 1000
FIT_TEXTS = 100_000
_WORD = re.compile(r"\w\w+")
_DATE_PARTS = ("time", "year", "month", "weekday", "hour")


class Encoder(Protocol):
    """Turns a column into numbers."""

    @property
    def names(self) -> tuple[str, ...]: ...

    def apply(self, column: pa.ChunkedArray) -> np.ndarray: ...


@dataclass(frozen=True)
class Numbers:
    """(x - mean) / std, the median where x is missing, and 1 in a second number where it was."""

    names: tuple[str, ...]
    mean: float
    std: float
    median: float

    @classmethod
    def fit(cls, name: str, column: pa.ChunkedArray, normalize: bool) -> Numbers:
        values = column.cast(pa.float64())
        names = (name, f"{name} is missing") if values.null_count else (name,)
        present = values.drop_null().to_numpy()
        median = float(np.median(present)) if len(present) else 0.0
        filled = pc.fill_null(values, median).to_numpy()
        mean, std = scale(filled, normalize)
        return cls(names, float(mean), float(std), median)

    def apply(self, column: pa.ChunkedArray) -> np.ndarray:
        values = column.cast(pa.float64())
        filled = pc.fill_null(values, self.median).to_numpy()
        scaled = ((filled - self.mean) / self.std).astype(np.float32)
        if len(self.names) == 1:
            return scaled[:, None]
        return np.stack([scaled, pc.is_null(values).to_numpy().astype(np.float32)], axis=1)


@dataclass(frozen=True)
class Booleans:
    """1 for true, 0 for false, 0.5 where it is missing."""

    names: tuple[str, ...]

    @classmethod
    def fit(cls, name: str, column: pa.ChunkedArray, normalize: bool) -> Booleans:
        return cls((name,))

    def apply(self, column: pa.ChunkedArray) -> np.ndarray:
        return pc.fill_null(column.cast(pa.float32()), 0.5).to_numpy()[:, None]


@dataclass(frozen=True)
class Categories:
    """A 1 at the value, among the most common ones of training; a last place for all others."""

    names: tuple[str, ...]
    values: tuple[str, ...]
    known: tuple[str, ...] = ()

    @classmethod
    def fit(
        cls, name: str, column: pa.ChunkedArray, normalize: bool, known: Sequence[str] = ()
    ) -> Categories:
        counts = pc.drop_null(_texts(column, known)).value_counts().to_pylist()
        ranked = sorted(counts, key=lambda item: (-item["counts"], item["values"]))
        values = tuple(item["values"] for item in ranked[:MOST_CATEGORIES])
        return cls((*(f"{name} = {value}" for value in values), f"{name} = other"), values, tuple(known))

    def apply(self, column: pa.ChunkedArray) -> np.ndarray:
        texts = _texts(column, self.known)
        codes = pc.index_in(texts, value_set=pa.array(self.values, texts.type))
        places = pc.fill_null(codes, len(self.values)).to_numpy()
        hot = np.zeros((len(column), len(self.names)), np.float32)
        hot[np.arange(len(column)), places] = 1
        return hot


@dataclass(frozen=True)
class Dates:
    """The moment, the year, the month, the day of the week and the hour, each scaled as a number."""

    names: tuple[str, ...]
    parts: tuple[Numbers, ...]

    @classmethod
    def fit(cls, name: str, column: pa.ChunkedArray, normalize: bool) -> Dates:
        parts = _date_parts(column)
        kept = [
            Numbers.fit(f"{name} {part}", values, normalize)
            for part, values in parts.items()
            if part == "time" or _varies(values)
        ]
        return cls(tuple(name for part in kept for name in part.names), tuple(kept))

    def apply(self, column: pa.ChunkedArray) -> np.ndarray:
        values = _date_parts(column)
        return np.hstack([part.apply(values[_part_name(part.names[0])]) for part in self.parts])


@dataclass(frozen=True)
class Words:
    """TF-IDF of the most frequent words, each row of length 1 (Salton & Buckley 1988; smoothed idf)."""

    names: tuple[str, ...]
    words: tuple[str, ...]
    weights: tuple[float, ...]

    @classmethod
    def fit(cls, name: str, column: pa.ChunkedArray, normalize: bool) -> Words:
        seen: Counter[str] = Counter()
        texts = column.slice(0, FIT_TEXTS).to_pylist()
        for text in texts:
            seen.update(set(split_words(text)))
        common = sorted(seen, key=lambda word: (-seen[word], word))[:MOST_WORDS]
        common = [word for word in common if seen[word] > 1] or common
        weights = tuple(float(np.log((1 + len(texts)) / (1 + seen[word])) + 1) for word in common)
        return cls(tuple(f"{name}: {word}" for word in common), tuple(common), weights)

    def apply(self, column: pa.ChunkedArray) -> np.ndarray:
        place = {word: index for index, word in enumerate(self.words)}
        table = np.zeros((len(column), len(self.words)), np.float32)
        start = 0
        for chunk in column.chunks:
            for row, text in enumerate(chunk.to_pylist(), start):
                for word in split_words(text):
                    if word in place:
                        table[row, place[word]] += 1
            start += len(chunk)
        table *= np.asarray(self.weights, np.float32)
        length = np.linalg.norm(table, axis=1, keepdims=True)
        return np.divide(table, length, out=table, where=length > 0)


@dataclass(frozen=True)
class Vectors:
    """Each number of a tensor, scaled by itself."""

    names: tuple[str, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]

    @classmethod
    def fit(cls, name: str, column: pa.ChunkedArray, normalize: bool) -> Vectors:
        values = schema.tensor_values(column)
        mean, std = scale(values, normalize, axis=0)
        return cls(
            tuple(f"{name}[{index}]" for index in range(len(mean))), tuple(mean.tolist()), tuple(std.tolist())
        )

    def apply(self, column: pa.ChunkedArray) -> np.ndarray:
        values = schema.tensor_values(column)
        return ((values - np.asarray(self.mean)) / np.asarray(self.std)).astype(np.float32)


KINDS = {
    "number": Numbers,
    "boolean": Booleans,
    "category": Categories,
    "date": Dates,
    "text": Words,
    "tensor": Vectors,
}


def fit(column: Column, values: pa.ChunkedArray, normalize: bool) -> Encoder:
    """Fit the encoder of a column's kind on its training values."""
    if column.kind == "category" and pa.types.is_integer(values.type):
        return Categories.fit(column.name, values, normalize, column.categories)
    return KINDS[column.kind].fit(column.name, values, normalize)


def state(encoder: Encoder) -> dict[str, Any]:
    """The encoder as plain JSON values."""
    return asdict(encoder)  # type: ignore[call-overload]


def restore(kind: ColumnKind, values: Mapping[str, Any]) -> Encoder:
    """Make an encoder from its state."""
    if kind == "date":
        parts = tuple(Numbers(**{**part, "names": tuple(part["names"])}) for part in values["parts"])
        return Dates(tuple(values["names"]), parts)
    return KINDS[kind](
        **{key: tuple(value) if isinstance(value, list) else value for key, value in values.items()}
    )


def scale(values: np.ndarray, normalize: bool, axis: int | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation; a deviation of 0 counts as 1. (0, 1) where nothing is to be scaled."""
    mean = np.asarray(np.mean(values, axis=axis, dtype=np.float64))
    std = np.asarray(np.std(values, axis=axis, dtype=np.float64))
    if not normalize:
        return np.zeros_like(mean), np.ones_like(std)
    return mean, np.where(std > 1e-12 * np.maximum(np.abs(mean), 1), std, 1.0)


def split_words(text: str | None) -> list[str]:
    """The words of a text, in lower case, of two letters or more."""
    return _WORD.findall(text.lower()) if text else []


def _texts(column: pa.ChunkedArray, known: Sequence[str]) -> pa.ChunkedArray:
    """Category values as text; integers are indices into declared names."""
    if pa.types.is_integer(column.type) and known:
        inside = pc.and_(pc.greater_equal(column, 0), pc.less(column, len(known)))
        return pa.chunked_array([pa.array(known)]).take(
            pc.if_else(inside, column, pa.scalar(None, column.type))
        )
    return parse.as_text(column)


def _date_parts(column: pa.ChunkedArray) -> dict[str, pa.ChunkedArray]:
    seconds = pc.divide(column.cast(pa.int64()).cast(pa.float64()), 1e6)
    parts = (seconds, pc.year(column), pc.month(column), pc.day_of_week(column), pc.hour(column))
    return dict(zip(_DATE_PARTS, parts, strict=True))


def _part_name(name: str) -> str:
    return next(part for part in _DATE_PARTS if name.endswith(f" {part}"))


def _varies(values: pa.ChunkedArray) -> bool:
    ends = pc.min_max(values).as_py()
    return ends["min"] != ends["max"]
