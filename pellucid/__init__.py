"""Pellucid: a deep-learning toolkit on PyTorch that you can see through.

    import pellucid

    data = pellucid.load("digits")
    run = pellucid.fit(pellucid.models.CNN(num_classes=10), data, epochs=3)
    run.report()

The names below are loaded when they are first used, so `import pellucid` is quick and needs no torch.
"""

import importlib
import os
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if "OMP_WAIT_POLICY" not in os.environ:
    # How many turns a waiting thread of GNU OpenMP spins before it sleeps; torch reads it when it is loaded.
    # The default of 300,000 keeps the processor from the thread that is waited for when another program is
    # busy: a run took 3.7 times as long (`benchmarks/beside.py`). With 1,000 a GPT took 1.6 times when idle.
    os.environ.setdefault("GOMP_SPINCOUNT", "10000")

_WHERE = {
    "load": "pellucid.data.sources.open_source",
    "arrays": "pellucid.data.sources.arrays",
    "image_folder": "pellucid.data.sources.folder",
    "csv": "pellucid.data.sources.tables",
    "parquet": "pellucid.data.sources.tables",
    "Dataset": "pellucid.data.dataset",
    "Config": "pellucid.config",
    "Callback": "pellucid.train.callbacks",
    "Trainer": "pellucid.train.trainer",
    "check": "pellucid.lens.preflight",
    "Objective": "pellucid.train.objective",
    "Phase": "pellucid.train.objective",
    "lr_find": "pellucid.train.lr_find",
    "load_model": "pellucid.pretrained",
    "diagnose": "pellucid.diagnosing",
    "fix": "pellucid.diagnosing",
    "look": "pellucid.looking",
    "view": "pellucid.looking",
    "views": "pellucid.looking",
    "explain": "pellucid.explaining",
    "fit": "pellucid.api",
    "Run": "pellucid.api",
    "Classifier": "pellucid.estimators",
    "Regressor": "pellucid.estimators",
    "PellucidError": "pellucid.errors",
    "step_through": "pellucid.lens.step",
    "suspicious_rows": "pellucid.label_rows",
    "verify": "pellucid.lens.remedy",
    "watch": "pellucid.lens.watch",
    "watch_lightning": "pellucid.lens.watch",
    "watch_trainer": "pellucid.lens.watch",
}

_MODULES = {"models": "pellucid.models", "toy": "pellucid.data.sources.toy"}

__all__ = [
    "Callback",
    "Classifier",
    "Config",
    "Dataset",
    "Objective",
    "PellucidError",
    "Phase",
    "Regressor",
    "Run",
    "Trainer",
    "arrays",
    "check",
    "csv",
    "diagnose",
    "explain",
    "fit",
    "fix",
    "image_folder",
    "load",
    "load_model",
    "look",
    "lr_find",
    "models",
    "parquet",
    "step_through",
    "suspicious_rows",
    "toy",
    "verify",
    "view",
    "views",
    "watch",
    "watch_lightning",
    "watch_trainer",
]

if TYPE_CHECKING:
    from pellucid import models
    from pellucid.api import Run, fit
    from pellucid.config import Config
    from pellucid.data.dataset import Dataset
    from pellucid.data.sources import toy
    from pellucid.data.sources.arrays import arrays
    from pellucid.data.sources.folder import image_folder
    from pellucid.data.sources.open_source import load
    from pellucid.data.sources.tables import csv, parquet
    from pellucid.diagnosing import diagnose, fix
    from pellucid.errors import PellucidError
    from pellucid.estimators import Classifier, Regressor
    from pellucid.explaining import explain
    from pellucid.label_rows import suspicious_rows
    from pellucid.lens.preflight import check
    from pellucid.lens.remedy import verify
    from pellucid.lens.step import step_through
    from pellucid.lens.watch import watch, watch_lightning, watch_trainer
    from pellucid.looking import look, view, views
    from pellucid.pretrained import load_model
    from pellucid.train.callbacks import Callback
    from pellucid.train.lr_find import lr_find
    from pellucid.train.objective import Objective, Phase
    from pellucid.train.trainer import Trainer


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        value = importlib.import_module(_MODULES[name])
    elif name in _WHERE:
        value = getattr(importlib.import_module(_WHERE[name]), name)
    else:
        raise AttributeError(f"module 'pellucid' has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
