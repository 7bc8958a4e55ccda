"""Spans removed from texts: parsing predictions, and baselines that count."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from torch import Tensor

from pellucid.data.text.masking import SPAN_LENGTH, SPAN_SHARE
from pellucid.data.text.text_inputs import BOS, EOS, TextInputs
from pellucid.tasks.shared import ngram_counts

COUNTING = ("unigram", "bigram", "trigram", "4-gram")
"""What counting is done, by name: the place of each is the number of tokens before a gap that it sees."""
DEPTH = len(COUNTING) - 1


def num_spans(window: int) -> int:
    """Return the number of spans that are removed from a window of tokens."""
    return max(1, round(round(window * SPAN_SHARE) / SPAN_LENGTH))


def parse(tokens: Sequence[int], first_gap: int) -> dict[int, list[int]]:
    """Return the spans of a target, by the number of their gap; tokens before the first gap are dropped."""
    found: dict[int, list[int]] = {}
    now: list[int] = []
    for token in tokens:
        if token >= first_gap:
            now = found.setdefault(token - first_gap, [])
        elif token == EOS:
            break
        elif token not in (0, BOS):
            now.append(token)
    return found


def filled(source: Sequence[int], found: dict[int, list[int]], first_gap: int) -> list[int]:
    """Return the tokens of a source with every gap replaced by its span, or by nothing if it has none."""
    made: list[int] = []
    for token in source:
        made += found.get(token - first_gap, []) if token >= first_gap else [token]
    return made


def counted(batches: Any, first_gap: int, most: int) -> tuple[np.ndarray, list[np.ndarray]]:
    """Return the tokens of targets, and codes of the tokens before each in the text, for counting.

    All gaps are one word, since which comes next is known; the first token of a span follows the last token
    before its gap.

    Args:
        batches: of sources and targets.
        first_gap: the token of the first gap.
        most: texts to look at.
    """
    words: list[int] = []
    before: list[list[int]] = []
    seen = 0
    for sources, targets in batches:
        for source, target in zip(sources, targets, strict=True):
            one, other = _row(source, target, first_gap)
            words += one
            before += other
            seen += 1
        if seen >= most:
            break
    return np.array(words), _contexts(before)


def _row(source: Tensor, target: Tensor, first_gap: int) -> tuple[list[int], list[list[int]]]:
    tokens = source.tolist()
    left = {token: tokens[:place] for place, token in enumerate(tokens) if token >= first_gap}
    words, before, last = [], [], [BOS]
    for token in target.tolist()[1:]:
        if token == 0:
            break
        words.append(min(token, first_gap))
        before.append(last[-DEPTH:])
        last = left[token] if token in left else [*last[-DEPTH:], token]
    return words, before


def _contexts(before: Sequence[list[int]]) -> list[np.ndarray]:
    """Codes (N,) of the last token before each of N places, of the last two, and so on."""
    columns = np.array([[-1] * (DEPTH - len(row)) + row for row in before]).reshape(-1, DEPTH).T
    return [ngram_counts.code(list(columns[-depth:])) for depth in range(1, DEPTH + 1)]


def filled_by_counting(
    words: np.ndarray, contexts: Sequence[np.ndarray], sources: Sequence[list[int]], first_gap: int
) -> list[list[int]]:
    """Write into each gap the one word that is likeliest after the words before it.

    Args:
        words: those to learn from, and
        contexts: codes of the tokens before each, as `counted` returns them.
        sources: texts with gaps.
        first_gap: the token of the first gap.
    """
    inside = words < first_gap
    model = ngram_counts.NGrams(words[inside], [codes[inside] for codes in contexts], first_gap)
    answers = []
    for source in sources:
        gaps = [place for place, token in enumerate(source) if token >= first_gap]
        seen = _contexts([source[max(0, place - DEPTH) : place] for place in gaps])
        said = model.likeliest(seen[: len(contexts)], len(gaps)).tolist()
        answers.append(
            [token for place, word in zip(gaps, said, strict=True) for token in (source[place], word)]
        )
    return answers


def exact_fill(
    said: Sequence[Sequence[int]], wanted: Sequence[Sequence[int]], first_gap: int
) -> tuple[float, int]:
    """Return the share of gaps that were filled with exactly the original tokens, and the number of gaps."""
    right = total = 0
    for answer, truth in zip(said, wanted, strict=True):
        found, gaps = parse(answer, first_gap), parse(truth, first_gap)
        right += sum(found.get(gap) == span for gap, span in gaps.items())
        total += len(gaps)
    return right / max(total, 1), total


def examples(
    inputs: TextInputs,
    sources: Sequence[list[int]],
    written: Sequence[list[int]],
    wanted: Sequence[list[int]],
) -> dict[str, Any]:
    """Return a block of texts with the predicted and the original spans."""
    rows = [
        {
            "label": inputs.decode(source),
            "text": inputs.decode(answer),
            "note": f"was: {inputs.decode(truth)}",
        }
        for source, answer, truth in zip(sources, written, wanted, strict=True)
    ]
    return {
        "kind": "texts",
        "title": "Restored spans",
        "caption": "Texts with gaps, the predicted span for each gap, and the true one.",
        "rows": rows,
    }
