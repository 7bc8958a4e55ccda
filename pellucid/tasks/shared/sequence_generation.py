"""Write target sequences with a trained encoder-decoder.

Shapes: N texts.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from pellucid.data.batches import Batches
from pellucid.data.text.ragged import Ragged
from pellucid.data.text.text_inputs import EOS
from pellucid.data.text.token_rows import RaggedRows
from pellucid.errors import ModelError, UnknownNameError, UsageError
from pellucid.evaluation import Trained
from pellucid.models import generation
from pellucid.tasks.shared.image_task import device_of

BATCH = 64


def can_translate(model: nn.Module) -> bool:
    """Whether a model can be searched for the likeliest target."""
    return all(hasattr(model, name) for name in ("encode", "decode", "new_cache", "max_target_len"))


def translate(
    model: Any, sources: Ragged, *, beams: int = 4, length_penalty: float = 0.6
) -> list[tuple[list[int], float]]:
    """Find the likeliest target of every source.

    Args:
        model: an encoder-decoder.
        sources: N rows of tokens.
        beams: beginnings that are kept; 1 is greedy.
        length_penalty: see `pellucid.models.generation.beam_search`.

    Returns:
        N pairs of the target's tokens, without BOS and EOS, and its score.
    """
    device = device_of(model)
    found: list[tuple[list[int], float]] = [([], 0.0)] * sources.rows
    for inputs, rows in Batches(RaggedRows(sources, torch.arange(sources.rows)), BATCH):
        limit = 2 * inputs.shape[1] + 10  # a target that is longer has gone wrong
        best = generation.beam_search(
            model, inputs.to(device), beams=beams, max_new_tokens=limit, length_penalty=length_penalty
        )
        for row, tokens, score in zip(
            rows.tolist(), best.tokens[:, 0].tolist(), best.scores[:, 0].tolist(), strict=True
        ):
            found[row] = [token for token in tokens if token not in (0, EOS)], score
    return found


def beam_search(trained: Trained, sources: Ragged, options: dict[str, Any]) -> list[tuple[list[int], float]]:
    """Return the most probable target of each source, with its score.

    Args:
        trained: an encoder-decoder.
        sources: token ids.
        options: `beams` and `length_penalty`, as the user typed them.

    Raises:
        ModelError: the model cannot be searched.
        UnknownNameError: there is no such option.
        UsageError: an option is out of range.
    """
    if not can_translate(trained.model):
        raise ModelError(
            "This model cannot be searched for a text: it needs `encode`, `decode`, `new_cache()`."
        )
    known = ("beams", "length_penalty")
    for option in options:
        if option not in known:
            raise UnknownNameError("option of the search", option, known)
    try:
        return translate(trained.model, sources, **options)
    except ValueError as error:
        raise UsageError(str(error)) from None
