"""Which layout the arrays of a dataset have for a model: as the model reads them, or as it can take them."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import replace

import torch
from torch import nn
from torch.nn.parameter import is_lazy

from pellucid.batch import call_model
from pellucid.data import inputs
from pellucid.data.dataset import Column, Dataset
from pellucid.data.layout import as_ids, layout_of, set_layout
from pellucid.data.preprocess import Preprocess
from pellucid.nn.device import device_of
from pellucid.nn.modes import evaluating

PROBED = 64
"""Training rows that are encoded to find out what a module takes."""


def arranged(
    dataset: Dataset, model: nn.Module | None, fitted: Preprocess | None, *, sequences: bool, own: bool
) -> Dataset:
    """Return a dataset whose arrays have the layout that a model reads.

    Args:
        dataset: with its splits made.
        model: the user's own module; None for one that is built by name.
        fitted: the preprocessing of a model that has been trained, whose layout is used.
        sequences: whether a model built by name reads sequences.
        own: whether the model is the user's own module.
    """
    if fitted is not None:
        return set_layout(dataset, next((layout_of(column) for column in fitted.columns), None))
    column = _arrays(dataset)
    if column is not None and layout_of(column) is not None:
        return dataset
    if not own:
        return _for_ours(dataset) if sequences else dataset
    return dataset if model is None else _for_module(dataset, model)


def _arrays(dataset: Dataset) -> Column | None:
    found = inputs.whole_column(dataset.inputs, dataset.splits["train"].schema)
    return found[0] if found is not None and found[0].kind == "tensor" else None


def _for_ours(dataset: Dataset) -> Dataset:
    """Ids for whole numbers of a matrix, a series for arrays (T, C)."""
    column = _arrays(dataset)
    if column is not None and len(dataset.splits["train"].schema.field(column.name).type.shape) == 2:
        return set_layout(dataset, "series")
    return as_ids(dataset) or dataset


def _for_module(dataset: Dataset, model: nn.Module) -> Dataset:
    """Return the first layout that a module can take, with a note; as it is if it takes none."""
    tried = list(_layouts(dataset, model))
    if len(tried) < 2:
        return tried[0] if tried else dataset
    taken = next((one for one in tried if _takes(model, one)), None)
    if taken is None or taken is tried[0]:
        return tried[0]
    column = taken.inputs[0]
    said = {
        "ids": "whole numbers, which the model takes as ids",
        "image": "images (C, H, W), which the model takes",
        None: "numbers, which the model takes",
    }[layout_of(column)]
    return replace(taken, notes=(*taken.notes, f"{column.name}: passed on as {said}"))


def _layouts(dataset: Dataset, model: nn.Module) -> Iterator[Dataset]:
    """Yield a dataset with every layout that its inputs may have, the likeliest first."""
    known = [module.num_embeddings for module in model.modules() if isinstance(module, nn.Embedding)]
    ids, embeds = as_ids(dataset, max(known, default=0)), bool(known)
    if ids is not None and embeds:
        yield ids
    if _arrays(dataset) is None:
        yield dataset
    else:
        yield set_layout(dataset, "plain")
        if len(_row_shape(dataset)) in (2, 3):
            yield set_layout(dataset, "image")
    if ids is not None and not embeds:
        yield ids


def _row_shape(dataset: Dataset) -> tuple[int, ...]:
    column = _arrays(dataset)
    return () if column is None else tuple(dataset.splits["train"].schema.field(column.name).type.shape)


def _takes(model: nn.Module, dataset: Dataset) -> bool:
    """Whether a module computes something for two rows of a dataset."""
    few = dataset.with_splits({"train": dataset.splits["train"].slice(0, PROBED)})
    preprocess = Preprocess.fit(replace(few, target=None, columns=few.inputs, task=None))
    rows = preprocess.inputs(few.splits["train"].slice(0, 2))
    lazy = any(is_lazy(part) for part in (*model.parameters(), *model.buffers()))
    probed = copy.deepcopy(model) if lazy else model
    device = device_of(probed)
    state = torch.get_rng_state()
    try:
        with evaluating(probed):
            call_model(probed, rows.to(device))
    except Exception:  # whatever a module of the user's raises, it does not take this
        return False
    finally:
        torch.set_rng_state(state)
    return True
