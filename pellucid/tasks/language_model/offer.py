"""When language modeling is offered, and the config it suggests."""

from __future__ import annotations

from functools import partial

from pellucid.data.contents import Contents
from pellucid.data.offers import Offer, Proposal, Suggestion
from pellucid.tasks.shared.text_offers import TEXTS, likelihood, suggest_texts

CONTEXT = 128
"""Characters that a suggested model reads at once."""


def _propose(contents: Contents) -> Proposal | None:
    if contents.longest_text is None:
        return None
    learns = "to write on: the next character of the text from those before it"
    return Proposal(learns, likelihood(contents, 0.8, 0.25), partial(_suggest, contents))


def _suggest(contents: Contents, budget: float | None = None) -> Suggestion:
    return suggest_texts(
        contents,
        "language_model",
        "one text column, continued character by character",
        {"name": "gpt", "size": "small"},
        {"tokenizer": "characters", "max_seq_len": CONTEXT},
        "a GPT on characters, which needs no vocabulary",
        minutes=budget,
    )


OFFERS = (Offer(("language-model", "write", "continue", "lm", "generate", "next-token"), TEXTS, _propose),)
