"""When translation of one text into another is offered, and the config it suggests."""

from __future__ import annotations

from functools import partial

import pyarrow as pa

from pellucid.data.compute import pc
from pellucid.data.contents import Contents
from pellucid.data.kinds.kind import FEW
from pellucid.data.offers import Offer, Proposal, Suggestion
from pellucid.data.suggest import suggestion
from pellucid.tasks.shared.text_offers import plan_texts

TARGETS = (
    *("answer", "response", "reply", "output", "target", "completion", "translation", "summary", "corrected"),
    *("correct", "correction", "headline", "title", "assistant", "tgt", "a", "en", "english"),
)
"""Usual names of the text to write, the most likely first."""
SHORT = 20
"""Characters of a mean text below which a model reads and writes characters: words, numbers, dates."""
DATE = 10
"""Characters of a cell that was read as a date or a number, about."""
NUMBER = r"^\s*[-+]?[\d.,]+\s*$"
PIECES = "pieces of words that are learned from both columns"


def _propose(contents: Contents) -> Proposal | None:
    """Propose a pair of columns: the two of texts, or the named target and another."""
    pair = _pair(contents)
    if pair is None:
        return None
    source, target = pair
    only = len(contents.dataset.columns) == 2 and contents.predicts in (None, "translation")
    learns = f"to write {target!r} from {source!r}"
    likelihood = 0.9 if only and not _has_amounts(contents) else 0.3
    if len(contents.column_names) == 2 and contents.predicts == "classification" and _is_usual(target):
        likelihood = 0.95  # answers that occur several times are still answers
    return Proposal(learns, likelihood, partial(_suggest, contents, source, target))


def _has_amounts(contents: Contents) -> bool:
    """Whether a column of texts holds only numbers, which may as well be an amount."""
    tables = (contents.table[column.name] for column in contents.texts)
    return any(pc.all(pc.match_substring_regex(texts, NUMBER)).as_py() for texts in tables)


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
    texts = texts if len(texts) == 2 else _two_of_words(contents)
    if len(texts) != 2:
        return None
    usual = [name for name in texts if _is_usual(name)]
    target = min(usual, key=lambda name: TARGETS.index(_plain(name)), default=texts[1])
    return next(name for name in texts if name != target), target


def _two_of_words(contents: Contents) -> list[str]:
    """Return a column of texts and one of short texts, if there are no others and none has few values."""
    columns = contents.dataset.columns
    if len(columns) != 2 or {column.kind for column in columns} != {"text", "category"}:
        return []
    few = any(pc.count_distinct(contents.table[column.name]).as_py() <= FEW for column in columns)
    return [] if few else [column.name for column in columns]


def _plain(name: str) -> str:
    return name.lower().rpartition(".")[2]


def _is_usual(name: str) -> bool:
    """Whether a column has a usual name of the text to write."""
    return _plain(name) in TARGETS


def _suggest(contents: Contents, source: str, target: str, budget: float | None = None) -> Suggestion:
    characters, width = _characters(contents, source, target)
    plan = plan_texts(characters, contents.rows, budget)
    short = width < SHORT
    pieces = {"tokenizer": "bpe", "vocab_size": min(max(characters // 250, 500), 8000)}
    text = {**({"tokenizer": "characters"} if short else pieces), "max_seq_len": 64, "lowercase": False}
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
        model={"name": "seq2seq", "size": plan.size, "options": {"dropout": plan.dropout}},
        objective={"label_smoothing": 0.1},
        reasons=(
            f"an encoder and a decoder, on {'characters, since the texts are short' if short else PIECES}",
            plan.reason,
        ),
        for_size=plan.for_size,
        **plan.sections,
    )


def _characters(contents: Contents, source: str, target: str) -> tuple[int, float]:
    """Return the characters of both columns, and those of the mean text."""
    total = 0
    for column in (contents.table[source], contents.table[target]):
        words = pa.types.is_string(column.type) or pa.types.is_large_string(column.type)
        total += int(pc.sum(pc.utf8_length(column)).as_py() or 0) if words else DATE * len(column)
    return total, total / max(2 * len(contents.table), 1)


OFFERS = (
    Offer(("seq2seq", "translate", "translation", "answer", "rewrite"), "two columns of texts", _propose),
)
