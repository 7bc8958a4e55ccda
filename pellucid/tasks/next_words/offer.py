"""When word vectors are offered, and the config it suggests."""

from __future__ import annotations

from functools import partial

from pellucid.data.contents import Contents
from pellucid.data.offers import Offer, Proposal, Suggestion
from pellucid.tasks.shared.text_offers import TEXTS, likelihood, suggest_texts


def _propose(contents: Contents) -> Proposal | None:
    if contents.longest_text is None:
        return None
    learns = "vectors of words and phrases, from which words follow them soon"
    return Proposal(learns, likelihood(contents, 0.4, 0.12), partial(_suggest, contents))


def _suggest(contents: Contents, budget: float | None = None) -> Suggestion:
    return suggest_texts(
        contents,
        "next_words",
        "word vectors, from the words that follow soon",
        {"name": "phrase_lm"},
        {"tokenizer": "words", "vocab_size": 30_000, "lowercase": True},
        "phrases of five words, which say which words follow (Johnson and Zhang 2015)",
        optimizer={"name": "adamw", "lr": 5e-3},
        train={"epochs": 3, "batch_size": 32},
    )


OFFERS = (Offer(("next-words", "word-vectors", "embed"), TEXTS, _propose),)
