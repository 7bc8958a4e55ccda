"""When span denoising is offered, and the config it suggests."""

from __future__ import annotations

from functools import partial

from pellucid.data.contents import Contents
from pellucid.data.offers import Offer, Proposal, Suggestion
from pellucid.tasks.shared.text_offers import TEXTS, likelihood, suggest_texts


def _propose(contents: Contents) -> Proposal | None:
    if contents.longest_text is None:
        return None
    learns = "to write the missing parts of a text, several words each"
    return Proposal(learns, likelihood(contents, 0.35, 0.1), partial(_suggest, contents))


def _suggest(contents: Contents, budget: float | None = None) -> Suggestion:
    return suggest_texts(
        contents,
        "span_denoising",
        "missing spans of texts, a T5",
        {"name": "seq2seq", "size": "small", "options": {"share_embeddings": True}},
        {"tokenizer": "words", "vocab_size": 10_000, "max_seq_len": 64},
        "an encoder-decoder, which writes as many words as are missing",
        minutes=budget,
    )


OFFERS = (Offer(("spans", "fill-spans"), TEXTS, _propose),)
