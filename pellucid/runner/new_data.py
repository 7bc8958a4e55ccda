"""Whether the data of a run is still what it was trained on, and new files to measure it on."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa

from pellucid.config import Config
from pellucid.data import prediction_input
from pellucid.data.dataset import SPLITS, UNLABELED, Dataset, Source
from pellucid.data.preprocess import Preprocess
from pellucid.data.sources.folder import holds_images
from pellucid.data.sources.open_source import open_source
from pellucid.data.sources.tables import is_table_file
from pellucid.errors import RunError
from pellucid.evaluation import Trained
from pellucid.record import Run
from pellucid.tasks import get_task


def check_unchanged(run: Run, splits: Mapping[str, Mapping[str, Any]]) -> None:
    """Refuse data that has changed since a run was trained on it.

    Args:
        run: with the splits it was trained and measured on.
        splits: rows and fingerprint of each split today.

    Raises:
        RunError: says which splits have changed, and what to do.
    """
    before = run.facts["dataset"]["splits"]
    changed = [name for name in dict.fromkeys([*before, *splits]) if before.get(name) != splits.get(name)]
    if not changed:
        return
    parts = ", ".join(
        f"{name} had {_rows(before.get(name))}, has {_rows(splits.get(name))}" for name in changed
    )
    raise RunError(
        f"The data of run {run.id} has changed since training: {parts}. The fingerprint of a split is "
        "a hash of its content; where it differs, rows are split anew, and training rows may be in the test.",
        remedy="measure on the file as new data: `pellucid evaluate RUN --data FILE`, in Python "
        "run.evaluate(FILE); or split it anew all the same: --allow-changed-data, in Python "
        "allow_changed_data=True",
    )


def is_new_data(split: Any) -> bool:
    """Whether `split` is the path of a file or folder, and not the name of a split."""
    if isinstance(split, os.PathLike):
        return True
    return isinstance(split, str) and split not in (*SPLITS, UNLABELED) and Path(split).exists()


def labelled_file(
    path: Path, trained: Trained, config: Config, settings: Mapping[str, Any] | None = None
) -> Dataset:
    """Return the rows of a file or folder as a dataset; tables are read exactly as in training.

    Args:
        path: of the file or folder.
        trained: the model.
        config: of its run, with the settings below.
        settings: what is read in another way than in training, such as `data.csv.delimiter`.

    Raises:
        DataError: it cannot be read, or lacks a column.
    """
    preprocess = trained.preprocess
    target = preprocess.target.column if preprocess and preprocess.target else None
    pictures = preprocess is not None and path.is_dir() and holds_images(path)
    if target is None and pictures:
        return _pictures(path, preprocess, config)
    if target is None or target.kind not in ("category", "number") or not is_table_file(path):
        data = config.data.model_copy(update={"source": str(path)})
        task = get_task(trained.task)
        form = "tagged" if task.form == "tagged" else "rows"
        return open_source(data, labelled=task.labelled or not pictures, fewest_classes=1, form=form)
    columns = (*preprocess.columns, target)
    named = {key.removeprefix("data.csv."): value for key, value in (settings or {}).items()}
    csv = {name: value for name, value in named.items() if name in type(config.data.csv).model_fields}
    written = {**preprocess.written, **csv}
    if "data.encoding" in named:
        written["encoding"] = named["data.encoding"]
    table = prediction_input.read_file(path, columns, written)
    found = Dataset(
        path.stem, {"train": table}, columns, target.name, preprocess.task, Source(str(path), "csv")
    )
    return replace(found, encoding=preprocess.target.name if preprocess.target else None)


def _pictures(path: Path, preprocess: Preprocess, config: Config) -> Dataset:
    """Return the images of a folder without their classes, as what a model without a target learned from."""
    source = Source(str(path), "folder")
    if all(column.kind == "image" for column in preprocess.columns):
        settings = config.data.model_copy(update={"source": str(path)})
        found = open_source(settings, labelled=False)
        column = preprocess.columns[0]
        splits = {
            name: pa.table({column.name: table[found.inputs[0].name]}) for name, table in found.splits.items()
        }
        return Dataset(found.name, splits, (column,), None, None, source)
    return Dataset(path.name, {"train": preprocess.read(path).table}, preprocess.columns, None, None, source)


def _rows(facts: Mapping[str, Any] | None) -> str:
    """Return the size and the beginning of the fingerprint of a split, in words."""
    if not facts:
        return "none"
    return f"{facts.get('rows') or 0:,} rows (fingerprint {str(facts.get('fingerprint'))[:8]})"
