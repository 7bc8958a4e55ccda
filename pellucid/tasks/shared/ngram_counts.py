"""What counting says about the next word: the models of text that need no network.

A word is predicted from contexts of growing length. Each level takes a discount off the counts of the words
it has seen in a context and gives what it saved to the level below: interpolated absolute discounting (Ney,
Essen & Kneser 1994; Chen & Goodman 1999, section 2.6).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

DISCOUNT = 0.75
_FACTOR = np.uint64(0x9E3779B97F4A7C15)  # odd, so that different contexts keep different codes


@dataclass(frozen=True)
class _Level:
    """The counts of words after each context.

    Attributes:
        contexts: (C,) their codes, sorted.
        totals: (C,) how often each was seen.
        kinds: (C,) different words after each.
        best: (C,) the most frequent word after each.
        pairs: (P,) place of a context * vocab_size + word, sorted.
        counts: (P,) how often each pair was seen.
    """

    contexts: np.ndarray
    totals: np.ndarray
    kinds: np.ndarray
    best: np.ndarray
    pairs: np.ndarray
    counts: np.ndarray


_Found = tuple[_Level, np.ndarray, np.ndarray]
"""A level, where each context stands in it, and whether it does."""


class NGrams:
    """Probabilities of words after contexts, learned by counting.

    Args:
        words: (N,) the words to predict.
        contexts: (N,) codes of what each is predicted from, the shortest context first; none: nothing.
        vocab_size: different words there are.
    """

    def __init__(self, words: np.ndarray, contexts: Sequence[np.ndarray], vocab_size: int):
        self.vocab_size = vocab_size
        self.unigrams = np.bincount(words, minlength=vocab_size)
        self.levels = [self._count(words, codes) for codes in contexts]

    def _count(self, words: np.ndarray, codes: np.ndarray) -> _Level:
        contexts, places = np.unique(codes, return_inverse=True)
        pairs, counts = np.unique(places * self.vocab_size + words, return_counts=True)
        owners = pairs // self.vocab_size
        order = np.lexsort((counts, owners))
        last = np.flatnonzero(
            np.diff(owners, append=len(contexts))
        )  # the end of each context, sorted either way
        best = (pairs[order] % self.vocab_size)[last]
        totals = np.bincount(owners, counts)
        return _Level(contexts, totals, np.bincount(owners), best, pairs, counts)

    def score(self, words: np.ndarray, contexts: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        """Predict words.

        Args:
            words: (N,) the words that occurred.
            contexts: (N,) codes for each level, as for learning.

        Returns:
            (N,) the natural logarithm of the probability of each; (N,) whether it is the most frequent word
            of the longest context that was seen in learning.
        """
        total = self.unigrams.sum()
        probs = (self.unigrams[words] + 1) / (total + self.vocab_size)  # nothing is impossible
        found = self._found(contexts)
        for level, places, known in found:
            pairs, seen = _find(level.pairs, places * self.vocab_size + words)
            counts = np.where(seen & known, level.counts[pairs], 0)
            saved = DISCOUNT * level.kinds[places] * probs
            probs = np.where(known, (np.maximum(counts - DISCOUNT, 0) + saved) / level.totals[places], probs)
        return np.log(probs), self._best(found, len(words)) == words

    def likeliest(self, contexts: Sequence[np.ndarray], count: int) -> np.ndarray:
        """Return the most frequent word of the longest context that was seen in learning, (count,)."""
        return self._best(self._found(contexts), count)

    def _found(self, contexts: Sequence[np.ndarray]) -> list[_Found]:
        return [
            (level, *_find(level.contexts, codes)) for level, codes in zip(self.levels, contexts, strict=True)
        ]

    def _best(self, found: list[_Found], count: int) -> np.ndarray:
        best = np.full(count, self.unigrams.argmax())
        for level, places, known in found:
            best = np.where(known, level.best[places], best)
        return best


def following(tokens: np.ndarray, orders: Sequence[int]) -> tuple[np.ndarray, list[np.ndarray]]:
    """Return the words of a stream except the first, and the context of each.

    Args:
        tokens: (N,) a stream.
        orders: 2 for the word before, 3 for the two before ...

    Returns:
        (N - 1,) words, and a code (N - 1,) of the context for each order.
    """
    stream = tokens.astype(np.int64)
    return stream[1:], [code([_before(stream, back) for back in range(order - 1, 0, -1)]) for order in orders]


def _before(stream: np.ndarray, back: int) -> np.ndarray:
    """The word `back` places before each word but the first; -1 before the beginning."""
    padded = np.concatenate([np.full(back - 1, -1), stream[:-1]])
    return padded[: len(stream) - 1]


def code(parts: Sequence[np.ndarray]) -> np.ndarray:
    """Return one number for each sequence of words."""
    made = np.zeros(len(parts[0]), np.uint64)
    for part in parts:
        made = (made ^ (made >> np.uint64(29))) * _FACTOR + part.astype(np.uint64) + np.uint64(1)
    return made


def _find(sorted_values: np.ndarray, wanted: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Where values stand, and whether they do."""
    places = np.minimum(np.searchsorted(sorted_values, wanted), len(sorted_values) - 1)
    return places, sorted_values[places] == wanted
