"""When translation of one text into another is offered, and the config it suggests."""

from __future__ import annotations

from functools import partial

from pellucid.data.contents import Contents
from pellucid.data.offers import Offer, Proposal, Suggestion
from pellucid.data.suggest import suggestion

TARGETS = (
    *("answer", "response", "reply", "output", "target", "completion", "translation", "summary", "corrected"),
    *("headline", "title", "assistant", "tgt", "a", "en", "english"),
)
"""Usual names of the text to write, the most likely first."""


def _propose(contents: Contents) -> Proposal | None:
    """Propose a pair of columns: the two of texts, or the named target and another."""
    pair = _pair(contents)
    if pair is None:
        return None
    source, target = pair
    only = len(contents.dataset.columns) == 2 and contents.predicts in (None, "translation")
    learns = f"to write {target!r} from {source!r}"
    return Proposal(learns, 0.9 if only else 0.3, partial(_suggest, contents, source, target))


def _pair(contents: Contents) -> tuple[str, str] | None:
    """Return the columns to read and to write; None if no two are texts, or known."""
    texts, asked, dataset = (
        [column.name for column in contents.texts],
        contents.config.target,
        contents.dataset,
    )
    if contents.predicts == "translation" and dataset.target is not None and len(dataset.inputs) == 1:
        return dataset.inputs[0].name, dataset.target
    if contents.fixed or contents.image is not None or contents.documents:
        return None
    if asked is not None:
        wanted = contents.config.inputs or [name for name in contents.column_names if name != asked]
        others = [name for name in texts if name != asked and name in wanted]
        if len(others) == 1 or len(wanted) == 1:
            return (others or list(wanted))[0], asked
        return None
    if len(texts) != 2:
        return None
    usual = {name: TARGETS.index(name.lower()) for name in texts if name.lower() in TARGETS}
    target = min(usual, key=usual.__getitem__, default=texts[1])
    return next(name for name in texts if name != target), target


def _suggest(contents: Contents, source: str, target: str, budget: float | None = None) -> Suggestion:
    text = {"tokenizer": "bpe", "vocab_size": 8000, "max_seq_len": 64, "lowercase": False}
    return suggestion(
        contents,
        "seq2seq",
        f"{target} written from {source}, a Transformer",
        data={
            "inputs": [source],
            "target": target,
            "columns": {**contents.config.columns, source: "text", target: "text"},
            "text": {**contents.config.text.model_dump(), **text},
        },
        model={"name": "seq2seq", "size": "small"},
        objective={"label_smoothing": 0.1},
        optimizer={"name": "adamw", "lr": 1e-3, "weight_decay": 0.01},
        schedule={"name": "one_cycle"},
        train={"epochs": 15, "batch_size": 64, "clip_grad_norm": 1.0},
        reasons=("an encoder and a decoder, on pieces of words that are learned from both columns",),
    )


OFFERS = (
    Offer(("seq2seq", "translate", "translation", "answer", "rewrite"), "two columns of texts", _propose),
)
