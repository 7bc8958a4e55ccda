"""A pretrained tokenizer, whose special tokens get the ids that all vocabularies here use.

    theirs  [PAD] 0, [UNK] 100, [CLS] 101, [SEP] 102, [MASK] 103     ->     ours  0, 1, 2, 3, 4

The tokenizer itself stays as it is published: `TextInputs.special_ids` exchanges ids after a text is split. A
special token that the tokenizer lacks is added at the end. A model must translate them: see `Adopted.order`.
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
from pellucid.data.text.text_inputs import (
    BOS,
    EOS,
    MASK,
    PAD,
    SPECIAL,
    UNK,
    TextInputs,
    TokenizerKind,
    exchanged,
)
from pellucid.errors import MissingExtraError, ModelError

PREPROCESS = "preprocess.json"
"""The file in a run folder that holds its `Preprocess`."""

TOKENIZER_CONFIG = "tokenizer_config.json"
SPECIAL_TOKENS = "special_tokens_map.json"

THEIRS: dict[int, tuple[str, ...]] = {
    EOS: ("[SEP]", "</s>", "<|endoftext|>", "<sep>", "<eos>"),
    PAD: ("[PAD]", "<pad>"),
    UNK: ("[UNK]", "<unk>"),
    BOS: ("[CLS]", "<s>", "<cls>", "<|startoftext|>"),
    MASK: ("[MASK]", "<mask>"),
}
"""Usual names of the five special tokens, where the files of a tokenizer do not state them. A token that
stands for several is that of the first."""

ROLES = {
    EOS: ("sep_token", "eos_token"),
    PAD: ("pad_token",),
    UNK: ("unk_token",),
    BOS: ("cls_token", "bos_token"),
    MASK: ("mask_token",),
}
"""The keys of tokenizer_config.json that state them."""

KINDS: dict[str, TokenizerKind] = {
    "WordPiece": "wordpiece",
    "BPE": "bpe",
    "Unigram": "unigram",
    "WordLevel": "words",
}
MODEL_LENGTHS = ("max_position_embeddings", "n_positions", "max_seq_len", "n_ctx")
"""Keys of a config.json that state the number of positions."""
OFFSET = (
    "roberta",
    "xlm-roberta",
    "xlm-roberta-xl",
    "camembert",
    "longformer",
    "mpnet",
    "data2vec-text",
    "ibert",
    "esm",
    "xmod",
    "roberta-prelayernorm",
)
"""Model types whose positions are counted from the id of the padding token plus one."""
UNLIMITED = 1_000_000
"""Tokenizers state lengths above this where there is no limit."""


class Adopted(NamedTuple):
    """A pretrained tokenizer with our special tokens.

    Attributes:
        tokenizer: JSON of the `tokenizers` library, in which all five special tokens exist.
        kind: how texts are split.
        order: the original id of each of our tokens; -1 for a token that was added.
        special_ids: the ids of the special tokens in `tokenizer`.
        prefix: original ids of the tokens that are put before a text.
        suffix: likewise after it.
        pad_id: the original id that fills up shorter texts.
        unk_id: the original id that stands for added tokens.
    """

    tokenizer: str
    kind: TokenizerKind
    order: list[int]
    special_ids: tuple[int, ...]
    prefix: tuple[int, ...] = ()
    suffix: tuple[int, ...] = ()
    pad_id: int = 0
    unk_id: int = 0


def adopt(theirs: Mapping[str, Any], stated: Mapping[str, str] | None = None) -> Adopted:
    """Give a pretrained tokenizer our special tokens.

    Args:
        theirs: the content of its tokenizer.json.
        stated: names of special tokens by their keys, such as "pad_token"; None: the usual names.

    Raises:
        ModelError: it is damaged, or of an unknown type.
    """
    try:
        made = tokenizers.Tokenizer.from_str(json.dumps(theirs))
    except Exception as error:  # the library raises plain exceptions
        raise ModelError(f"{TOKENIZER} cannot be read: {error}.", remedy="download it again") from None
    made.no_padding()
    made.no_truncation()
    type_ = json.loads(made.to_str())["model"].get("type")
    if type_ not in KINDS:
        raise ModelError(
            f"{TOKENIZER} is of the type {type_}; known are {', '.join(KINDS)}.", remedy="another model"
        )
    before = made.get_vocab()
    names = _special_names(before, stated or {})
    count = max(before.values()) + 1
    added = [name for name in names.values() if name not in before]
    made.add_special_tokens([tokenizers.AddedToken(name, special=True, normalized=False) for name in added])
    known = made.get_vocab()
    specials = tuple(known[names[slot]] for slot in range(len(SPECIAL)))
    order = exchanged(max(count, *(each + 1 for each in specials)), specials)
    prefix, suffix = _frame(made)
    ids = {key: before[name] for key, name in (stated or {}).items() if name in before}
    end = before.get(names[EOS], 0)
    return Adopted(
        made.to_str(),
        KINDS[type_],
        [int(each) if each < count else -1 for each in order],
        specials,
        prefix,
        suffix,
        pad_id=ids.get("pad_token", before.get(names[PAD], end)),
        unk_id=ids.get("unk_token", before.get(names[UNK], end)),
    )


def _special_names(vocabulary: Mapping[str, int], stated: Mapping[str, str]) -> dict[int, str]:
    """Return the name of each special token: one of the tokenizer's own, or ours where it has none."""
    names: dict[int, str] = {}
    for slot, usual in THEIRS.items():
        known = [stated[role] for role in ROLES[slot] if role in stated]
        free = (name for name in (*known, *usual) if name in vocabulary and name not in names.values())
        names[slot] = next(free, SPECIAL[slot])
    return names


def _frame(made: tokenizers.Tokenizer) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return the ids that a tokenizer puts before and after a text."""
    whole, plain = (made.encode("a", add_special_tokens=framed).ids for framed in (True, False))
    for start in range(len(whole) - len(plain) + 1):
        if whole[start : start + len(plain)] == plain:
            return tuple(whole[:start]), tuple(whole[start + len(plain) :])
    return (), ()


def read_adopted(folder: Path) -> Adopted:
    """Read the tokenizer of a pretrained model.

    Raises:
        ModelError: the model has none, or one of an unknown type.
        MissingExtraError: it has only files that the library transformers reads.
    """
    theirs = read_json(folder, TOKENIZER)
    if theirs is None:
        theirs = _converted(folder)
    return adopt(theirs, _stated(folder))


def _stated(folder: Path) -> dict[str, str]:
    """Return the names of special tokens that the files of a tokenizer state, by their keys."""
    found: dict[str, str] = {}
    for file in (SPECIAL_TOKENS, TOKENIZER_CONFIG):
        for key, value in (read_json(folder, file) or {}).items():
            name = value.get("content") if isinstance(value, dict) else value
            if key.endswith("_token") and isinstance(name, str):
                found[key] = name
    return found


OLDER_FILES = ("vocab.txt", "vocab.json", "spiece.model", "sentencepiece.bpe.model", "tokenizer.model")
"""Vocabularies of tokenizers without a tokenizer.json, which transformers converts."""


def _converted(folder: Path) -> dict[str, Any]:
    """Convert older files of a tokenizer with the library transformers.

    Raises:
        ModelError: there are none, or they cannot be converted.
        MissingExtraError: transformers is not installed.
    """
    found = [file for file in OLDER_FILES if (folder / file).is_file()]
    missing = f"{folder} has no {TOKENIZER}: expected the tokenizer that the model was trained with."
    if not found:
        raise ModelError(missing)
    try:
        from transformers import AutoTokenizer
    except ImportError:
        raise MissingExtraError(
            f"transformers, to convert {found[0]} to {TOKENIZER},", "transformers"
        ) from None
    try:
        made = AutoTokenizer.from_pretrained(str(folder), local_files_only=True, trust_remote_code=False)
        return json.loads(made.backend_tokenizer.to_str())
    except Exception as error:  # whatever the library raises
        reason = str(error).strip().split("\n")[0]
        raise ModelError(
            f"{missing} {found[0]} cannot be converted: {reason}",
            remedy="a model with a tokenizer.json",
        ) from None


def text_inputs(folder: Path, column: str, config: TextConfig | None = None) -> tuple[TextInputs, Adopted]:
    """Return the tokenizer of a pretrained model for a column of text.

    Args:
        folder: of the model.
        column: the name of a column of text.
        config: how long texts are truncated; at most what the model can read. None: what it can read.

    Returns:
        The tokenizer, and what a model needs to know of it.

    Raises:
        ModelError: the model has no tokenizer, or one of an unknown type.
    """
    adopted = read_adopted(folder)
    longest, cut = most_tokens(folder, len(adopted.prefix) + len(adopted.suffix)), "end"
    if config is not None:
        longest, cut = min(longest or config.max_seq_len, config.max_seq_len), config.truncation
    made = TextInputs(
        column, adopted.kind, adopted.tokenizer, longest or DEFAULT_LENGTH, cut, adopted.special_ids
    )
    return made, adopted


DEFAULT_LENGTH = 510
"""Tokens of a text, for a model of any length and without a config."""


def most_tokens(folder: Path, frame: int = 2) -> int | None:
    """Return how many tokens of a text a model reads; None if there is no limit.

    Args:
        folder: of the model.
        frame: number of tokens that are added to a text, such as [CLS] and [SEP].
    """
    config = read_json(folder, CONFIG) or {}
    config = {**config, **(config.get("text_config") or {})}
    positions = next((config[key] for key in MODEL_LENGTHS if isinstance(config.get(key), int)), None)
    if config.get("model_type") in OFFSET and positions:
        padding = config.get("pad_token_id")
        positions -= (1 if padding is None else int(padding)) + 1
    stated = (read_json(folder, SENTENCES) or {}).get("max_seq_length")
    longest = (read_json(folder, TOKENIZER_CONFIG) or {}).get("model_max_length")
    known = [int(each) for each in (positions, stated, longest) if each and 0 < each < UNLIMITED]
    return min(known) - frame if known else None


def token_inputs(
    column: Column,
    table: pa.Table,
    config: TextConfig,
    also: Column | None = None,
    layout: bool = False,
) -> TextInputs:
    """Return the tokenizer of a column: that of `config.pretrained`, or one learned from the training rows.

    Args and errors are those of `TextInputs.fit`.
    """
    if config.pretrained is not None:
        return pretrained_inputs(config.pretrained, column.name, config)
    return TextInputs.fit(column, table, config, also, layout)


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
