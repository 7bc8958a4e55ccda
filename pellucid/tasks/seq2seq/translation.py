"""Translations compared with references, and baselines that need no network.

Shapes: N texts, S source tokens, T target tokens.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from pellucid.data.text.ragged import Ragged, join, spans
from pellucid.data.text.text_inputs import BOS, TextInputs
from pellucid.nn import explicit_attention
from pellucid.nn.device import device_of
from pellucid.nn.modes import evaluating

ROUNDS = 5
"""Of the algorithm that finds which words translate which."""
NULL = 0
"""The source of words that have none; it takes the id of padding."""


def scores(
    translations: Sequence[str], references: Sequence[str], lowercase: bool
) -> tuple[dict[str, float], str]:
    """Compare texts with one reference each.

    Args:
        translations: N texts.
        references: N texts.
        lowercase: ignore case, since a model of lowercased texts writes no capitals.

    Returns:
        "bleu" (Papineni et al. 2002) and "chrf" (Popović 2015), 0..100, computed by SacreBLEU (Post 2018),
        which splits texts into words itself, so that scores can be compared; and "exact_match", the share
        of texts that equal their reference, 0..1, any white space counting as one space. And the signature
        of BLEU. Without "bleu" where fewer than a quarter of the references have 4 words: it counts
        sequences of 4.
    """
    from sacrebleu.metrics.bleu import BLEU
    from sacrebleu.metrics.chrf import CHRF

    said, wanted = list(translations), [list(references)]
    bleu, chrf = BLEU(lowercase=lowercase), CHRF(lowercase=lowercase)
    same = [
        _plain(text, lowercase) == _plain(reference, lowercase)
        for text, reference in zip(translations, references, strict=True)
    ]
    found = {"chrf": chrf.corpus_score(said, wanted).score, "exact_match": sum(same) / len(same)}
    score = bleu.corpus_score(said, wanted).score
    long = sum(len(reference.split()) >= bleu.max_ngram_order for reference in references)
    return ({"bleu": score} if long >= len(references) / 4 else {}) | found, str(bleu.get_signature())


def _plain(text: str, lowercase: bool) -> str:
    return " ".join((text.lower() if lowercase else text).split())


def alignment(
    model: Any, source: Sequence[int], target: Sequence[int], inputs: TextInputs, outputs: TextInputs
) -> dict[str, Any] | None:
    """Show which source tokens the last layer looks at for each target token; None if it has no such layer.

    Args:
        model: an encoder-decoder.
        source: tokens.
        target: tokens, without BOS and EOS; of one that was never ended, those the model has room for.
        inputs: what source tokens mean.
        outputs: what target tokens mean.
    """
    device = device_of(model)
    target = target[: getattr(model, "max_target_len", len(target) + 1) - 1]
    with explicit_attention(model) as maps, evaluating(model):
        model(torch.tensor([[*source]], device=device), torch.tensor([[BOS, *target]], device=device))
        seen = [weights for name, weights in maps().items() if "cross_attention" in name]
    if not seen:
        return None
    return {
        "kind": "heatmap",
        "title": "Attention",
        "caption": "Attention of each output word (rows) to each input word (columns), in the last layer, "
        "averaged over its heads.",
        "rows": [*outputs.pieces(target), "(end)"],
        "columns": inputs.pieces(source),
        "values": [[round(value, 4) for value in row] for row in seen[-1][0].mean(0).tolist()],
    }


def dictionary(sources: Ragged, targets: Ragged, vocab_size: int, rounds: int = ROUNDS) -> np.ndarray:
    """Learn the likeliest translation of every source token: IBM Model 1 (Brown et al. 1993).

    Args:
        sources, targets: N rows of tokens each, without BOS and EOS.
        vocab_size: source tokens there are.
        rounds: of expectation and maximization.

    Returns:
        (vocab_size,) target tokens; -1 for tokens that were never seen.
    """
    sizes = sources.lengths + 1  # each source has NULL, too
    words = np.zeros(int(sizes.sum()), np.int64)
    words[np.delete(np.arange(len(words)), np.cumsum(sizes) - sizes)] = sources.ids
    firsts = np.repeat(np.cumsum(sizes) - sizes, targets.lengths)
    reach = np.repeat(sizes, targets.lengths)  # (T,) source words each target word may come from
    left = words[spans(firsts, reach)]
    place = np.repeat(np.arange(len(targets.ids)), reach)
    width = int(targets.ids.max(initial=0)) + 1
    pairs, pair = np.unique(left * width + targets.ids[place], return_inverse=True)
    owners = pairs // width
    probs = np.ones(len(pairs))
    for _ in range(rounds):
        weights = probs[pair]
        weights /= np.bincount(place, weights)[place]
        probs = np.bincount(pair, weights)
        probs /= np.bincount(owners, probs)[owners]
    order = np.lexsort((probs, owners))
    last = np.flatnonzero(np.diff(owners, append=-1))
    best = np.full(vocab_size, -1)
    best[owners[last]] = (pairs[order] % width)[last]
    return best


def word_by_word(sources: Ragged, best: np.ndarray) -> Ragged:
    """Translate by a `dictionary`, in the order of the source."""
    rows = [best[sources.row(number)] for number in range(sources.rows)]
    return join([row[row >= 0] for row in rows], 2**32)
