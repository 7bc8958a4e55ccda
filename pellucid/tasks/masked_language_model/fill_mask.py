"""Masks in texts: their neighbors, and the predictions of a model.

Shapes: B texts, T tokens, V vocabulary.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from pellucid.data.batches import Batches
from pellucid.data.text.text_inputs import MASK, TextInputs
from pellucid.data.text.token_rows import IGNORED
from pellucid.errors import UsageError
from pellucid.evaluation import Trained
from pellucid.nn.device import device_of
from pellucid.nn.modes import evaluating
from pellucid.tasks.shared import ngram_counts
from pellucid.tasks.shared.text_generation import tokens_of

SHOWN = 12
"""Masks to show."""
CONTEXT = 12
"""Tokens to show on either side of a mask."""
GUESSES = 3
"""Predictions to show for a mask."""


# ---- counting ----------------------------------------------------------------------------------


def between(tokens: np.ndarray) -> tuple[np.ndarray, list[np.ndarray]]:
    """Return the tokens of a stream that may be masked, with codes of one and both neighbors, (N,) each."""
    kept = tokens[1:-1] > MASK
    left, here, right = (part[kept] for part in (tokens[:-2], tokens[1:-1], tokens[2:]))
    return here, [ngram_counts.code([left]), ngram_counts.code([left, right])]


def asked_for(batches: Batches) -> tuple[np.ndarray, list[np.ndarray]]:
    """Return the masked tokens of batches, with codes of their neighbors, which may be masked."""
    words, lefts, rights = [], [], []
    for inputs, targets in batches:
        gaps = (targets != IGNORED).numpy()
        padded = np.pad(inputs.numpy(), ((0, 0), (1, 1)), constant_values=-1)
        words.append(targets.numpy()[gaps])
        lefts.append(padded[:, :-2][gaps])
        rights.append(padded[:, 2:][gaps])
    left, right = np.concatenate(lefts), np.concatenate(rights)
    return np.concatenate(words), [ngram_counts.code([left]), ngram_counts.code([left, right])]


# ---- filling -----------------------------------------------------------------------------------


def probs(model: nn.Module, inputs: Tensor) -> Tensor:
    """Return the probability of every token at every position, (B, T, V), on the CPU."""
    device = device_of(model)
    with evaluating(model):
        return model(inputs.to(device)).float().softmax(-1).cpu()


def filled(model: nn.Module, inputs: Tensor, targets: Tensor) -> Tensor:
    """Return texts with the most probable token in every mask, (B, T)."""
    return torch.where(targets == IGNORED, inputs, probs(model, inputs).argmax(-1))


def answer(model: nn.Module, encoded: TextInputs, text: str) -> dict[str, Any]:
    """Fill the masks of a text, with the most probable tokens for each.

    Raises:
        UsageError: it has no mask, or is longer than the model reads.
    """
    ids = torch.from_numpy(encoded.encode([text], masks=True).ids.astype(np.int64))
    gaps = ids == MASK
    if not gaps.any():
        raise UsageError(f"The text has no mask: expected [MASK] in {text!r:.60}.")
    if len(ids) > encoded.max_seq_len:
        raise UsageError(
            f"The text has {len(ids):,} tokens: expected at most {encoded.max_seq_len}, as in training."
        )
    found = probs(model, ids[None])[0]  # (T, V)
    found[:, list(encoded.unwritten)] = 0.0
    whole = torch.where(gaps, found.argmax(1), ids)
    guesses = [dict(_guesses(encoded, row)) for row in found[gaps]]
    return {"prompt": text, "prediction": encoded.decode(whole.numpy()), "gaps": guesses}


def filled_block(trained: Trained, batches: Batches) -> dict[str, Any]:
    """Return a block of masks with the original token and predictions."""
    encoded, rows = tokens_of(trained.preprocess), []
    inputs, targets = next(iter(batches))
    inputs, targets = inputs[:SHOWN], targets[:SHOWN]
    found = probs(trained.model, inputs)
    for row in range(len(inputs)):
        places = torch.nonzero(inputs[row] == MASK).flatten()
        if not len(places):
            continue
        place = int(places[len(places) // 2])
        start = max(0, place - CONTEXT)
        around = encoded.decode(inputs[row, start : place + CONTEXT + 1].numpy())
        said = ", ".join(f"{word} {share:.0%}" for word, share in _guesses(encoded, found[row, place]))
        rows.append([around, encoded.pieces([int(targets[row, place])])[0], said])
    return {
        "kind": "table",
        "title": "Predicted tokens",
        "caption": "The middle gap, [MASK], of some texts, its true token and the most likely predictions.",
        "columns": ["text", "true token", "predictions"],
        "rows": rows,
    }


def _guesses(encoded: TextInputs, row: Tensor) -> list[tuple[str, float]]:
    """Return the most probable tokens of a position, (V,), with their probability."""
    best = row.topk(min(GUESSES, len(row)))
    return [
        (encoded.pieces([token])[0], share)
        for token, share in zip(best.indices.tolist(), best.values.tolist(), strict=True)
    ]
