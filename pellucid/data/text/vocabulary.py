"""A pretrained tokenizer, with its special tokens moved to the ids that all vocabularies here use.

    theirs  [PAD] 0, [UNK] 100, [CLS] 101, [SEP] 102, [MASK] 103     ->     ours  0, 1, 2, 3, 4

A token with one of these ids is swapped with the special token; a special token that the tokenizer lacks is
added at the end. The embedding of the model must be reordered accordingly: see `Adopted.order`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import tokenizers

from pellucid.config import TextConfig
from pellucid.data.dataset import Column
from pellucid.data.sources.model_files import CONFIG, SENTENCES, TOKENIZER, find, read_json
from pellucid.data.text.text_inputs import BOS, EOS, MASK, PAD, SPECIAL, UNK, TextInputs, TokenizerKind
from pellucid.errors import ModelError

PREPROCESS = "preprocess.json"
"""The file in a run folder that holds its `Preprocess`."""

THEIRS: dict[int, tuple[str, ...]] = {
    PAD: ("[PAD]", "<pad>"),
    UNK: ("[UNK]", "<unk>"),
    BOS: ("[CLS]", "<s>"),
    EOS: ("[SEP]", "</s>", "<|endoftext|>"),
    MASK: ("[MASK]", "<mask>"),
}
"""Names of the five special tokens in pretrained tokenizers."""

KINDS: dict[str, TokenizerKind] = {"WordPiece": "wordpiece", "BPE": "bpe"}


class Adopted(NamedTuple):
    """A renumbered pretrained tokenizer.

    Attributes:
        tokenizer: JSON of the `tokenizers` library.
        kind: how texts are split.
        order: the original id of each token; -1 for a token that was added.
    """

    tokenizer: str
    kind: TokenizerKind
    order: list[int]


def adopt(theirs: Mapping[str, Any]) -> Adopted:
    """Renumber the tokens of a pretrained tokenizer.

    Args:
        theirs: the content of its tokenizer.json.

    Raises:
        ModelError: it uses neither WordPiece nor byte-pair encoding over bytes.
    """
    # Written anew: files of before 2021, such as GPT-2's own, do not state the type of their model.
    theirs = json.loads(tokenizers.Tokenizer.from_str(json.dumps(theirs)).to_str())
    type_ = theirs["model"].get("type")
    byte_pairs = '"ByteLevel"' in json.dumps(theirs.get("pre_tokenizer"))
    if type_ not in KINDS or (type_ == "BPE" and not byte_pairs):
        raise ModelError(
            f"{TOKENIZER} is of the type {type_} over {'bytes' if byte_pairs else 'letters'}; known are "
            "WordPiece, and BPE over bytes.",
            remedy="another model",
        )
    added = theirs.get("added_tokens") or []
    before = {**theirs["model"]["vocab"], **{token["content"]: token["id"] for token in added}}
    specials = {
        slot: next((n for n in names if n in before), SPECIAL[slot]) for slot, names in THEIRS.items()
    }
    after = _renumber(before, specials)
    order = [-1] * (max(after.values()) + 1)
    for token, number in after.items():
        order[number] = before.get(token, -1)
    made = {**theirs, "truncation": None, "padding": None, "post_processor": None}
    made["model"] = {**theirs["model"], "vocab": after}
    made["added_tokens"] = _added(added, specials, after)
    return Adopted(json.dumps(made), KINDS[type_], order)


def _renumber(before: Mapping[str, int], specials: Mapping[int, str]) -> dict[str, int]:
    after = dict(before)
    for token in specials.values():
        after.setdefault(token, max(after.values()) + 1)
    standing = {number: token for token, number in after.items()}
    for slot, token in specials.items():
        freed = after[token]
        other, _ = standing.pop(slot, None), standing.pop(freed, None)
        if other is not None:
            after[other], standing[freed] = freed, other
        after[token], standing[slot] = slot, token
    return after


def _added(
    added: list[dict[str, Any]], specials: Mapping[int, str], after: Mapping[str, int]
) -> list[dict[str, Any]]:
    """Return the added tokens sorted by id, as the library requires."""
    plain = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
    known = {token["content"]: token for token in added}
    for token in specials.values():
        known.setdefault(token, {"content": token, **plain})
    return sorted(
        ({**token, "id": after[name]} for name, token in known.items()), key=lambda each: each["id"]
    )


def text_inputs(folder: Path, column: str, config: TextConfig | None = None) -> tuple[TextInputs, list[int]]:
    """Return the tokenizer of a pretrained model for a column of text.

    Args:
        folder: of the model.
        column: the name of a column of text.
        config: how long texts are truncated; at most what the model can read. None: what it can read.

    Returns:
        The tokenizer, and the order of its tokens; see `Adopted`.

    Raises:
        ModelError: the model has no tokenizer, or one of an unknown type.
    """
    theirs = read_json(folder, TOKENIZER)
    if theirs is None:
        raise ModelError(
            f"{folder} has no {TOKENIZER}: expected the tokenizer that the model was trained with."
        )
    tokenizer, kind, order = adopt(theirs)
    longest, cut = most_tokens(folder), "end"
    if config is not None:
        longest, cut = min(longest, config.max_seq_len), config.truncation
    return TextInputs(column, kind, tokenizer, longest, cut), order


def most_tokens(folder: Path) -> int:
    """Return how many tokens of a text a model reads, without [CLS] and [SEP]."""
    config, sentences = read_json(folder, CONFIG) or {}, read_json(folder, SENTENCES) or {}
    if "n_positions" in config:
        return config["n_positions"]
    positions = config.get("max_position_embeddings", 512)
    return min(sentences.get("max_seq_length") or positions, positions) - 2


def token_inputs(
    column: Column, table: pa.Table, config: TextConfig, also: Column | None = None
) -> TextInputs:
    """Return the tokenizer of a column: that of `config.pretrained`, or one learned from the training rows.

    Args and errors are those of `TextInputs.fit`.
    """
    if config.pretrained is not None:
        return pretrained_inputs(config.pretrained, column.name, config)
    return TextInputs.fit(column, table, config, also)


def pretrained_inputs(name: str, column: str, config: TextConfig) -> TextInputs:
    """Return the tokenizer of a pretrained model, by name, or of a run, by folder, for a column."""
    learned = run_inputs(Path(name))
    if learned is not None:
        return replace(learned, name=column, max_seq_len=config.max_seq_len, truncation=config.truncation)
    return text_inputs(find(name), column, config)[0]


def run_inputs(folder: Path) -> TextInputs | None:
    """Return the tokenizer of a run; None if its model does not read tokens, or there is no run."""
    state = (read_json(folder, PREPROCESS) or {}).get("inputs", {})
    return TextInputs.from_state(state) if state.get("kind") == "text" else None
