"""Gaps in texts, to be filled by a model that learns without labels.

Each class makes (inputs, targets) of windows of tokens, as a pure function of a generator: it stands where
augmentation does, and a batch that is drawn again has the same gaps.

Shapes: B windows, T or W tokens, S tokens of a source.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from pellucid.data.text import ragged
from pellucid.data.text.text_inputs import BOS, EOS, MASK, PAD
from pellucid.data.text.token_rows import IGNORED

SHARE, LENGTH = 0.15, 3.0
"""Of the tokens that are cut out as spans, and of a span on average."""


@dataclass(frozen=True)
class MaskTokens:
    """Hide some tokens, to be told from those around them (BERT, Devlin et al. 2019, section 3.1).

    Of the tokens that are chosen, 80 % become [MASK], 10 % a random token, and 10 % stay, so that the model
    must also doubt what it sees. Special and unknown tokens are never chosen; every row that has others gets
    at least one gap.

    Attributes:
        vocab_size: random tokens are drawn from this many.
        share: of the tokens, 0..1.
    """

    vocab_size: int
    share: float = 0.15

    def __call__(self, inputs: Tensor, targets: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Return inputs with gaps and, as targets, what was there: (B, T) each, -100 elsewhere."""
        drawn = torch.rand(inputs.shape, generator=generator).masked_fill(inputs <= MASK, 2.0)
        chosen = (drawn < self.share) | ((drawn == drawn.min(1, keepdim=True).values) & (drawn < 1))
        what = torch.rand(inputs.shape, generator=generator)
        strange = torch.randint(MASK + 1, max(self.vocab_size, MASK + 2), inputs.shape, generator=generator)
        given = torch.where(chosen & (what < 0.8), MASK, inputs)
        given = torch.where(chosen & (what >= 0.9), strange, given)
        return given, torch.where(chosen, inputs, IGNORED)


@dataclass(frozen=True)
class MaskSpans:
    """Cut spans out of texts, to be written by a model that reads the rest (T5, Raffel et al. 2020, 3.1.4).

    In the source each span leaves a token of its own, `first_gap`, `first_gap + 1` ...; the target is those
    tokens, each followed by its span: BOS [GAP 1] span [GAP 2] span EOS. A text begins with what is kept.

    Attributes:
        first_gap: the token of the first gap.
        gaps: most spans of a text.
        share: of the tokens that are cut out, 0..1.
        length: of a span on average.
    """

    first_gap: int
    gaps: int
    share: float = SHARE
    length: float = LENGTH

    def __call__(self, inputs: Tensor, targets: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Return sources (B, S) and targets (B, T) of windows (B, W), padded with 0."""
        seed = int(torch.randint(2**62, (1,), generator=generator))
        random = np.random.default_rng(seed)
        pairs = [self._cut(row[row != PAD], random) for row in inputs.numpy()]
        sources, answers = zip(*pairs, strict=True)
        return (
            torch.from_numpy(ragged.join(sources).padded()),
            torch.from_numpy(ragged.join(answers).padded()),
        )

    def _cut(self, tokens: np.ndarray, random: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """The source and the target of one text."""
        missing = min(max(1, round(len(tokens) * self.share)), len(tokens) - 1)
        if missing < 1:  # too short to lose anything
            return tokens, np.array([BOS, EOS])
        count = min(max(1, round(missing / self.length)), self.gaps, missing, len(tokens) - missing)
        kept = _parts(len(tokens) - missing + 1, count + 1, random)  # one more: the last may be empty
        lengths = np.stack([kept[:-1], _parts(missing, count, random)], 1).ravel()  # kept, cut, kept ...
        spans = np.split(tokens, np.cumsum(lengths))
        marks = [[self.first_gap + number] for number in range(count)]
        source = [part for span, mark in zip(spans[:-1:2], marks, strict=True) for part in (span, mark)]
        target = [part for span, mark in zip(spans[1::2], marks, strict=True) for part in (mark, span)]
        return np.concatenate([*source, spans[-1]]), np.concatenate([[BOS], *target, [EOS]])


def _parts(total: int, count: int, random: np.random.Generator) -> np.ndarray:
    """Split a number into `count` parts of at least 1, all ways alike: (count,)."""
    cuts = np.sort(random.choice(total - 1, count - 1, replace=False)) + 1
    return np.diff(np.concatenate([[0], cuts, [total]]))
