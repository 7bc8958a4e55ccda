"""Learn the vocabulary of a tokenizer.

There are four kinds: `words` (runs of letters, runs of digits and single punctuation marks; scripts without
spaces by character), `characters`, `bpe` (Sennrich et al. 2016, over bytes, so that nothing is unknown) and
`wordpiece` (Schuster & Nakajima 2012). Every vocabulary begins with the same five special tokens.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Literal

import tokenizers
from tokenizers import decoders, models, normalizers, pre_tokenizers, trainers

from pellucid.config import TextConfig

SPECIAL = ("[PAD]", "[UNK]", "[BOS]", "[EOS]", "[MASK]")
PAD, UNK, BOS, EOS, MASK = range(len(SPECIAL))
TokenizerKind = Literal["words", "characters", "bpe", "wordpiece", "unigram"]
"""The kinds that are learned, and unigram, which only pretrained models have (Kudo 2018)."""

LONG = 10_000
"""Texts of more characters are tokenized line by line, on all cores."""

_NO_SPACES = r"\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}\p{Lao}\p{Khmer}"
_LETTER = rf"(?:(?![{_NO_SPACES}])[\p{{L}}\p{{M}}])"
_WORD = rf"[{_NO_SPACES}]|{_LETTER}+(?:['’]{_LETTER}+)*|\p{{N}}+|[^\s\p{{L}}\p{{M}}\p{{N}}]"
_LINE_BREAK = r"<\s*br\s*/?\s*>"
_LAYOUT = r"\n|(?<=\n)[ \t]+|^[ \t]+"
"""Line breaks and the white space at the beginning of a line, as tokens of their own."""
_PIECES = re.compile(r"(?<=\S)(?=\n)")
"""Where every kind of tokenizer splits a text anyway."""


def learn(
    texts: Iterator[str], kind: TokenizerKind, config: TextConfig, layout: bool
) -> tokenizers.Tokenizer:
    """Learn a tokenizer.

    Args:
        texts: to learn from, none of them empty.
        kind: of the tokenizer.
        config: the size of the vocabulary, and whether texts become lower case.
        layout: line breaks and indentation are tokens too.
    """
    made, trainer = _MAKERS[kind](config)
    if layout:
        pattern = tokenizers.Regex(f"{_LAYOUT}|{_WORD}")
        made.pre_tokenizer = pre_tokenizers.Split(pattern, "removed", invert=True)
    made.normalizer = normalizers.Sequence(
        [normalizers.NFC()]
        + ([normalizers.Replace(tokenizers.Regex(r"\r\n?"), "\n")] if layout else [])
        + (
            [normalizers.Replace(tokenizers.Regex(_LINE_BREAK), " ")]
            if kind in ("words", "wordpiece")
            else []
        )
        + ([normalizers.Lowercase()] if config.lowercase else [])
    )
    made.train_from_iterator((piece for text in texts for piece in pieces_of(text)), trainer)
    return made


def _words(config: TextConfig) -> tuple[tokenizers.Tokenizer, trainers.Trainer]:
    """Words that occur once are unknown, so that the model learns to handle unknown words."""
    made = tokenizers.Tokenizer(models.WordLevel(vocab={}, unk_token=SPECIAL[UNK]))
    made.pre_tokenizer = pre_tokenizers.Split(tokenizers.Regex(_WORD), "removed", invert=True)
    made.decoder = decoders.WordPiece(cleanup=True)  # puts spaces between words, none before a comma
    return made, trainers.WordLevelTrainer(**_common(config), min_frequency=2)


def _characters(config: TextConfig) -> tuple[tokenizers.Tokenizer, trainers.Trainer]:
    made = tokenizers.Tokenizer(models.WordLevel(vocab={}, unk_token=SPECIAL[UNK]))
    made.pre_tokenizer = pre_tokenizers.Split(tokenizers.Regex(r"[\s\S]"), "isolated")
    made.decoder = decoders.Fuse()
    return made, trainers.WordLevelTrainer(**_common(config))


def _bpe(config: TextConfig) -> tuple[tokenizers.Tokenizer, trainers.Trainer]:
    made = tokenizers.Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    return made, trainers.BpeTrainer(**_common(config), initial_alphabet=alphabet)


def _wordpiece(config: TextConfig) -> tuple[tokenizers.Tokenizer, trainers.Trainer]:
    made = tokenizers.Tokenizer(models.WordPiece(vocab={}, unk_token=SPECIAL[UNK]))
    made.pre_tokenizer = pre_tokenizers.Split(tokenizers.Regex(_WORD), "removed", invert=True)
    made.decoder = decoders.WordPiece(cleanup=True)
    return made, trainers.WordPieceTrainer(**_common(config))


_MAKERS = {"words": _words, "characters": _characters, "bpe": _bpe, "wordpiece": _wordpiece}


def _common(config: TextConfig) -> dict[str, Any]:
    return {"vocab_size": config.vocab_size, "special_tokens": list(SPECIAL), "show_progress": False}


def pieces_of(text: str) -> list[str]:
    """Split a long text at ends of lines, where every kind of tokenizer splits it anyway."""
    return [text] if len(text) <= LONG else _PIECES.split(text)
