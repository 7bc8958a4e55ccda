"""Write target sequences with a trained encoder-decoder.

Shapes: N texts.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import nn

from pellucid.data.batches import Batches
from pellucid.data.text.ragged import Ragged
from pellucid.data.text.text_inputs import EOS
from pellucid.data.text.token_rows import RaggedRows
from pellucid.errors import ModelError
from pellucid.models import generation
from pellucid.nn.device import device_of
from pellucid.tasks.shared.writing import Search

BATCH = 64


def can_translate(model: nn.Module) -> bool:
    """Whether a model can be searched for the likeliest target."""
    return all(hasattr(model, name) for name in ("encode", "decode", "new_cache", "max_target_len"))


class Written(NamedTuple):
    """A target that a model wrote.

    Attributes:
        tokens: without BOS and EOS.
        score: log-probability by the length penalty; None if it was sampled.
        cut: whether it reached the limit before it ended.
    """

    tokens: list[int]
    score: float | None
    cut: bool


def translate(
    model: Any,
    sources: Ragged,
    how: Search,
    *,
    never: Sequence[int] = (),
    longest: int | None = None,
) -> list[Written]:
    """Write the target of every source; none depends on the others.

    Args:
        model: an encoder-decoder.
        sources: N rows of tokens.
        how: beam search or sampling.
        never: tokens that are not written.
        longest: most tokens of a target with its EOS; None: as many as the model has room for.
    """
    device, sampling = device_of(model), how.sampling()
    limit = min(how.max_new_tokens or longest or model.max_target_len, model.max_target_len)
    found = [Written([], None, False)] * sources.rows
    for inputs, rows in Batches(RaggedRows(sources, torch.arange(sources.rows)), BATCH):
        if sampling is None:
            settings = {"beams": how.beams, "length_penalty": how.length_penalty, "max_new_tokens": limit}
            best = generation.beam_search(model, inputs.to(device), **settings, never=never)
            targets, scores = best.tokens[:, 0], best.scores[:, 0].tolist()
        else:
            draws = sampling.generators([(sources.row(row).tolist(), 0) for row in rows.tolist()], device)
            targets = generation.sample_targets(
                model, inputs.to(device), limit, **sampling.settings, never=never, generator=draws
            )
            scores = [None] * len(inputs)
        for row, tokens, score in zip(rows.tolist(), targets.tolist(), scores, strict=True):
            found[row] = Written([t for t in tokens if t not in (0, EOS)], score, EOS not in tokens)
    return found


def check_can_translate(model: nn.Module) -> None:
    """Refuse a model that cannot be searched for the likeliest target.

    Raises:
        ModelError: names what it lacks.
    """
    if not can_translate(model):
        raise ModelError(
            "This model cannot be searched for a text: it needs `encode`, `decode`, `new_cache()` and "
            "`max_target_len`."
        )


def cut_notes(written: Sequence[Written], model: Any) -> tuple[str, ...]:
    """Say how many targets were cut, and what to try."""
    count = sum(each.cut for each in written)
    if not count:
        return ()
    longest, room = max(len(each.tokens) for each in written if each.cut), model.max_target_len
    more = (
        f"--set max_new_tokens=N, up to {room:,}"
        if longest < room
        else "train with a larger data.text.max_target_len"
    )
    return (f"{count:,} of {len(written):,} texts were cut after {longest:,} tokens; {more}",)
