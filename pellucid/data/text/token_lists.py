"""Tokens that the data names itself, with a vocabulary learned from the training rows.

A token that did not occur in training is read by its form: capitals, digits, a hyphen and its last two
letters, as in the Berkeley parser (Petrov et al. 2006). "Springfield" becomes [Aa~ld], which says more than
[UNK]. So that forms are learned, `ReplaceRare` puts some in the place of rare tokens in training.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor

from pellucid.config import TextConfig
from pellucid.data.compute import pc
from pellucid.data.dataset import Column
from pellucid.data.encoder import FitOptions, Inputs, with_tuples
from pellucid.data.text.ragged import Ragged, ends
from pellucid.data.text.text_inputs import SPECIAL, UNK
from pellucid.errors import BadDataError

FORM_SEEN = 2
"""How many different tokens must have a form, so that it is learned."""
RARE = 0.25
"""A token that occurs n times in training is replaced with probability RARE / (n + RARE) (Kiperwasser and
Goldberg 2016, section 4)."""


@dataclass(frozen=True)
class TokenLists(Inputs):
    """A column of lists of tokens, as token ids.

    Attributes:
        name: of the column.
        vocabulary: forms of tokens and tokens, which follow the special tokens.
        max_seq_len: tokens that a model reads at once; longer rows are read in pieces.
        lowercase: whether tokens are converted to lower case.
        letters: whether every token is one letter, so that a text without spaces is split into letters.
    """

    stored_as = "tokens"

    name: str
    vocabulary: tuple[str, ...]
    max_seq_len: int
    lowercase: bool = False
    letters: bool = False

    @classmethod
    def fit(cls, column: Column, table: pa.Table, config: TextConfig) -> TokenLists:
        """Learn the vocabulary: the most frequent tokens, and the forms of the others.

        Raises:
            BadDataError: there are no tokens.
        """
        counts = Counter[str]()
        for chunk in table[column.name].chunks:
            found = pc.value_counts(_lowered(pc.list_flatten(chunk), config.lowercase))
            pairs = zip(found.field("values").to_pylist(), found.field("counts").to_pylist(), strict=True)
            counts.update({token: count for token, count in pairs if token is not None})
        if not counts:
            raise BadDataError(f"All rows of {column.name!r} are empty: expected tokens.")
        ordered = sorted(counts, key=lambda token: (-counts[token], token))
        letters = max(map(len, counts)) == 1
        seen = Counter(form for token in counts for form in forms(token))
        known = [] if letters else sorted(form for form, count in seen.items() if count >= FORM_SEEN)
        kept = ordered[: max(1, config.vocab_size - len(SPECIAL) - len(known))]
        return cls(column.name, (*known, *kept), config.max_seq_len, config.lowercase, letters)

    @property
    def shape(self) -> tuple[int]:
        """The shape of the longest example: (T,)."""
        return (self.max_seq_len,)

    @property
    def vocab_size(self) -> int:
        return len(SPECIAL) + len(self.vocabulary)

    @cached_property
    def _ids(self) -> dict[str, int]:
        return {token: number for number, token in enumerate(self.vocabulary, len(SPECIAL))}

    def encode(self, lists: Sequence[Sequence[str]] | pa.ChunkedArray) -> Ragged:
        """Return the ids of N rows of tokens, in whole rows."""
        column: Any = lists if isinstance(lists, pa.ChunkedArray) else pa.chunked_array([_list_array(lists)])
        ids, lengths = [np.zeros(0, np.uint32)], [np.zeros(0, np.int64)]
        for chunk in column.chunks:
            tokens = pc.dictionary_encode(_lowered(pc.list_flatten(chunk), self.lowercase))
            known = np.fromiter((self._id(token) for token in tokens.dictionary.to_pylist()), np.uint32)
            codes = pc.fill_null(tokens.indices, -1).to_numpy(zero_copy_only=False)
            ids.append(np.append(known, np.uint32(UNK))[codes])
            lengths.append(pc.fill_null(pc.list_value_length(chunk), 0).to_numpy(zero_copy_only=False))
        return Ragged(np.concatenate(ids), ends(np.concatenate(lengths)))

    def _id(self, token: str) -> int:
        return self._ids.get(token) or self.form(token)

    def form(self, token: str) -> int:
        """Return the id of the form of a token; that of [UNK] if its form is not known either."""
        return next((self._ids[form] for form in forms(token) if form in self._ids), UNK)

    def rows(self, table: pa.Table) -> Ragged:
        """Return the rows of a table in pieces of at most `max_seq_len` tokens."""
        return pieces(self.encode(table[self.name]), self.max_seq_len)

    def apply(self, table: pa.Table) -> np.ndarray:
        """Return `rows` as (N, T) int64, padded with 0 to the longest of them."""
        return self.rows(table).padded()

    def split(self, text: str) -> list[str]:
        """Split a text into tokens: at white space, or into letters where tokens are letters."""
        return [letter for letter in text if not letter.isspace()] if self.letters else text.split()

    def notes(self, splits: Mapping[str, pa.Table], options: FitOptions) -> list[str]:
        lines = [f"{self.name}: {self.vocab_size:,} different tokens and forms of tokens"]
        for split in ("train", "validation"):
            if split in splits:
                found = self.encode(splits[split][self.name])
                facts = []
                if (unknown := float(np.mean(found.ids == UNK)) if len(found.ids) else 0.0) > 0:
                    facts.append(f"{unknown:.2%} of the tokens are unknown")
                if long := int((found.lengths > self.max_seq_len).sum()):
                    facts.append(f"{long:,} rows of more than {self.max_seq_len} tokens are read in pieces")
                lines += [f"{split}: {'; '.join(facts)}"] if facts else []
        return lines

    def state(self) -> dict[str, Any]:
        return {"kind": self.stored_as, **asdict(self)}

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> TokenLists:
        """Restore from `state()`."""
        return cls(**with_tuples(state))


class ReplaceRare:
    """Put the forms of some rare tokens into training batches, in their place.

    Args:
        encoded: the vocabulary.
        counts: (V,) how often each token occurs in training.
    """

    def __init__(self, encoded: TokenLists, counts: np.ndarray):
        forms = [encoded.form(token) for token in encoded.vocabulary]
        self.forms = torch.tensor([*range(len(SPECIAL)), *forms])
        self.probs = torch.from_numpy(RARE / (counts + RARE))
        self.probs[: len(SPECIAL)] = 0.0

    def __call__(self, inputs: Tensor, targets: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        drawn = torch.rand(inputs.shape, generator=generator) < self.probs[inputs]
        return torch.where(drawn, self.forms[inputs], inputs), targets


def forms(token: str) -> list[str]:
    """Return the forms of a token, the most telling first: [Aa-ld] and [Aa] of "Springfield"."""
    digit = "0" if any(letter.isdigit() for letter in token) else ""
    hyphen = "-" if "-" in token[1:-1] else ""
    case = "A" if token.isupper() else "Aa" if token[:1].isupper() else "a" if token.isalpha() else "."
    shape = f"{case}{digit}{hyphen}"
    ending = [f"[{shape}~{token[-2:].lower()}]"] if len(token) > 3 and token[-2:].isalpha() else []
    return [*ending, f"[{shape}]"]


def pieces(whole: Ragged, limit: int) -> Ragged:
    """Cut rows into pieces of at most `limit` tokens; no token is lost."""
    if not whole.rows or whole.lengths.max() <= limit:
        return whole
    cuts = [np.arange(start, max(end, start + 1), limit) for start, end in _bounds(whole.offsets)]
    return Ragged(whole.ids, np.append(np.concatenate(cuts), whole.offsets[-1]))


def _bounds(offsets: np.ndarray) -> Iterable[tuple[int, int]]:
    return zip(offsets[:-1].tolist(), offsets[1:].tolist(), strict=True)


def _lowered(tokens: pa.Array, lowercase: bool) -> pa.Array:
    return pc.utf8_lower(tokens) if lowercase else tokens


def _list_array(lists: Sequence[Sequence[str]]) -> pa.Array:
    return pa.array([list(tokens) for tokens in lists], pa.list_(pa.string()))
