"""Where a model looks up the vectors of its tokens.

A token has no gradient, its vector has: explanations of texts start from the output of the embedding layer.

Shapes: B rows, T tokens, S tokens after the model added its own, E width.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from pellucid.lens.capture import Call, capture

NOT_TOKENS = frozenset(["attention_mask", "token_type_ids", "position_ids", "labels"])
"""Inputs of whole numbers that are no tokens, as models of transformers call them."""


@dataclass(frozen=True)
class Lookup:
    """One call of an embedding layer on the tokens of an input.

    Attributes:
        table: the embedding layer.
        number: which of its calls in a forward pass.
        leaf: which of the inputs holds the tokens.
        start: place of the first token; before it are tokens that the model adds.
        turned: whether the layer is called with (T, B).
    """

    table: nn.Module
    number: int
    leaf: int
    start: int = 0
    turned: bool = False

    def read(self, output: Tensor, length: int) -> Tensor:
        """Return the vectors of the tokens, (B, T, E), of what the layer returned."""
        return self._rows(output)[:, self.start : self.start + length]

    def write(self, output: Tensor, vectors: Tensor) -> Tensor:
        """Return what the layer returned with other vectors for the tokens."""
        rows = self._rows(output)
        end = self.start + vectors.shape[1]
        joined = torch.cat([rows[:, : self.start], vectors.to(rows.dtype), rows[:, end:]], dim=1)
        return joined.transpose(0, 1) if self.turned else joined

    def _rows(self, output: Tensor) -> Tensor:
        return output.transpose(0, 1) if self.turned else output


def find_lookups(model: nn.Module, run: Any, leaves: Sequence[Any], names: Sequence[str]) -> list[Lookup]:
    """Return the calls of embedding layers on inputs of tokens, in their order.

    Args:
        model: the model.
        run: computes it once.
        leaves: its inputs; those of whole numbers (1, T) may be tokens.
        names: of the inputs.
    """
    tokens = {
        place: leaf
        for place, leaf in enumerate(leaves)
        if isinstance(leaf, Tensor) and leaf.dtype in (torch.int32, torch.int64) and leaf.ndim == 2
        if names[place] not in NOT_TOKENS
    }
    if not tokens:
        return []
    known = dict(_named(model))
    tables = [part for part in model.modules() if isinstance(part, nn.Embedding) or part in known]
    with torch.no_grad(), capture(model, tables, forward=False, inputs=True) as taken:
        run()
    found: list[Lookup] = []
    for call in taken.calls:
        if found and not _alike(call.module, found[0].table):
            continue
        match = _match(call, tokens) or _of_named(call, tokens, known)
        if match is not None:
            found.append(match)
    return found


def _named(model: nn.Module) -> Iterator[tuple[nn.Module, int]]:
    """Yield the tables that models name themselves, with the number of tokens they put before a text."""
    for part in model.modules():
        if isinstance(table := getattr(part, "word_embedding", None), nn.Module):
            yield table, int(getattr(part, "before", 0))


def _match(call: Call, tokens: dict[int, Tensor]) -> Lookup | None:
    ids = call.args[0] if call.args else next(iter(call.kwargs.values()), None)
    if not isinstance(ids, Tensor) or ids.ndim != 2:
        return None
    for place, wanted in tokens.items():
        length = wanted.shape[1]
        if ids.shape[0] == len(wanted) and ids.shape[1] >= length and torch.equal(ids[:, :length], wanted):
            return Lookup(call.module, call.number, place)
        if ids.shape == wanted.T.shape and torch.equal(ids, wanted.T):
            return Lookup(call.module, call.number, place, turned=True)
    return None


def _of_named(call: Call, tokens: dict[int, Tensor], known: dict[nn.Module, int]) -> Lookup | None:
    """Trust a table that the model names, whose ids are others than those of the input."""
    if call.module not in known or call.number:
        return None
    return Lookup(call.module, 0, next(iter(tokens)), known[call.module])


def _alike(one: nn.Module, other: nn.Module) -> bool:
    """Whether two tables are of the same vocabulary: not that of positions or of segments."""
    return getattr(one, "num_embeddings", None) == getattr(other, "num_embeddings", None)
