"""Vectors of a run: of new inputs, and the nearest neighbors of an input.

Shapes: N rows, Q queries, D numbers in a vector.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from torch import nn

from pellucid import prediction_file
from pellucid.config import Config
from pellucid.data.dataset import SPLITS, Column, Dataset
from pellucid.data.input_rows import InputRows
from pellucid.data.kinds.image import ImageInputs
from pellucid.data.preprocess import Preprocess
from pellucid.data.text.text_inputs import EOS, PAD, SPECIAL, TextInputs
from pellucid.errors import UsageError
from pellucid.evaluation import Trained
from pellucid.record import Run
from pellucid.runner.data import prepare
from pellucid.runner.load import load_trained
from pellucid.tasks import get_task
from pellucid.tasks.shared.vectors import nearest, word_vectors
from pellucid.train.seed import borrowed_generators

WORDS = "words"
"""The value of `among` that stands for the vocabulary of a run."""
SHOWN = 80
"""Characters of a text that names a neighbor."""
CELLS = 3
"""Cells that name a row of a table without texts and pictures."""
DOCUMENTS = 20
"""Fewer texts than this are searched by their passages."""


@dataclass(frozen=True)
class Vectors:
    """Vectors of inputs.

    Attributes:
        vectors: (N, D) float32.
        names: what each of the N inputs is called.
    """

    vectors: np.ndarray
    names: tuple[Mapping[str, Any], ...]

    def rows(self) -> list[dict[str, Any]]:
        """One dict an input: its name, and "vector"."""
        lists = self.vectors.tolist()
        return [{**name, "vector": vector} for name, vector in zip(self.names, lists, strict=True)]

    def save(self, path: str | Path) -> Path:
        """Write them to a .parquet, .csv or .jsonl file; return its path.

        Raises:
            UsageError, StorageError: the file has another ending, or cannot be written.
        """
        path = prediction_file.check_path(path)
        prediction_file.write(path, self.rows())
        return path


@dataclass(frozen=True)
class Neighbors:
    """The nearest neighbors of queries.

    Attributes:
        queries: what each of the Q queries is called.
        neighbors: for each query what its neighbors are called, the nearest first, with "similarity", the
            cosine of the vectors.
        among: what they were looked for in, in words.
    """

    queries: tuple[Mapping[str, Any], ...]
    neighbors: tuple[tuple[dict[str, Any], ...], ...]
    among: str

    def rows(self) -> list[dict[str, Any]]:
        """One dict a query: its name, and "neighbors"."""
        pairs = zip(self.queries, self.neighbors, strict=True)
        return [{**query, "neighbors": list(found)} for query, found in pairs]


@borrowed_generators()
def embed(run: Run, inputs: Any, model: nn.Module | None = None) -> Vectors:
    """Return the vectors that a run's model makes of inputs.

    Args:
        run: a finished run.
        inputs: what `predict` takes.
        model: see `load_trained`.

    Raises:
        ModelError: the model has no vectors of its inputs, or the inputs have another form than in training.
    """
    return _embedded(_loaded(run, model), inputs)


@borrowed_generators()
def neighbors(
    run: Run,
    query: Any,
    among: Any = None,
    k: int = 5,
    model: nn.Module | None = None,
    dataset: Dataset | None = None,
) -> Neighbors:
    """Find what is most similar to an input, by the cosine of the vectors.

    Args:
        run: a finished run.
        query: what `predict` takes; or a word, of a run that reads texts.
        among: inputs to look in; "train", "validation" or "test", a split of the run's own data; or "words",
            its vocabulary. None: the vocabulary for one word, else the training data.
        k: neighbors of each query.
        model: see `load_trained`.
        dataset: the data of the run; None to load it again.

    Raises:
        UsageError: k is below 1, or the vocabulary is asked of a run that reads no texts.
        ModelError: see `embed`.
    """
    if isinstance(k, bool) or not isinstance(k, int) or k < 1:
        raise UsageError(f"k: expected a whole number of 1 or more, received {k!r:.80}.")
    trained = _loaded(run, model)
    encoded = trained.preprocess.encoded
    words = isinstance(encoded, TextInputs) and _are_words(encoded, query)
    if (isinstance(among, str) and among == WORDS) or (among is None and words):
        return _similar_words(trained, query, k)
    asked = _embedded(trained, query)
    if among is None or (isinstance(among, str) and among in SPLITS):
        known, where = _own_rows(run, trained, among or "train", dataset)
    else:
        known, where = _embedded(trained, among), str(among) if isinstance(among, (str, Path)) else "the data"
    rows, similar = nearest(known.vectors, asked.vectors, k)
    found = tuple(
        tuple(
            {**known.names[row], "similarity": round(float(cosine), 6)}
            for row, cosine in zip(*pair, strict=True)
        )
        for pair in zip(rows.tolist(), similar.tolist(), strict=True)
    )
    return Neighbors(asked.names, found, where)


# ---- vectors of rows -----------------------------------------------------------------------------


def _loaded(run: Run, model: nn.Module | None) -> Trained:
    trained = load_trained(run, model)
    if trained.preprocess is None:
        raise UsageError(
            f"Run {run.id} learned from batches, so that Pellucid cannot encode new inputs.",
            remedy="train on a dataset: pellucid.arrays(X, y), pellucid.csv(path) or a folder",
        )
    return trained


def _embedded(trained: Trained, inputs: Any) -> Vectors:
    rows = get_task(trained.task).read(trained, inputs)
    if not isinstance(rows, InputRows):  # the task predicts from something else, such as a number of images
        rows = trained.preprocess.read(inputs)
    return _named(trained, rows.table, rows.names)


def _own_rows(run: Run, trained: Trained, split: str, dataset: Dataset | None) -> tuple[Vectors, str]:
    """Return the vectors of a split of the run's own data."""
    config = Config.read(run.path / "config.yaml")
    tables = prepare(config, dataset, trained.preprocess).dataset.splits
    if split not in tables:
        raise UsageError(f"The data of run {run.id} has no {split} split.", remedy="--among train")
    table, where = tables[split], f"the {split} rows of {config.data.source}"
    encoded = trained.preprocess.encoded
    if isinstance(encoded, TextInputs) and get_task(trained.task).form == "texts" and len(table) < DOCUMENTS:
        table, where = _passages(table, encoded.name), f"the passages of {config.data.source}, {split}"
    return _named(trained, table, _row_names(table, encoded)), where


def _passages(table: pa.Table, column: str) -> pa.Table:
    """Cut whole documents where lines are empty; a document without empty lines, into its lines."""
    found = []
    for text in table[column].to_pylist():
        parts = re.split(r"\n\s*\n", text or "")
        parts = parts if len(parts) > 1 else (text or "").splitlines()
        found += [part for part in parts if part.strip()] or [text]
    return pa.table({column: pa.array(found, table.schema.field(column).type)})


def _row_names(table: pa.Table, encoded: Any) -> list[dict[str, Any]]:
    """Return what each row of a table is called: the file of its picture, else its number."""
    rows = [{"row": row + 1} for row in range(len(table))]
    if not isinstance(encoded, ImageInputs):
        return rows
    files = [(cell or {}).get("path") for cell in table[encoded.name].to_pylist()]
    return [{"file": file} if file else row for file, row in zip(files, rows, strict=True)]


def _named(trained: Trained, table: pa.Table, names: Sequence[Mapping[str, Any]]) -> Vectors:
    """Embed rows; name them, with the beginning of a text and the target where there are any."""
    shown: list[dict[str, Any]] = [dict(name) for name in names]
    target = trained.preprocess.target
    for column, cells in _telling(trained.preprocess, table):
        for name, cell in zip(shown, cells, strict=True):
            if column not in name:
                words = cell if isinstance(cell, list) else str(cell or "").split()
                name[column] = " ".join(map(str, words))[:SHOWN]
    if target is not None and target.column.name in table.column_names:
        values, classes = table[target.column.name].to_pylist(), target.classes
        for name, value in zip(shown, values, strict=True):
            if isinstance(value, (int, float, str)):
                indexed = isinstance(value, int) and value < len(classes)
                name[target.column.name] = classes[int(value)] if indexed else value
    return Vectors(get_task(trained.task).embed(trained, table), tuple(shown))


def _telling(preprocess: Preprocess, table: pa.Table) -> list[tuple[str, list[Any]]]:
    """Return what tells one row from another: its texts, or its first cells."""
    inputs = [column for column in preprocess.columns if column.name in table.column_names]
    texts = [column.name for column in inputs if column.kind in ("text", "tokens")]
    if texts:
        return [("text" if len(texts) == 1 else name, table[name].to_pylist()) for name in texts]
    plain = [column for column in inputs if column.kind in ("number", "category", "boolean", "date")]
    return [
        (column.name, [_named_cell(column, cell) for cell in table[column.name].to_pylist()])
        for column in plain[:CELLS]
    ]


def _named_cell(column: Column, cell: Any) -> Any:
    return column.categories[cell] if column.categories and isinstance(cell, int) else cell


# ---- words ---------------------------------------------------------------------------------------


def _are_words(encoded: TextInputs, query: Any) -> bool:
    """Whether a query, or each of several, is one word of the vocabulary."""
    words = query if isinstance(query, (list, tuple)) else [query]
    return bool(words) and all(_word(encoded, word) is not None for word in words)


def _word(encoded: TextInputs, query: Any) -> int | None:
    """Return the token of a text that is one known word; None for anything else."""
    if not isinstance(query, str) or encoded.kind == "characters" or Path(query).suffix:
        return None
    ids = encoded.encode([query]).ids.tolist()
    return ids[0] if len(ids) == 1 and ids[0] >= len(SPECIAL) else None


def _similar_words(trained: Trained, query: Any, k: int) -> Neighbors:
    encoded = trained.preprocess.encoded
    if not isinstance(encoded, TextInputs):
        raise UsageError("This run reads no texts, so it has no words.", remedy="--among train")
    words = [query] if isinstance(query, str) else list(query)
    tokens = [_word(encoded, word) for word in words]
    if unknown := [word for word, token in zip(words, tokens, strict=True) if token is None]:
        raise UsageError(
            f"{unknown[0]!r:.60} is not one word of the vocabulary of this run.",
            remedy="another word, or --among train for the most similar texts",
        )
    table = word_vectors(trained.model, encoded.vocab_size)
    allowed = np.setdiff1d(np.arange(encoded.vocab_size), [*encoded.unwritten, PAD, EOS])
    rows, similar = nearest(table[allowed], table[np.array(tokens)], k + 1)
    found = []
    for token, places, cosines in zip(tokens, allowed[rows].tolist(), similar.tolist(), strict=True):
        pairs = [(place, cosine) for place, cosine in zip(places, cosines, strict=True) if place != token][:k]
        found.append(
            tuple(
                {"word": encoded.pieces([place])[0].strip(), "similarity": round(cosine, 6)}
                for place, cosine in pairs
            )
        )
    return Neighbors(tuple({"word": word} for word in words), tuple(found), f"{len(allowed):,} words")
