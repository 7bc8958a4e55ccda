"""The composition root: config -> dataset, model, objective, trainer -> run.

Data, models and training only meet here. Everything that trains calls `train`: Python's `fit`, the command
line, the recipes, and a study for each of its parts. Input: a config, or its parts. Output: a finished run.
It may import every lower layer; no lower layer imports it. Names are imported when they are first used, so
that predicting does not load what only training needs.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pellucid.runner.components import make_trainer
    from pellucid.runner.data import prepare
    from pellucid.runner.load import finished_runs, load_needed, load_trained
    from pellucid.runner.model_builder import OWN_MODEL, make_model
    from pellucid.runner.profiling import Profiled, profile
    from pellucid.runner.resume import Resume
    from pellucid.runner.run_study import train_study
    from pellucid.runner.supplied import Supplied, reference
    from pellucid.runner.training import find_lr, train

__all__ = [
    "OWN_MODEL",
    "Profiled",
    "Resume",
    "Supplied",
    "find_lr",
    "finished_runs",
    "load_needed",
    "load_trained",
    "make_model",
    "make_trainer",
    "prepare",
    "profile",
    "reference",
    "train",
    "train_study",
]

_FILES = {
    "components": ("make_trainer",),
    "model_builder": ("OWN_MODEL", "make_model"),
    "data": ("prepare",),
    "load": ("finished_runs", "load_needed", "load_trained"),
    "profiling": ("Profiled", "profile"),
    "resume": ("Resume",),
    "run_study": ("train_study",),
    "supplied": ("Supplied", "reference"),
    "training": ("find_lr", "train"),
}


def __getattr__(name: str) -> Any:
    for file, names in _FILES.items():
        if name in names:
            value = getattr(importlib.import_module(f"{__name__}.{file}"), name)
            globals()[name] = value
            return value
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
