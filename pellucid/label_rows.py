"""The training rows of a run whose labels look wrong, the most suspicious first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from pellucid.config import Config
from pellucid.data import hashing
from pellucid.data.dataset import Dataset
from pellucid.data.sources.open_source import open_source
from pellucid.diagnosis.label_noise import ROWS, TABLE
from pellucid.errors import PellucidError, RunError, UsageError
from pellucid.record import Run
from pellucid.runner.data import prepare
from pellucid.runner.paths import with_absolute_paths

COLUMNS = ("row", "index", "file", "label", "other", "margin", "suspect", "text")
"""What a CSV file of the rows holds."""


@dataclass(frozen=True)
class LabelRow:
    """One training row.

    Attributes:
        row: its number in the training split, from 0.
        index: its place in the data as they were read, from 0 and without a header, such as the index into X
            or into a data frame; None where it is not known.
        file: the file of its picture; "" where it has none.
        label: its label.
        other: what the model says instead.
        margin: the logit of the label minus the largest other one, averaged over epochs: the lower, the more
            suspicious.
        suspect: whether the label is suspected of being wrong.
        text: the row as text; "" for pictures, and for rows far down the list.
        image: its picture as PNG bytes; None where it has none, and for rows far down the list.
    """

    row: int
    index: int | None
    file: str
    label: str
    other: str
    margin: float
    suspect: bool
    text: str = ""
    image: bytes | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON values, without the picture."""
        return {key: value for key, value in asdict(self).items() if key != "image"}


def suspicious_rows(run: Run, n: int | None = 50, *, dataset: Dataset | None = None) -> list[LabelRow]:
    """Return the training rows whose labels the model contradicts most, the most suspicious first.

    The margins are those of training, averaged over the epochs until the validation loss rose (Pleiss et al.
    2020, "Identifying Mislabeled Data using the Area Under the Margin Ranking"), so this trains nothing.

    Args:
        run: a run that predicts one class a row.
        n: how many rows; None: all that are suspected.
        dataset: the data of the run, where they were passed in Python, to find the index of a row; None:
            those that the run remembers, or that are read again.

    Raises:
        RunError: no margins were recorded; says why.
        UsageError: n is not a positive number.
    """
    if n is not None and n < 1:
        raise UsageError(f"n is {n}: expected 1 or more rows, or None for all that are suspected.")
    table = _margins(run)
    order = np.argsort(table["margin"].to_numpy(), kind="stable")
    seen = order[table["epochs"].to_numpy()[order] > 0]
    chosen = seen[: int(table["suspect"].to_numpy().sum())] if n is None else seen[:n]
    classes = run.facts["dataset"]["classes"]
    shown = _shown(run)
    numbers = _indices(run, getattr(run, "dataset", None) if dataset is None else dataset, chosen)
    rows = table.take(pa.array(chosen)).to_pylist()
    return [
        LabelRow(
            one["row"],
            number,
            shown.get(one["row"], {}).get("file") or "",
            classes[one["label"]],
            classes[one["other"]],
            one["margin"],
            one["suspect"],
            shown.get(one["row"], {}).get("text") or "",
            shown.get(one["row"], {}).get("image"),
        )
        for one, number in zip(rows, numbers, strict=True)
    ]


def summary(run: Run) -> str:
    """Say in a sentence how many labels of a run are suspected."""
    facts = run.facts.get("labels") or {}
    rows, suspected = facts.get("rows", 0), facts.get("suspected", 0)
    if facts.get("wrong") is None:
        some = (
            f"{suspected:,} of {rows:,} training rows are contradicted as surely as most rows are confirmed"
        )
        return f"{some}; the margins do not show a group of wrong labels." if suspected else (
            f"None of {rows:,} training rows is suspected."
        )  # fmt: skip
    precise = facts.get("precision")
    of = f", of which about {precise:.0%} are wrong" if precise is not None else ""
    return f"About {facts['wrong']:,} of {rows:,} labels are wrong; {suspected:,} rows are suspected{of}."


def _margins(run: Run) -> pa.Table:
    try:
        return pq.read_table(run.path / TABLE)
    except FileNotFoundError:
        why = (run.facts.get("labels") or {}).get("missing")
        if not why:
            why = "the run was made by an earlier version, or has not finished an epoch"
            if run.task != "classification":
                why = f"that is done where one class a row is predicted, and this run learned {run.task}"
        raise RunError(
            f"Run {run.id} has no margins of its training rows: {why}.",
            remedy="a run of a data set with one label a row, without mixup and CutMix",
        ) from None
    except (OSError, pa.ArrowException) as error:
        raise RunError(f"{run.path / TABLE} cannot be read: {error}") from None


def _shown(run: Run) -> dict[int, dict[str, Any]]:
    """Return the rows that were written with their pictures or texts, by their number."""
    try:
        return {row["row"]: row for row in pq.read_table(run.path / ROWS).to_pylist()}
    except (OSError, pa.ArrowException):
        return {}


def _indices(run: Run, dataset: Dataset | None, chosen: np.ndarray) -> Sequence[int | None]:
    """Return where training rows are in the data as they were read, before rows were held out.

    Rows are found by their content, of equal ones the first. The data are read again; None where that fails,
    where they have changed, and where they are files of images.
    """
    unknown = [None] * len(chosen)
    source = (run.facts.get("dataset") or {}).get("source") or {}
    if source.get("kind") == "folder":
        return unknown
    try:
        config = with_absolute_paths(Config.read(run.path / "config.yaml"))
        whole = open_source(config.data, labelled=True) if dataset is None else dataset
        train = prepare(config, whole, runs=run.path.parent).dataset.splits["train"]
        names = [name for name in train.column_names if name in whole.splits["train"].column_names]
        known = hashing.rows(whole.splits["train"], names)
        asked = hashing.rows(train.take(pa.array(chosen)), names)
    except (PellucidError, IndexError, pa.ArrowException):
        return unknown
    values, first = np.unique(known, return_index=True)
    at = np.searchsorted(values, asked).clip(max=len(values) - 1)
    return [int(first[i]) if values[i] == hashed else None for i, hashed in zip(at, asked, strict=True)]
