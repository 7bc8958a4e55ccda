"""Embeddings: vectors of tokens, or of rows, in two or three dimensions, and their neighbours."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from torch import Tensor, nn

from pellucid.batch import as_batch
from pellucid.errors import UsageError
from pellucid.lens.views.catalogue import View
from pellucid.lens.views.components import principal
from pellucid.lens.views.seen import Panel, Rows, Seen
from pellucid.lens.views.subject import Subject, array, choose_layer, layers_of

MOST = 5_000
"""Most vectors of a table: its first."""
LISTED = 8


@dataclass(frozen=True)
class Embeddings(Seen):
    """Vectors, their places on principal components, and their neighbours.

    Attributes:
        layer, type: the table (`nn.Embedding`), or the layer whose outputs the vectors are.
        names: (n,) words or numbers of the tokens, or of the rows, with their targets.
        vectors: (n, D).
        places: (n, dims) on the principal components.
        explained: (dims,) share of the variance of each.
        neighbours: (n, k) the vectors of the largest cosine, the nearest first.
        cosines: (n, k).
        layers: names of the tables of the model.
    """

    view = "embeddings"
    layer: str
    type: str
    names: list[str]
    vectors: np.ndarray
    places: np.ndarray
    explained: np.ndarray
    neighbours: np.ndarray
    cosines: np.ndarray
    layers: list[str]

    @property
    def headline(self) -> str:
        shares = " and ".join(f"{100 * share:.1f} %" for share in self.explained)
        count, size = self.vectors.shape
        made = f"{self.layer} ({self.type}): {count:,} vectors of {size} numbers"
        return f"{made}; components with {shares} of the variance"

    def panels(self) -> list[Panel | Rows]:
        """Return the neighbours and places of the vectors with the nearest neighbours."""
        order = np.argsort(-self.cosines[:, 0], kind="stable")[:LISTED] if self.cosines.size else []
        cells = []
        for index in order:
            near = zip(self.neighbours[index], self.cosines[index], strict=True)
            said = ", ".join(f"{self.names[other]} {cosine:.3f}" for other, cosine in near)
            cells.append([self.names[index], *(float(v) for v in self.places[index]), said])
        columns = ["", *(f"component {n + 1}" for n in range(self.places.shape[1])), "nearest, with cosine"]
        return [Rows("vectors with the nearest neighbours", columns, cells)]


def embeddings(subject: Subject, layer: str | None = None, dims: int = 2, neighbours: int = 5) -> Embeddings:
    """Return vectors with their principal components and neighbours.

    Args:
        subject: a model and its batch.
        layer: an `nn.Embedding`, of which the first 5,000 vectors are taken; or any layer that returns
            (B, ...), of which the outputs of the rows are the vectors. None: the first table, or else the
            input of the last linear layer.
        dims: number of components, 2 or 3.
        neighbours: how many of each vector.

    Raises:
        UsageError: other numbers, or a layer that returns something else.
    """
    if dims not in (2, 3) or neighbours < 1:
        raise UsageError(f"dims={dims}, neighbours={neighbours}: expected 2 or 3, and at least 1.")
    tables = layers_of(subject.model, (nn.Embedding,))
    named = {name: part for name, part in subject.model.named_modules() if name}
    if layer is not None:
        name = choose_layer(layer, named)
    else:
        name = next(iter(tables), "") or list(layers_of(subject.model, (nn.Linear,)))[-1]
    if name in tables:
        vectors, names = _of_table(subject, tables[name])
    else:
        vectors, names = _of_rows(subject, name, is_input=layer is None)
    if min(vectors.shape) < dims:
        raise UsageError(
            f"{name} has vectors {vectors.shape}: {dims} components need as many rows and numbers."
        )
    _, _, places, explained = principal(vectors, dims)
    near, cosines = nearest(vectors, min(neighbours, len(vectors) - 1))
    shown = f"{type(named[name]).__name__}{' input' if layer is None and name not in tables else ''}"
    return Embeddings(name, shown, names, vectors, places, explained, near, cosines, list(tables))


def nearest(vectors: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the nearest other vectors by cosine, (n, count), and the cosines; 0 of vectors of length 0."""
    sizes = np.linalg.norm(vectors.astype(np.float64), axis=1, keepdims=True)
    units = np.divide(vectors, sizes, out=np.zeros(vectors.shape), where=sizes > 0)
    alike = units @ units.T
    np.fill_diagonal(alike, -np.inf)
    order = np.argsort(-alike, axis=1, kind="stable")[:, :count]
    return order, np.take_along_axis(alike, order, 1)


def _of_table(subject: Subject, table: nn.Module) -> tuple[np.ndarray, list[str]]:
    weight = table.weight
    assert isinstance(weight, Tensor)
    vectors = array(weight[:MOST]).copy()
    return vectors, _words(subject, range(len(vectors)))


def _words(subject: Subject, ids: Sequence[int]) -> list[str]:
    return (
        [str(number) for number in ids]
        if subject.words is None
        else [str(w) for w in subject.words(list(ids))]
    )


def _of_rows(subject: Subject, layer: str, *, is_input: bool) -> tuple[np.ndarray, list[str]]:
    calls = subject.calls([layer], inputs=True)
    if not calls:
        raise UsageError(f"{layer} was not called.")
    given = next(
        (part for part in (*calls[-1].args, *calls[-1].kwargs.values()) if isinstance(part, Tensor)), None
    )
    output = given if is_input else calls[-1].output
    if not isinstance(output, Tensor) or output.ndim < 2 or len(output) != subject.rows:
        raise UsageError(f"{layer} returns no (B, ...) for {subject.rows} rows: choose another layer.")
    targets = as_batch(subject.work.batch).targets
    known = isinstance(targets, Tensor) and targets.ndim == 1 and len(targets) == subject.rows
    said = [f" ({target:g})" for target in targets.tolist()] if known else [""] * subject.rows
    return array(output.flatten(1)), [f"row {row}{target}" for row, target in enumerate(said)]


def _unfit(subject: Subject) -> str:
    if layers_of(subject.model, (nn.Embedding,)):
        return ""
    if not layers_of(subject.model, (nn.Linear,)):
        return "has no nn.Embedding and no linear layer"
    return subject.trouble() if subject.rows else "has no nn.Embedding, and no batch here"


VIEW = View(
    "embeddings",
    "vectors of tokens or rows by principal components, and neighbours",
    _unfit,
    embeddings,
    needs_batch=False,
)
