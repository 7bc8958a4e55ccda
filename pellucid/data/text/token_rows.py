"""Rows of tokens: texts batched with others of similar length, or windows of one long stream.

Both decide which rows make a batch (`plan`), as a pure function of a generator, and pad only to the
longest row of a batch.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from pellucid.data.text.ragged import Ragged

IGNORED = -100
"""A target that losses ignore."""

POOL = 50
"""Batches whose rows are sorted by length together: enough to pad little, few enough to stay random."""


class RaggedRows:
    """Texts of different lengths, each with its target.

    Args:
        inputs: N rows of tokens.
        targets: (N, ...), or N rows of tokens.
    """

    def __init__(self, inputs: Ragged, targets: Tensor | Ragged):
        self.inputs, self.targets = inputs, targets

    def __len__(self) -> int:
        return self.inputs.rows

    def batches(self, indices: list[Tensor]) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield inputs (B, T) int64, padded with 0, and the targets of those rows for each batch."""
        for chosen in indices:
            rows = chosen.numpy()
            inputs = torch.from_numpy(self.inputs.padded(rows))
            if isinstance(self.targets, Ragged):
                yield inputs, torch.from_numpy(self.targets.padded(rows))
            else:
                yield inputs, self.targets.index_select(0, chosen)

    def plan(
        self, batch_size: int, generator: torch.Generator | None, limit: int | None = None
    ) -> list[Tensor]:
        """Group rows of similar length into batches.

        Args:
            batch_size: rows in a batch; one has fewer if the rows do not divide evenly.
            generator: draws the order; None: all rows sorted by length, always the same.
            limit: use this many rows, drawn at random.
        """
        if generator is None:
            return _sorted(self._lengths(), torch.arange(len(self))[:limit], batch_size)
        order = torch.randperm(len(self), generator=generator)[:limit]
        lengths = self._lengths()
        made = [
            part for pool in order.split(batch_size * POOL) for part in _sorted(lengths, pool, batch_size)
        ]
        return [made[number] for number in torch.randperm(len(made), generator=generator).tolist()]

    def _lengths(self) -> np.ndarray:
        """Return the length of each row (N,): that of the longer one if targets are tokens too."""
        if isinstance(self.targets, Ragged):
            return np.maximum(self.inputs.lengths, self.targets.lengths)
        return self.inputs.lengths


def _sorted(lengths: np.ndarray, rows: Tensor, batch_size: int) -> list[Tensor]:
    order = np.argsort(lengths[rows.numpy()], kind="stable")
    return list(rows[torch.from_numpy(order)].split(batch_size))


class StreamRows:
    """Windows of one stream of tokens: each token is predicted from the previous ones.

    A row is a window; its number is the position of its first token.

    Args:
        tokens: (N,) of any integer type.
        window: tokens in a row.
    """

    def __init__(self, tokens: np.ndarray, window: int):
        self.tokens, self.window = tokens, window

    def __len__(self) -> int:
        """Return windows that hold every token but the first as a target once."""
        return max(1, -(-(len(self.tokens) - 1) // self.window))

    def batches(self, indices: list[Tensor]) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield inputs (B, T) and the tokens that follow them, (B, T); -100 beyond the end of the stream."""
        steps = np.arange(self.window + 1)
        for chosen in indices:
            places = chosen.numpy()[:, None] + steps  # (B, T + 1)
            inside = places < len(self.tokens)
            found = self.tokens[np.minimum(places, len(self.tokens) - 1)].astype(np.int64)
            yield (
                torch.from_numpy(np.where(inside, found, 0)[:, :-1].copy()),
                torch.from_numpy(np.where(inside, found, IGNORED)[:, 1:].copy()),
            )

    def plan(
        self, batch_size: int, generator: torch.Generator | None, limit: int | None = None
    ) -> list[Tensor]:
        """Cut the stream into windows.

        Args:
            batch_size: windows in a batch.
            generator: draws the start of the first window and the order of all, so that every epoch cuts the
                stream elsewhere; None: in order, from the first token to the last.
            limit: use only this many windows: random ones with a generator, otherwise the first.
        """
        if generator is None:
            return list((torch.arange(len(self)) * self.window)[:limit].split(batch_size))
        whole = max(1, (len(self.tokens) - self.window) // self.window)
        slack = max(0, len(self.tokens) - 1 - whole * self.window)
        phase = int(torch.randint(slack + 1, (1,), generator=generator))
        order = torch.randperm(whole, generator=generator)[:limit]
        return list((phase + order * self.window).split(batch_size))


def stream(documents: Ragged, end: int) -> np.ndarray:
    """Concatenate documents, with the token `end` after each; a single one has none."""
    if documents.rows == 1:
        return documents.ids
    kept = documents.lengths[documents.lengths > 0]
    made = np.full(int(kept.sum()) + len(kept), end, documents.ids.dtype)
    text = np.ones(len(made), bool)
    text[np.cumsum(kept + 1) - 1] = False
    made[text] = documents.ids
    return made
