"""Suggest a config for new data: a modest model that usually works, with the reasons.

What tasks have in common when they suggest one, in the `offer.py` of their folders.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa

from pellucid.config import Augment, Config
from pellucid.data.contents import Contents
from pellucid.data.dataset import Column
from pellucid.data.kinds.category import MOST_CATEGORIES
from pellucid.data.layout import looks_like_series
from pellucid.data.offers import Suggestion

LARGEST_SIDE = 64
"""Larger images are resized to this many pixels a side."""

_MOST_STEPS = 20_000
MOST_FEATURES = 300
"""Tables with more numbers in a row, such as counts of words, get a plain MLP."""
TABLE_BATCHES = {1000: 32, 3000: 64, 10_000: 128, 1_000_000: 256}
"""Batch sizes by the number of rows below which they are used."""
TABLE_STEPS = 3000
"""Updates of a network for tables, in 5 to 100 epochs."""


def suggestion(
    contents: Contents,
    task: str,
    summary: str,
    *,
    data: Mapping[str, Any] | None = None,
    reasons: tuple[str, ...] = (),
    for_size: Callable[[str], Mapping[str, Any]] | None = None,
    **sections: Mapping[str, Any],
) -> Suggestion:
    """Make the config of a task for data.

    Args:
        contents: of the data.
        task: its name.
        summary: one line for the config.
        data: what changes in `data`, by setting.
        reasons: why the config is so.
        for_size: see `Suggestion`.
        sections: the other sections of the config, such as `model`; `objective` without its name.
    """
    values = {
        "name": Path(contents.dataset.name).stem,
        "summary": summary,
        "data": {**contents.config.model_dump(), **(data or {})},
        **sections,
        "objective": {"name": task, **sections.get("objective", {})},
    }
    return Suggestion(Config.parse(values, "the suggested config"), reasons, for_size=for_size)


def suggest_plain(contents: Contents, task: str, data: Mapping[str, Any] | None = None) -> Suggestion:
    """Suggest a network by the kind and number of rows: a CNN for images, TabM for tables, else an MLP.

    Args:
        contents: of the data.
        task: the name of the task, which predicts the target.
        data: what else changes in `data`.
    """
    deep = contents.image_size is not None or contents.has_maps
    if not deep and _num_features(contents) <= MOST_FEATURES:
        return _suggest_table(contents, task, data)
    rows = contents.rows
    batch = batch_size(rows)
    epochs = number_of_epochs(rows, batch)
    stopping = {"patience": max(5, epochs // 5)} if rows < 5000 else None
    pictures = image_data(contents) if contents.image_size is not None else {}
    about = f"{contents.dataset.task} of {contents.dataset.target} from {described(contents)}"
    size = "tiny" if rows < 5000 else "small"
    series = looks_like_series(contents.dataset)
    array_model = ("lstm", "LSTM", "series") if series else ("cnn", "CNN", "pictures")
    return suggestion(
        contents,
        task,
        about if contents.dataset.target else described(contents),
        data={**pictures, **(data or {})},
        model={"name": array_model[0], "size": size} if deep else _mlp(rows),
        optimizer={"name": "adamw", "lr": 2e-3 if deep else 3e-3, "weight_decay": 0.01},
        schedule={"name": "one_cycle" if rows >= 5000 else "cosine"},
        train={"epochs": epochs, "batch_size": batch, "early_stopping": stopping},
        reasons=(
            f"a {size} {array_model[1]}, for {rows:,} {array_model[2]}"
            if deep
            else f"an MLP, for {rows:,} rows",
            *(resized(contents) if pictures else ()),
            epochs_reason(rows, batch, epochs),
        ),
    )


def _suggest_table(contents: Contents, task: str, data: Mapping[str, Any] | None) -> Suggestion:
    """Suggest an ensemble in one network, trained to the end of its schedule.

    Its last weights are kept: the best epoch of a few validation rows is a matter of chance, and costs more
    than it gains (measured in benchmarks/tables.py).
    """
    rows = contents.rows
    batch = next((size for most, size in TABLE_BATCHES.items() if rows < most), 1024)
    epochs = min(max(round(TABLE_STEPS * batch / rows), 5), 100)
    return suggestion(
        contents,
        task,
        f"{contents.dataset.task} of {contents.dataset.target} from {described(contents)}",
        data=data,
        model={"name": "tabm", "size": "small"},
        optimizer={"name": "adamw", "lr": 3e-3, "weight_decay": 0.02, "options": {"betas": [0.9, 0.95]}},
        schedule={"name": "cosine"},
        train={"epochs": epochs, "batch_size": batch, "restore_best": False},
        reasons=(
            "TabM, an ensemble in one network, for tables (Gorishniy et al. 2025)",
            epochs_reason(rows, batch, epochs),
        ),
    )


def _num_features(contents: Contents) -> float:
    """Return about how many numbers a row becomes; infinity where it has a text."""
    return sum(_width(column, contents.table) for column in contents.dataset.inputs)


def _width(column: Column, table: pa.Table) -> float:
    if column.kind == "text":
        return math.inf
    if column.kind == "category":
        return min(len(table[column.name].unique()), MOST_CATEGORIES) + 1
    return math.prod(getattr(table.schema.field(column.name).type, "shape", ()))


# ---- images ----------------------------------------------------------------------------------------


def image_data(contents: Contents) -> dict[str, Any]:
    """Return the settings that images to classify need in addition."""
    changes: dict[str, Any] = image_size(contents)
    if contents.config.augment == Augment.model_validate({}) and contents.rows < 50_000:
        changes["augment"] = {"shift": 0.08, "rotate": 8, "scale": 0.08}
    return changes


def image_size(contents: Contents, largest: int = LARGEST_SIDE) -> dict[str, Any]:
    """Return `image_size` where images are larger than networks learn from here; else nothing."""
    found = contents.image_size
    if contents.config.image_size is not None or found is None or max(found) <= largest:
        return {}
    return {"image_size": largest}


def resized(contents: Contents, largest: int = LARGEST_SIDE) -> tuple[str, ...]:
    """Return the reason for another size of images; () where they keep theirs."""
    if not image_size(contents, largest):
        return ()
    width, height = contents.image_size or (0, 0)
    return (f"pictures of {width} x {height} are resized to {largest} pixels, which trains much faster",)


# ---- sizes -----------------------------------------------------------------------------------------


def _mlp(rows: int) -> dict[str, Any]:
    """Suggest an MLP: wider for more rows, with dropout for few."""
    hidden = [32, 32] if rows < 1000 else [128, 64] if rows < 100_000 else [256, 128]
    return {"name": "mlp", "options": {"hidden": hidden, "dropout": 0.2 if rows < 10_000 else 0.0}}


def batch_size(rows: int) -> int:
    """Return a batch size for about 100 steps an epoch: 16 to 256, up to 1024 from a million rows."""
    size, most = 16, 256 if rows < 1_000_000 else 1024
    while size < most and size * 100 <= rows:
        size *= 2
    return size


def number_of_epochs(rows: int, batch: int) -> int:
    """Return more epochs for few rows, fewer for many."""
    wanted = 60 if rows < 2000 else 30 if rows < 20_000 else 15 if rows < 200_000 else 5
    return max(1, min(wanted, _MOST_STEPS * batch // max(rows, 1)))


def epochs_reason(rows: int, batch: int, epochs: int) -> str:
    """Say why training has this length."""
    steps = epochs * max(1, -(-rows // batch))
    return f"{epochs} epochs of {rows:,} rows, {batch} at a time: {steps:,} steps"


def described(contents: Contents) -> str:
    """Say in a few words what there is to learn from."""
    kinds = [column.kind for column in contents.dataset.inputs]
    if len(kinds) == 1:
        return f"one {kinds[0]} column" if kinds[0] != "image" else "images"
    return f"{len(kinds)} columns ({', '.join(sorted(set(kinds)))})"
