"""Texts: word counts in a table, or tokens as the whole input of a model."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from pellucid.data import parse
from pellucid.data.compute import pc
from pellucid.data.dataset import Column
from pellucid.data.encoder import Encoder, FitOptions, Inputs
from pellucid.data.kinds.category import is_small
from pellucid.data.kinds.kind import ID_NAME, Cells, Kind, Reading, WholeInput, all_bad
from pellucid.data.text.text_inputs import TextInputs
from pellucid.data.text.vocabulary import token_inputs

MOST_WORDS = 1000
FIT_TEXTS = 100_000
"""Texts whose words are counted to choose the vocabulary."""

_WORD = re.compile(r"\w\w+")


def infer(cells: Cells) -> Reading | None:
    if not cells.is_text or is_small(cells):
        return None
    length = pc.mean(pc.utf8_length(cells.sample)).as_py()
    spaces = pc.mean(pc.count_substring(cells.sample, " ")).as_py()
    all_differ = cells.distinct == cells.present and not ID_NAME.search(cells.name)
    if spaces < 2 and length <= 40 and not (all_differ and (length > 20 or spaces >= 1)):
        return None
    reason = f"{cells.distinct:,} different texts, {length:.0f} characters on average"
    return Reading(cells.raw, reason)


def read(cells: Cells) -> Reading:
    try:
        return Reading(parse.as_text(cells.raw))
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        return all_bad(cells.raw)


@dataclass(frozen=True)
class TfidfEncoder(Encoder):
    """TF-IDF of the most frequent words, each row of length 1 (Salton & Buckley 1988; smoothed idf)."""

    names: tuple[str, ...]
    words: tuple[str, ...]
    weights: tuple[float, ...]

    @classmethod
    def fit(cls, column: Column, values: pa.ChunkedArray, normalize: bool) -> TfidfEncoder:
        seen: Counter[str] = Counter()
        texts = values.slice(0, FIT_TEXTS).to_pylist()
        for text in texts:
            seen.update(set(split_words(text)))
        common = sorted(seen, key=lambda word: (-seen[word], word))[:MOST_WORDS]
        common = [word for word in common if seen[word] > 1] or common
        weights = tuple(float(np.log((1 + len(texts)) / (1 + seen[word])) + 1) for word in common)
        return cls(tuple(f"{column.name}: {word}" for word in common), tuple(common), weights)

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


def split_words(text: str | None) -> list[str]:
    """Return the words of a text, in lower case, of two letters or more."""
    return _WORD.findall(text.lower()) if text else []


def _fit_tokens(column: Column, table: pa.Table, options: FitOptions) -> tuple[Inputs, list[str]]:
    assert options.text is not None
    return token_inputs(column, table, options.text, options.shared, options.layout), []


KIND = Kind(
    name="text",
    order=50,
    expected="text",
    infer=infer,
    read=read,
    fits=lambda kind: parse.is_text(kind) or pa.types.is_null(kind),
    encoder=TfidfEncoder,
    empty=pa.string(),
    takes_text=True,
    whole=WholeInput(fit=_fit_tokens, restore=TextInputs.from_state, tokens=True),
)
