"""Vectors of inputs: what a model makes of them before its last layer.

Shapes: N rows, B of them at once, T tokens, D numbers in a vector.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
from torch import Tensor, nn

from pellucid.errors import ModelError
from pellucid.evaluation import Trained
from pellucid.lens.capture import capture, live
from pellucid.nn import PAD
from pellucid.nn.device import device_of
from pellucid.nn.modes import evaluating

BATCH = 256


def embed_rows(trained: Trained, table: pa.Table) -> np.ndarray:
    """Return a vector for every row of a table.

    The first of these that the model has: the latent vector of an autoencoder (of a variational one its
    mean, of a vector-quantized one the codes of all places); the mean over the tokens of the source, as an
    encoder-decoder reads it; the mean over the tokens of the last hidden state of a language model; else
    what goes into the last linear layer.

    Args:
        trained: the model, with its preprocessing.
        table: N rows with the columns that it learned from.

    Returns:
        (N, D) float32.

    Raises:
        ModelError: the model has no such vectors.
    """
    made = []
    with evaluating(trained.model):
        for start in range(0, len(table), BATCH):
            inputs = trained.preprocess.inputs(table.slice(start, BATCH)).to(device_of(trained.model))
            made.append(vectors(trained.model, inputs).float().cpu().numpy())
    return np.concatenate(made)


def vectors(model: Any, inputs: Tensor) -> Tensor:
    """Return a vector for each input, (B, D); see `embed_rows`."""
    if inputs.is_floating_point() and hasattr(model, "encode") and hasattr(model, "decode"):
        found = model.encode(inputs)
        found = found[0] if isinstance(found, tuple) else found
        if not found.is_floating_point() and isinstance(getattr(model, "codebook", None), nn.Embedding):
            found = model.codebook(found)  # (B, h, w, D)
        if found.is_floating_point():
            return found.flatten(1)
    if not inputs.is_floating_point() and inputs.ndim == 2:
        if hasattr(model, "decode") and hasattr(model, "encode"):
            return _mean(*model.encode(inputs))
        if hasattr(model, "hidden"):
            return _mean(model.hidden(inputs), inputs != PAD)
    return _before_last_layer(model, inputs)


def _before_last_layer(model: nn.Module, inputs: Tensor) -> Tensor:
    """Return what goes into the linear layer that is called last, averaged over places if there are any."""
    layers = [layer for layer in model.modules() if isinstance(layer, nn.Linear)]
    with capture(model, layers, forward=False, inputs=True, values=live) as taken:
        output = model(inputs)
    seen = [call.args[0] for call in taken.calls]
    if not seen or len(seen[-1]) != len(inputs):
        if isinstance(output, Tensor) and output.ndim == 2:
            return output
        raise ModelError(
            f"A {type(model).__name__} has no vectors of its inputs: expected `encode`, `hidden` or a last "
            "linear layer."
        )
    return seen[-1] if seen[-1].ndim == 2 else seen[-1].flatten(1, -2).mean(1)


def _mean(hidden: Tensor, content: Tensor) -> Tensor:
    """Average (B, T, D) over the places where `content` (B, T) is true."""
    weights = content[:, :, None].to(hidden.dtype)
    return (hidden * weights).sum(1) / weights.sum(1).clamp(min=1)


def word_vectors(model: Any, vocab_size: int) -> np.ndarray:
    """Return the vector of every token, (vocab_size, D): its weights in the last layer, or its embedding.

    Raises:
        ModelError: the model has neither.
    """
    if hasattr(model, "output_weights"):
        return model.output_weights()[0].detach().float().cpu().numpy()
    for layer in model.modules():
        if isinstance(layer, nn.Embedding) and layer.num_embeddings == vocab_size:
            return layer.weight.detach().float().cpu().numpy()
    raise ModelError(f"A {type(model).__name__} has no vectors of words.", remedy="--among train")


def nearest(vectors: np.ndarray, queries: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the rows with the most similar vectors.

    Args:
        vectors: (N, D).
        queries: (Q, D).
        k: neighbors of each query.

    Returns:
        Their rows, (Q, k), and their cosine similarities, (Q, k), the most similar first.
    """
    similar = _unit(queries) @ _unit(vectors).T  # (Q, N)
    rows = np.argsort(-similar, axis=1, kind="stable")[:, :k]
    return rows, np.take_along_axis(similar, rows, 1)


def _unit(vectors: np.ndarray) -> np.ndarray:
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.divide(vectors, lengths, out=np.zeros_like(vectors), where=lengths > 0)
