"""When masked language modeling is offered, and the config it suggests."""

from __future__ import annotations

from functools import partial

from pellucid.data.contents import Contents
from pellucid.data.offers import Offer, Proposal, Suggestion
from pellucid.tasks.shared.text_offers import TEXTS, likelihood, suggest_texts


def _propose(contents: Contents) -> Proposal | None:
    if contents.longest_text is None:
        return None
    learns = "to fill in hidden words from those on both sides"
    return Proposal(learns, likelihood(contents, 0.5, 0.15), partial(_suggest, contents))


def _suggest(contents: Contents, budget: float | None = None) -> Suggestion:
    return suggest_texts(
        contents,
        "masked_language_model",
        "hidden words of texts, a BERT",
        {"name": "bert", "size": "small"},
        {"tokenizer": "words", "vocab_size": 10_000, "max_seq_len": 64},
        "a BERT on words, which reads both sides of a gap",
        minutes=budget,
    )


OFFERS = (Offer(("masked", "fill-mask", "mlm"), TEXTS, _propose),)
