"""When labels of steps are offered, and the config it suggests."""

from __future__ import annotations

from functools import partial

import numpy as np

from pellucid.data.compute import pc
from pellucid.data.contents import Contents
from pellucid.data.offers import Offer, Proposal, Suggestion
from pellucid.data.suggest import epochs_reason, suggestion

UPDATES = 1500
FEW_STEPS = 50_000
"""Up to this many steps in all rows, the tiny network is suggested."""


def _propose(contents: Contents) -> Proposal | None:
    dataset = contents.dataset
    if dataset.target is not None and _may_be_steps(contents):
        learns = f"a label for each of {_steps(contents):,} steps of a series, instead of as many targets"
        return Proposal(learns, 0.2, partial(_suggest, contents))
    if contents.predicts != "steps" or dataset.target is None:
        return None
    classes = dataset.classes
    shown = ", ".join(classes[:4]) + (" ..." if len(classes) > 4 else "")
    what = f"a class ({shown})" if classes else "a number"
    return Proposal(f"{what} for each of {_steps(contents):,} steps", 0.95, partial(_suggest, contents))


def _may_be_steps(contents: Contents) -> bool:
    """Whether a file of arrays has as many targets a row as inputs."""
    target = contents.table.schema.field(str(contents.dataset.target)).type
    if contents.fixed or contents.dataset.source.kind != "arrays" or contents.predicts == "steps":
        return False
    types = [contents.table.schema.field(column.name).type for column in contents.dataset.inputs]
    shapes = [tuple(getattr(kind, "shape", ())) for kind in types]
    length = len(shapes) if not any(shapes) else next(iter(shapes[0]), 0)
    return list(getattr(target, "shape", ())) == [length] and length > 1


def _steps(contents: Contents) -> int:
    values = contents.table[str(contents.dataset.target)]
    shape = getattr(values.type, "shape", None)
    return int(shape[0]) if shape else int(pc.max(pc.list_value_length(values)).as_py())


def _suggest(contents: Contents, budget: float | None = None) -> Suggestion:
    rows, steps = contents.rows, _steps(contents)
    batch = 8 if rows < 200 else 32 if rows < 5000 else 64
    epochs = int(np.clip(UPDATES * batch // rows, 5, 60))
    size = "tiny" if rows * steps < FEW_STEPS else "small"
    return suggestion(
        contents,
        "steps",
        f"{contents.dataset.target} of every step, a bidirectional LSTM",
        model={"name": "lstm", "size": size, "options": {"dropout": 0.1}},
        optimizer={"name": "adamw", "lr": 3e-3, "weight_decay": 0.01},
        schedule={"name": "one_cycle"},
        train={"epochs": epochs, "batch_size": batch, "clip_grad_norm": 1.0},
        reasons=(
            f"an LSTM in both directions for {rows * steps:,} steps: a label depends on the steps around it",
            epochs_reason(rows, batch, epochs),
        ),
    )


OFFERS = (
    Offer(
        ("steps", "label-steps", "segment-series"),
        "series X (N, T, C) with a label or a number for each step, y (N, T)",
        _propose,
    ),
)
