"""When tagging is offered, and the config it suggests."""

from __future__ import annotations

import os
from dataclasses import replace
from functools import partial
from itertools import combinations, starmap
from pathlib import Path

import numpy as np

from pellucid.data.compute import pc
from pellucid.data.contents import Contents
from pellucid.data.dataset import Column, Dataset
from pellucid.data.offers import Offer, Proposal, Suggestion
from pellucid.data.sources import conll, jsonlines, tagged
from pellucid.data.sources.open_source import open_source
from pellucid.data.suggest import epochs_reason, suggestion
from pellucid.errors import PellucidError, UntaggedError
from pellucid.tasks.tagging.spans import are_spans

LOOKED_AT = 200
"""Rows of texts that are compared before the whole file is read in this way."""
MOST_TAGS = 200
LONGEST = 1024
"""Tokens that the suggested network reads at once; longer rows are read in pieces."""
STEPS = 1500


def _propose(contents: Contents) -> Proposal | None:
    """Propose to learn a tag for every token where two columns have as many of them."""
    found = _tagged(contents)
    if found is None or found.target is None:
        return None
    table, tags = found.splits["train"], found.classes
    per_row = pc.mean(pc.list_value_length(table[found.target])).as_py()
    if per_row < 2 or len(tags) > MOST_TAGS:
        return None
    shown = ", ".join(tags[:4]) + (" ..." if len(tags) > 4 else "")
    learns = f"a tag for every token of {found.inputs[0].name!r} ({shown})"
    return Proposal(learns, _likelihood(contents, found), partial(_suggest, contents, found))


def _likelihood(contents: Contents, found: Dataset) -> float:
    """Return how likely tags are what is wanted: two texts may have as many words by chance."""
    if contents.config.target not in (None, found.target):
        return 0.3
    named = str(found.target).lower() in tagged.TAG_NAMES and found.target != "label"
    lists = contents.dataset.task == "tagging" or contents.documents or _is_conll(contents)
    return 0.95 if lists or named or are_spans(found.classes) else 0.85


def _tagged(contents: Contents) -> Dataset | None:
    """Read data as tokens and tags, if it looks as if it were; None if it is not."""
    found = _opened(contents)
    return found if isinstance(found, Dataset) else None


def _why_not(contents: Contents) -> PellucidError | None:
    """Return which row or line has no tag, in data that has tags otherwise."""
    found = _opened(contents)
    return found if isinstance(found, UntaggedError) else None


def _opened(contents: Contents) -> Dataset | PellucidError | None:
    """Return data as tokens and tags, or why it cannot be read so; None where it does not look like that."""
    if contents.dataset.task == "tagging":
        return contents.dataset
    if contents.fixed or contents.image is not None or not _may_be_tagged(contents):
        return None
    try:
        return open_source(contents.config, form="tagged")
    except PellucidError as error:
        return error


def _is_conll(contents: Contents) -> bool:
    path = Path(os.path.expanduser(contents.config.source))
    if path.is_file():
        return conll.is_conll(path)
    return contents.documents and path.is_dir() and conll.holds_conll(path)


def _marks_spans(contents: Contents) -> bool:
    path = Path(os.path.expanduser(contents.config.source))
    return path.is_file() and jsonlines.marks_spans(path, contents.config.encoding)


def _may_be_tagged(contents: Contents) -> bool:
    in_lines = _is_conll(contents)
    if contents.documents or in_lines:
        return in_lines or _marks_spans(contents)
    known = {column.name for column in contents.dataset.columns}
    if any(name not in known for name in contents.column_names) and len(known) <= 1:
        return True  # lists of words are no column of any other task
    texts = [rows for column in contents.dataset.columns if (rows := _texts(contents, column)) is not None]
    numbered = any(tagged.numbers_sentences(name) for name in contents.column_names)
    return numbered or any(starmap(_same_lengths, combinations(texts, 2)))


def _texts(contents: Contents, column: Column) -> list[str] | None:
    """Return the first rows of a column of texts, or of classes; None for one of another kind."""
    if column.kind not in ("text", "category"):
        return None
    rows = contents.table[column.name].slice(0, LOOKED_AT).to_pylist()
    names = [column.categories[row] if isinstance(row, int) else row for row in rows]
    return [name or "" for name in names]


def _same_lengths(first: list[str], second: list[str]) -> bool:
    """Whether two columns of texts have the same number of words, more than one, or of letters."""
    rows = list(zip(first, second, strict=True))
    words = np.array([(len(a.split()), len(b.split())) for a, b in rows])
    letters = np.array([(len(a), len(b)) for a, b in rows])
    lists = all(a.lstrip().startswith("[") and b.lstrip().startswith("[") for a, b in rows)
    same_words = bool((words[:, 0] == words[:, 1]).all() and words.mean() > 1.5)
    same_letters = bool((letters[:, 0] == letters[:, 1]).all() and letters.std() > 0 and letters.mean() > 5)
    return lists or same_words or same_letters


def _suggest(contents: Contents, found: Dataset, budget: float | None = None) -> Suggestion:
    lengths = pc.list_value_length(found.splits["train"][str(found.target)]).to_numpy()
    tokens, longest = int(lengths.sum()), int(lengths.max())
    batch = 8 if longest > 100 else 32
    rows, named = replace(contents, dataset=found).rows, contents.column_names and not _is_conll(contents)
    epochs = int(np.clip(STEPS * batch // rows, 5, 40))
    size = "tiny" if tokens < 10_000 else "small"
    text = {"max_seq_len": int(min(LONGEST, max(longest, 8))), "lowercase": False}
    return suggestion(
        contents,
        "tagging",
        f"a tag for every token of {found.inputs[0].name}, a bidirectional LSTM",
        data={
            "inputs": [found.inputs[0].name] if named else None,
            "target": found.target if named else None,
            "text": {**contents.config.text.model_dump(), **text},
        },
        model={"name": "lstm", "size": size, "options": {"dropout": 0.3}},
        optimizer={"name": "adamw", "lr": 3e-3, "weight_decay": 0.01},
        schedule={"name": "one_cycle"},
        train={"epochs": epochs, "batch_size": batch, "clip_grad_norm": 1.0},
        reasons=(
            f"an LSTM in both directions for {tokens:,} tokens: a tag depends on the tokens on both sides",
            epochs_reason(rows, batch, epochs),
        ),
    )


OFFERS = (
    Offer(
        ("tag", "tags", "ner", "pos", "token-classification", "sequence-labelling"),
        "lists of tokens and of tags in two columns, or a token and its tag on every line",
        _propose,
        _why_not,
    ),
)
