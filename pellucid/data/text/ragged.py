"""Rows of different lengths, concatenated in one array: how tokens are stored before batching."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np

Cut = Literal["end", "start", "middle"]
"""Which part of a row that is too long is left out."""


class Ragged(NamedTuple):
    """N rows of tokens.

    Attributes:
        ids: (total,) all tokens, row after row, in the smallest unsigned type that holds them.
        offsets: (N + 1,) int64; row i is `ids[offsets[i] : offsets[i + 1]]`.
    """

    ids: np.ndarray
    offsets: np.ndarray

    @property
    def rows(self) -> int:
        """Number of rows."""
        return len(self.offsets) - 1

    @property
    def lengths(self) -> np.ndarray:
        """(N,) tokens in each row."""
        return np.diff(self.offsets)

    def row(self, number: int) -> np.ndarray:
        """Return one row, (T,), as a view."""
        return self.ids[self.offsets[number] : self.offsets[number + 1]]

    def padded(self, chosen: np.ndarray | None = None) -> np.ndarray:
        """Stack rows, padded with 0 at the end.

        Args:
            chosen: (B,) row numbers; None: all rows in order.

        Returns:
            (B, T) int64, T the length of the longest chosen row.
        """
        chosen = np.arange(self.rows) if chosen is None else chosen
        lengths = self.lengths[chosen]
        places = np.arange(lengths.max(initial=0))[None, :]  # (1, T)
        inside = places < lengths[:, None]  # (B, T)
        made = np.zeros(inside.shape, np.int64)
        made[inside] = self.ids[(self.offsets[chosen][:, None] + places)[inside]]
        return made

    def head(self, count: int) -> Ragged:
        """Return the first `count` rows."""
        return Ragged(self.ids[: self.offsets[count]], self.offsets[: count + 1])

    def cut(self, limit: int, which: Cut = "end") -> Ragged:
        """Keep at most `limit` tokens of every row; `which` part of a longer row is left out."""
        lengths = np.minimum(self.lengths, limit)
        before = {"end": lengths, "start": np.zeros_like(lengths), "middle": (lengths + 1) // 2}[which]
        firsts = np.stack([self.offsets[:-1], self.offsets[1:] - (lengths - before)], axis=1)
        counts = np.stack([before, lengths - before], axis=1)
        return Ragged(self.ids[spans(firsts.ravel(), counts.ravel())], ends(lengths))

    def filled(self, value: int) -> Ragged:
        """Put one token into empty rows, so that no row is empty."""
        lengths = np.maximum(self.lengths, 1)
        ids, empty = np.full(int(lengths.sum()), value, self.ids.dtype), self.lengths == 0
        ids[np.repeat(~empty, lengths)] = self.ids
        return Ragged(ids, ends(lengths))

    def framed(self, first: int, last: int) -> Ragged:
        """Add one token before and one after every row."""
        lengths = self.lengths + 2
        offsets = ends(lengths)
        ids = np.empty(int(offsets[-1]), self.ids.dtype)
        edge = np.zeros(len(ids), bool)
        edge[offsets[:-1]] = edge[offsets[1:] - 1] = True
        ids[~edge], ids[offsets[:-1]], ids[offsets[1:] - 1] = self.ids, first, last
        return Ragged(ids, offsets)


def spans(firsts: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """Return the indices `firsts[i] ... firsts[i] + lengths[i] - 1` of every i, concatenated."""
    starts = ends(lengths)
    return np.arange(starts[-1]) + np.repeat(firsts - starts[:-1], lengths)


def ends(lengths: np.ndarray) -> np.ndarray:
    """Return the offsets of rows with these lengths: (N + 1,) int64."""
    return np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)])


def join(rows: Sequence[np.ndarray | list[int]], vocab_size: int = 2**32) -> Ragged:
    """Make rows of separate arrays or lists of tokens, all below `vocab_size`."""
    lengths = np.fromiter((len(row) for row in rows), np.int64, len(rows))
    kind = smallest(vocab_size)
    ids = np.concatenate([np.asarray(row, kind) for row in rows]) if len(rows) else np.zeros(0, kind)
    return Ragged(ids, ends(lengths))


def smallest(vocab_size: int) -> type[np.unsignedinteger]:
    """Return the smallest unsigned integer type that holds every id of a vocabulary."""
    return np.uint8 if vocab_size <= 2**8 else np.uint16 if vocab_size <= 2**16 else np.uint32
