"""Masking of tokens and spans, for models that learn from text without labels.

Each class makes (inputs, targets) from windows of tokens, as a pure function of a generator. It is applied
like augmentation, and a repeated batch is masked in the same way.

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

SPAN_SHARE = 0.15  # of the tokens are removed as spans
SPAN_LENGTH = 3.0  # tokens of a span, on average


@dataclass(frozen=True)
class MaskTokens:
    """Mask some tokens, which are predicted from the others (BERT, Devlin et al. 2019, section 3.1).

    Of the chosen tokens, 80 % become [MASK], 10 % a random token, and 10 % stay, so that the model cannot
    trust the tokens it sees. Special and unknown tokens are never chosen; every row with other tokens has at
    least one chosen token.

    Attributes:
        vocab_size: number of tokens that random ones are drawn from.
        share: of the tokens that are chosen, in (0, 1).
    """

    vocab_size: int
    share: float = 0.15

    def __call__(self, inputs: Tensor, targets: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Return masked inputs and the original tokens as targets: (B, T) each, -100 where not masked."""
        drawn = torch.rand(inputs.shape, generator=generator).masked_fill(inputs <= MASK, 2.0)
        chosen = (drawn < self.share) | ((drawn == drawn.min(1, keepdim=True).values) & (drawn < 1))
        what = torch.rand(inputs.shape, generator=generator)
        strange = torch.randint(MASK + 1, max(self.vocab_size, MASK + 2), inputs.shape, generator=generator)
        given = torch.where(chosen & (what < 0.8), MASK, inputs)
        given = torch.where(chosen & (what >= 0.9), strange, given)
        return given, torch.where(chosen, inputs, IGNORED)


@dataclass(frozen=True)
class MaskSpans:
    """Remove spans from texts, which a model that reads the rest generates (T5, Raffel et al. 2020, 3.1.4).

    In the source each span is replaced by its own token, `first_gap`, `first_gap + 1` ...; the target is
    those tokens, each followed by its span: BOS [GAP 1] span [GAP 2] span EOS. No text begins with a span.

    Attributes:
        first_gap: the token of the first gap.
        gaps: maximum number of spans in a text.
        share: of the tokens that are removed, in (0, 1).
        length: mean length of a span, in tokens.
    """

    first_gap: int
    gaps: int
    share: float = SPAN_SHARE
    length: float = SPAN_LENGTH

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
        """Return the source and the target of one text."""
        missing = min(max(1, round(len(tokens) * self.share)), len(tokens) - 1)
        if missing < 1:  # too short to remove anything
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
    """Split a number into `count` parts of at least 1, with uniform probability: (count,)."""
    cuts = np.sort(random.choice(total - 1, count - 1, replace=False)) + 1
    return np.diff(np.concatenate([[0], cuts, [total]]))
