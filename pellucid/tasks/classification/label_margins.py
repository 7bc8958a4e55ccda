"""The margins of the training rows of a run: recorded while it trains, written when training ends."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from pellucid.data.preview import row_file
from pellucid.diagnosis.label_noise import ROWS, TABLE, Estimate, estimate
from pellucid.record import Run, files
from pellucid.tasks.prepared import Prepared
from pellucid.tasks.shared import scoring
from pellucid.tasks.shared.snapshots import save_blocks
from pellucid.train.margins import LabelMargins, Margins

MOST_ROWS = 2_000_000
"""Rows whose margins are recorded; more would make every checkpoint large."""
MOST_CLASSES = 30_000
SHOWN, FEW = 200, 12
"""Rows that are written with their pictures or texts: suspected ones, and at least."""
TITLE = "Labels that look wrong"


def label_margins(run: Run, prepared: Any) -> LabelMargins | None:
    """Return the callback that records the margins; None where rows have no label of their own."""
    if not isinstance(prepared, Prepared):
        return None
    why = _unsuitable(prepared)
    if why:
        run.update(labels={"missing": why})
        return None
    batches = prepared.training_batches()
    labels = prepared.preprocess.targets(prepared.dataset.splits["train"])
    return LabelMargins(labels, batches.row_numbers_of, lambda found: _write(run, prepared, found))


def _unsuitable(prepared: Prepared) -> str:
    augment, rows = prepared.config.data.augment, len(prepared.dataset.splits["train"])
    if augment.mixup or augment.cutmix:
        return "mixup and CutMix mix the labels of rows"
    if rows > MOST_ROWS:
        return f"there are {rows:,} training rows, and margins are recorded of at most {MOST_ROWS:,}"
    if len(prepared.preprocess.classes) > MOST_CLASSES:
        return f"there are more than {MOST_CLASSES:,} classes"
    if rows != len(prepared.rows["train"]):
        return "what is learned from are not the rows of the data"
    return ""


def _write(run: Run, prepared: Prepared, found: Margins) -> None:
    """Write the margins as a table, what they say to run.json, and rows for the report."""
    classes = list(prepared.preprocess.classes)
    made = estimate(found.label, found.margin, found.epochs, found.other)
    table = pa.table(
        {
            "row": np.arange(len(found.label)),
            "label": found.label,
            "margin": found.margin,
            "epochs": found.epochs,
            "other": found.other,
            "suspect": made.suspect,
        }
    )
    _parquet(run, TABLE, table)
    run.update(labels=made.facts(classes))
    _show(run, prepared, found, made, classes)


def _show(run: Run, prepared: Prepared, found: Margins, made: Estimate, classes: list[str]) -> None:
    """Write the rows whose labels the model contradicts most, also where none of them is suspected."""
    chosen = made.ranked[: max(FEW, min(SHOWN, made.count))]
    chosen = chosen[found.margin[chosen] < 0]
    if not len(chosen):
        return
    columns = {
        "row": chosen,
        "label": np.array(classes)[found.label[chosen]],
        "other": np.array(classes)[found.other[chosen]],
        "margin": found.margin[chosen],
        "suspect": made.suspect[chosen],
    }
    table = prepared.dataset.splits["train"]
    shown = scoring.shown(columns, table, prepared.preprocess.columns)
    files_of = [row_file(prepared.dataset, table, int(row)) for row in chosen]
    _parquet(run, ROWS, shown.append_column("file", pa.array(files_of, pa.string())))
    save_blocks(run, TITLE, [{"kind": "label_rows", "title": TITLE, "rows": ROWS, "suspected": made.count}])


def _parquet(run: Run, name: str, table: pa.Table) -> None:
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink)
    files.write(run.path / name, sink.getvalue().to_pybytes())
