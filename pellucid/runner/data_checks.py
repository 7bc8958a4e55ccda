"""Checks of the data of a run, within a bounded time: copies, splits that differ, scale, revealing columns.

What they find is recorded in run.json (`data_checks`), which the rules in `diagnosis/rules/data.py` read.
"""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch

from pellucid.data import hashing
from pellucid.data.inspect import revealing_columns
from pellucid.data.near_copies import PAIRS, QUERIES, SEARCHED, Features, Pair, domain_auc, near_copies
from pellucid.record import Run, files
from pellucid.tasks.prepared import EVALUATED, Prepared

COPIES = "evaluation/copies.json"
"""Pairs of rows that are copies, and all held-out rows that are also in train, within a run folder."""
MOST = 200_000
"""Rows of a split that are compared by their hashes."""
NEAR_KINDS = {"image", "tensor", "text"}
"""Kinds of columns whose rows can be nearly the same; rows of a plain table are equal or they are not."""


def check_data(run: Run, prepared: Any) -> None:
    """Check the data of a run before it trains; where its time is very short, only for exact copies."""
    if not isinstance(prepared, Prepared) or "data_checks" in run.facts:
        return
    if len(prepared.rows["train"]) != len(prepared.dataset.splits["train"]):
        return
    begun = time.perf_counter()
    try:
        with run.timed("checking the data"):
            copies, found = _check(prepared)
    except Exception as error:  # no check is worth a run
        run.note(f"The data could not be checked: {type(error).__name__}: {error}.")
        return
    files.write_json(run.path / COPIES, copies)
    run.update(data_checks={**found, "seconds": round(time.perf_counter() - begun, 3)})


def _check(prepared: Prepared) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return all copies, and what run.json holds."""
    copies = _copies(prepared)
    counted = {
        split: {key: value for key, value in one.items() if key != "rows_of"} for split, one in copies.items()
    }
    return copies, {
        "copies": counted,
        "shift": {} if prepared.short else _shift(prepared),
        "scale": _scale(prepared),
        "revealing": revealing_columns(prepared.dataset),
    }


def measure_without_copies(run: Run) -> None:
    """Add to `data_checks` the accuracy on held-out rows that are not also in train."""
    checks = run.facts.get("data_checks") or {}
    if not checks or not (run.path / COPIES).is_file():
        return
    rows_of = files.read_json(run.path / COPIES)
    for split in EVALUATED:
        copied, file = rows_of.get(split, {}).get("rows_of"), run.path / "evaluation" / f"{split}.parquet"
        if not copied or not file.is_file():
            continue
        table = pq.read_table(file)
        if not {"row", "target", "prediction"} <= set(table.column_names) or run.task != "classification":
            continue
        right = table["target"].to_numpy() == table["prediction"].to_numpy()
        others = ~np.isin(table["row"].to_numpy(), copied)
        if others.any():
            checks["copies"][split] |= {
                "accuracy": float(right.mean()),
                "without": float(right[others].mean()),
            }
    run.update(data_checks=checks)


def _copies(prepared: Prepared) -> dict[str, dict[str, Any]]:
    """Find copies: of rows of train within train, of held-out rows in train."""
    dataset = prepared.dataset
    names = [column.name for column in dataset.inputs]
    near = {column.kind for column in dataset.inputs} <= NEAR_KINDS and not prepared.short
    tables = {
        split: _first(dataset.splits[split]) for split in ("train", *EVALUATED) if split in dataset.splits
    }
    hashes = {split: hashing.rows(table, names) for split, table in tables.items()}
    train = hashes["train"]
    order = np.argsort(train, kind="stable")
    tokens = prepared.preprocess.vocab_size is not None
    searched = Features(prepared.rows["train"], SEARCHED, tokens=tokens) if near else None
    found: dict[str, dict[str, Any]] = {}
    for split, hashed in hashes.items():
        if split == "train":
            repeats = np.ones(len(train), bool)
            repeats[np.unique(train, return_index=True)[1]] = False
            exact = np.flatnonzero(repeats)
        else:
            exact = np.flatnonzero(np.isin(hashed, train))
        first = order[np.searchsorted(train[order], hashed[exact])]
        pairs = [Pair(int(a), int(b), 1.0) for a, b in zip(exact[:PAIRS], first[:PAIRS], strict=True)]
        entry: dict[str, Any] = {"rows": len(hashed), "exact": len(exact), "near": 0, "searched": 0}
        close: list[Pair] = []
        if searched is not None:
            queries = Features(prepared.rows[split], QUERIES, tokens=tokens)
            known = set(exact.tolist())
            close = near_copies(queries, searched, same_split=split == "train")
            close = [pair for pair in close if pair.row not in known and pair.other not in known]
            entry |= {"near": len(close), "searched": len(queries)}
        entry["pairs"] = [[pair.row, pair.other, round(pair.alike, 4)] for pair in [*pairs, *close[:PAIRS]]]
        entry["rows_of"] = [] if split == "train" else [*exact.tolist(), *(pair.row for pair in close)]
        found[split] = entry
    return found


def _first(table: pa.Table) -> pa.Table:
    return table.slice(0, MOST)


def _shift(prepared: Prepared) -> dict[str, Any]:
    """Say how well a classifier tells each held-out split from train, and by which columns."""
    tokens, found = prepared.preprocess.vocab_size is not None, {}
    train = Features(prepared.rows["train"], QUERIES, tokens=tokens)
    for split in EVALUATED:
        if split in prepared.rows:
            held = Features(prepared.rows[split], QUERIES, tokens=tokens)
            auc = domain_auc(train, held)
            if auc is not None:
                found[split] = {
                    "auc": round(auc[0], 4),
                    "error": round(auc[1], 4),
                    "columns": _columns(prepared, train, held),
                }
    return found


def _columns(prepared: Prepared, train: Features, held: Features) -> list[list[Any]]:
    """Return the three inputs whose means differ most between the splits, in standard deviations."""
    names = prepared.preprocess.feature_names
    if len(names) != train.values.shape[1]:
        return []
    both = torch.cat([train.values, held.values])
    distance = (train.values.mean(0) - held.values.mean(0)) / both.std(0).clamp(min=1e-6)
    worst = distance.abs().topk(min(3, len(names))).indices.tolist()
    return [[names[i], round(float(distance[i]), 3)] for i in worst]


def _scale(prepared: Prepared) -> dict[str, Any]:
    """Return mean and spread of what the model receives, where that are numbers."""
    if prepared.preprocess.vocab_size is not None:
        return {}
    sample = Features(prepared.rows["train"], QUERIES, tokens=False).values
    spread = sample.std(0)
    return {
        "mean": float(sample.mean()),
        "std": float(sample.std()),
        "largest": float(spread.max()),
        "constant": int((spread < 1e-9).sum()),
        "inputs": sample.shape[1],
    }
