"""Tokenize texts with a vocabulary learned from the training split; `learn_tokenizer.py` learns it."""

from __future__ import annotations

import functools
import itertools
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa
import tokenizers
import xxhash

from pellucid.config import TextConfig
from pellucid.data import cache, hashing
from pellucid.data.dataset import Column
from pellucid.data.encoder import FitOptions, Inputs
from pellucid.data.text import ragged
from pellucid.data.text.learn_tokenizer import (
    BOS,
    EOS,
    MASK,
    PAD,
    SPECIAL,
    UNK,
    TokenizerKind,
    learn,
    pieces_of,
)
from pellucid.data.text.ragged import Ragged
from pellucid.errors import BadDataError

KEPT_ROWS, KEPT_BYTES = 1000, 100_000
"""Tokens of at least this many texts, or bytes of text, are cached on disk."""
LISTED = 5


@dataclass(frozen=True)
class TextInputs(Inputs):
    """A column of text as tokens.

    Attributes:
        name: of the column.
        kind: of the tokenizer.
        tokenizer: the learned tokenizer, as JSON of the `tokenizers` library.
        max_seq_len: maximum number of tokens of a text that a model reads.
        truncation: which part of a longer text is left out; without the middle, a review keeps its
            beginning and its end (Sun et al. 2019, How to Fine-Tune BERT, section 5.3).
        special_ids: of a pretrained tokenizer, its own ids of the five special tokens, which are exchanged
            with 0 to 4; None: they have these ids already.
    """

    stored_as = "text"

    name: str
    kind: TokenizerKind
    tokenizer: str
    max_seq_len: int
    truncation: ragged.Cut = "end"
    special_ids: tuple[int, ...] | None = None

    @classmethod
    def fit(
        cls,
        column: Column,
        table: pa.Table,
        config: TextConfig,
        also: Column | None = None,
        layout: bool = False,
    ) -> TextInputs:
        """Learn the vocabulary of a column.

        Args:
            column: of text.
            table: the training rows.
            config: kind and size; a tokenizer of None means words.
            also: a second column of text that shares the vocabulary.
            layout: line breaks and indentation are tokens, too, if the tokenizer is one of words.

        Raises:
            BadDataError: all texts are empty.
        """
        kind, values = config.tokenizer or "words", table[column.name]
        if also is not None:
            values = pa.chunked_array([*values.chunks, *table[also.name].cast(values.type).chunks])
        if not any(text and text.strip() for text in _texts(values)):
            raise BadDataError(f"All {len(values):,} texts of {column.name!r} are empty: expected text.")
        layout = layout and kind == "words" and any("\n" in text for text in _texts(values))
        settings = f"{kind} {config.vocab_size} {config.lowercase}{' layout' if layout else ''}"
        key = f"tokenizer 1 {tokenizers.__version__} {_content(values)} {settings}"
        learned = cache.notes(key).get("tokenizer") if _kept(values) else None
        if learned is None:
            learned = learn(_texts(values), kind, config, layout).to_str()
            if _kept(values):
                cache.write_notes(key, {"tokenizer": learned})
        return cls(column.name, kind, learned, config.max_seq_len, config.truncation)

    @property
    def shape(self) -> tuple[int]:
        """The shape of the longest example: (T,)."""
        return (self.max_seq_len,)

    @property
    def vocab_size(self) -> int:
        return self._size

    @functools.cached_property
    def _size(self) -> int:
        if self.special_ids is None:
            return self._plain.get_vocab_size()
        return max(self._plain.get_vocab().values()) + 1

    @property
    def lossless(self) -> bool:
        """Whether a text can be restored from its tokens, except unknown characters."""
        own = self.special_ids is None or '"ByteLevel"' in self.tokenizer
        return self.kind in ("characters", "bpe") and own

    @property
    def lowercase(self) -> bool:
        """Whether texts are converted to lower case."""
        return '"Lowercase"' in json.dumps(json.loads(self.tokenizer)["normalizer"])

    @functools.cached_property
    def unwritten(self) -> tuple[int, ...]:
        """Tokens that are never part of a text: padding, the beginning, masks, gaps, and unknown words."""
        added = json.loads(self.tokenizer).get("added_tokens") or []
        published = [int(token["id"]) for token in added if token.get("special")]
        special = published if self.special_ids is None else np.flatnonzero(np.isin(self._order, published))
        return tuple(sorted({*map(int, special), PAD, UNK, BOS, MASK} - {EOS}))

    def with_gaps(self, count: int) -> TextInputs:
        """Add tokens for `count` gaps at the end of the vocabulary; the first has the id `vocab_size`."""
        made = tokenizers.Tokenizer.from_str(self.tokenizer)
        made.add_special_tokens([f"[GAP {number + 1}]" for number in range(count)])
        return replace(self, tokenizer=made.to_str())

    # ---- text to tokens ----------------------------------------------------------------------------

    def encode(self, texts: Sequence[str | None], *, masks: bool = False) -> Ragged:
        """Tokenize texts without truncating them or adding special tokens; a missing text is an empty row.

        Args:
            texts: N texts in any script.
            masks: read "[MASK]" as the mask token; otherwise it is text like any other.
        """
        split = pieces_of if self.special_ids is None else lambda text: [text]
        if masks and self.special_ids is not None:
            own = self._marked.id_to_token(self.special_ids[MASK]) or SPECIAL[MASK]
            texts = [(text or "").replace(SPECIAL[MASK], own) for text in texts]
        pieces = [split(text or "") for text in texts]
        tokenizer = self._marked if masks else self._plain
        flat = [piece for parts in pieces for piece in parts]
        found = tokenizer.encode_batch_fast(flat, add_special_tokens=False)
        made = ragged.join([each.ids for each in found], self.vocab_size)
        if self.special_ids is not None:
            made = Ragged(self._order.argsort()[made.ids].astype(made.ids.dtype), made.offsets)
        firsts = ragged.ends(np.fromiter((len(parts) for parts in pieces), np.int64, len(pieces)))
        return Ragged(made.ids, made.offsets[firsts])

    def column(self, table: pa.Table) -> Ragged:
        """Tokenize the texts of a table without truncating them; a large result is cached on disk."""
        values = table[self.name]
        if not _kept(values):
            return self.encode(values.to_pylist())
        learned = self._plain.to_str()  # the same text, however the restored JSON was formatted
        if self.special_ids is not None:
            learned += str(self.special_ids)
        key = f"tokens 1 {xxhash.xxh3_128_hexdigest(learned.encode())} {_content(values)}"
        return Ragged(*cache.arrays(key, lambda: self.encode(values.to_pylist())))

    def rows(self, table: pa.Table) -> Ragged:
        """Return what a model reads of the rows of a table; see `read`."""
        return self._cut(self.column(table))

    def read(self, texts: Sequence[str | None]) -> Ragged:
        """Return what a model reads of texts: truncated to `max_seq_len`, and [UNK] for an empty one."""
        return self._cut(self.encode(texts))

    def _cut(self, whole: Ragged) -> Ragged:
        return whole.cut(self.max_seq_len, self.truncation).filled(UNK)

    def apply(self, table: pa.Table) -> np.ndarray:
        """Return `rows` as (N, T) int64, padded with 0 to the longest of them."""
        return self.rows(table).padded()

    def notes(self, splits: Mapping[str, pa.Table], options: FitOptions) -> list[str]:
        origin, whole = _origin(options.text), options.whole_texts
        return notes(self, splits, origin=origin, whole=whole, written=options.layout)

    # ---- tokens to text ----------------------------------------------------------------------------

    def decode(self, ids: Sequence[int] | np.ndarray) -> str:
        """Join tokens into a text, without [PAD], [BOS] and [EOS]; words are separated by spaces."""
        kept = [int(token) for token in ids if token not in (PAD, BOS, EOS)]
        if not self._layout:
            return self._plain.decode(self._published(kept), skip_special_tokens=False)
        parts = []
        for space, tokens in itertools.groupby(kept, self._layout.get):  # white space as it is, words in runs
            run = list(tokens)
            parts.append(
                self._plain.decode(run, skip_special_tokens=False) if space is None else space * len(run)
            )
        return "".join(parts)

    @functools.cached_property
    def _layout(self) -> dict[int, str]:
        """Line breaks and indentation by their tokens; {} if the tokenizer has none."""
        if self.kind != "words":
            return {}
        return {token: word for word, token in self._plain.get_vocab().items() if word.isspace()}

    @property
    def keeps_lines(self) -> bool:
        """Whether line breaks are tokens."""
        return self.lossless or bool(self._layout)

    def tokens(self, text: str) -> list[str]:
        """Return the tokens that a model reads of a text, for display."""
        return self.pieces(self.read([text]).ids)

    def pieces(self, ids: Sequence[int] | np.ndarray) -> list[str]:
        """Return each token as text, for display."""
        own = self._published(ids)
        if self.kind == "bpe":
            return [self._plain.decode([token], skip_special_tokens=False) for token in own]
        return [self._plain.id_to_token(token) or "" for token in own]

    def _published(self, ids: Sequence[int] | np.ndarray) -> list[int]:
        """Return the ids that the library's tokenizer has for tokens."""
        if self.special_ids is None:
            return [int(token) for token in ids]
        return self._order[np.asarray(ids, np.int64)].tolist()

    @functools.cached_property
    def _order(self) -> np.ndarray:
        return exchanged(self.vocab_size, self.special_ids or range(len(SPECIAL)))

    # ---- the library's object ----------------------------------------------------------------------

    @functools.cached_property
    def _plain(self) -> tokenizers.Tokenizer:
        made = tokenizers.Tokenizer.from_str(self.tokenizer)
        made.encode_special_tokens = True  # "[PAD]" in a text is five characters, not padding
        return made

    @functools.cached_property
    def _marked(self) -> tokenizers.Tokenizer:
        return tokenizers.Tokenizer.from_str(self.tokenizer)

    def __getstate__(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self.__dataclass_fields__}

    def state(self) -> dict[str, Any]:
        """Return everything as plain JSON values."""
        own = {"kind": self.stored_as, "cutting": self.kind, "tokenizer": json.loads(self.tokenizer)}
        return {**self.__getstate__(), **own}

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> TextInputs:
        """Restore from `state()`."""
        return cls(
            name=state["name"],
            kind=state["cutting"],
            tokenizer=json.dumps(state["tokenizer"]),
            max_seq_len=state["max_seq_len"],
            truncation=state["truncation"] if "truncation" in state else state["cut"],  # version 0.1
            special_ids=None if (ids := state.get("special_ids")) is None else tuple(ids),
        )


def exchanged(count: int, specials: Sequence[int]) -> np.ndarray:
    """Return the ids 0 ... count - 1 with those of the special tokens exchanged with the first ones.

    Args:
        count: number of ids.
        specials: the ids that change places with 0, 1, 2 ...

    Returns:
        (count,) int64: at each new id, the id it had before.

    Example:
        >>> exchanged(6, [0, 5]).tolist()
        [0, 5, 2, 3, 4, 1]
    """
    order = np.arange(count)
    for slot, special in enumerate(specials):
        place = int(np.flatnonzero(order == special)[0])
        order[[slot, place]] = order[[place, slot]]
    return order


LEARNED = "learned from the training texts"


def _origin(text: TextConfig | None) -> str:
    return LEARNED if text is None or text.pretrained is None else f"those of {text.pretrained}"


def notes(
    made: TextInputs,
    splits: Mapping[str, pa.Table],
    *,
    origin: str = LEARNED,
    whole: bool = False,
    written: bool = False,
) -> list[str]:
    """Return what a model will not see: what is truncated, unknown or empty.

    Args:
        made: the tokenizer.
        splits: by name; train and validation are described.
        origin: where its vocabulary comes from, in words.
        whole: nothing is truncated, since texts are concatenated.
        written: texts are written with these tokens.
    """
    lines = [f"{made.name}: {made.vocab_size:,} different tokens ({made.kind}), {origin}"]
    lines += _lost(made, splits["train"][made.name]) if written and "train" in splits else []
    for split in ("train", "validation"):
        if split not in splits:
            continue
        found = made.column(splits[split])
        long, unknown = found.lengths > made.max_seq_len, found.ids == UNK
        facts = []
        if long.any() and not whole:
            facts.append(
                f"{long.sum():,} of {found.rows:,} texts ({long.mean():.1%}) are longer than "
                f"{made.max_seq_len} tokens and are cut at the {made.truncation}"
            )
        if unknown.any():
            facts.append(f"{unknown.mean():.2%} of the tokens are unknown")
        if len(empty := np.flatnonzero(found.lengths == 0)):
            shown = ", ".join(f"{row + 1:,}" for row in empty[:LISTED])
            facts.append(
                f"{len(empty):,} texts are empty (row {shown}{' ...' if len(empty) > LISTED else ''})"
            )
        lines += [f"{split}: {'; '.join(facts)}"] if facts else []
    return lines


def _lost(made: TextInputs, texts: pa.ChunkedArray) -> list[str]:
    """Return what texts that are written will lack because their tokens do."""
    facts = []
    if not made.keeps_lines and any("\n" in text for text in _texts(texts)):
        facts.append(
            f"line breaks and indentation are lost: this tokenizer ({made.kind}) has no tokens for them; "
            "--set data.text.tokenizer=bpe keeps them"
        )
    if made.lowercase and any(text != text.lower() for text in _texts(texts)):
        facts.append("capital letters are lost: --set data.text.lowercase=false keeps them")
    return facts


# ---- texts ---------------------------------------------------------------------------------------


def _texts(column: pa.ChunkedArray) -> Iterator[str]:
    """Yield the texts that are not empty, chunk by chunk."""
    for chunk in column.chunks:
        yield from (text for text in chunk.to_pylist() if text)


def _kept(column: pa.ChunkedArray) -> bool:
    """Return whether there is so much text that its tokens are cached on disk."""
    return len(column) >= KEPT_ROWS or column.nbytes >= KEPT_BYTES


def _content(column: pa.ChunkedArray) -> str:
    return xxhash.xxh3_128_hexdigest(hashing.values(column).tobytes())
