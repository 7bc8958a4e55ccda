"""The composition root: config -> dataset, model, objective, trainer -> run.

The one place where data, models and training meet. Everything that trains goes through `train`: Python's
`fit`, the command line and the recipes; a study trains its parts with it. In: a config, or its parts. Out: a
finished run. Imports all that lies below; nothing below imports it.
"""

from pellucid.build.loaded import find_judge, finished_runs, load_trained
from pellucid.build.parts import OWN_MODEL, make_model, make_trainer
from pellucid.build.prepared import prepare
from pellucid.build.profiling import Profiled, profile
from pellucid.build.resume import Resume
from pellucid.build.study import train_study
from pellucid.build.training import find_lr, train

__all__ = [
    "OWN_MODEL",
    "Profiled",
    "Resume",
    "find_judge",
    "find_lr",
    "finished_runs",
    "load_trained",
    "make_model",
    "make_trainer",
    "prepare",
    "profile",
    "train",
    "train_study",
]
