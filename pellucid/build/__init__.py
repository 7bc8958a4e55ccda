"""The composition root: config -> dataset, model, objective, trainer -> run.

The one place where data, models and training meet. Everything that trains goes through `train`: Python's
`fit`, the command line and the recipes. In: a config, or its parts. Out: a finished run. Imports all that
lies below; nothing below imports it.
"""

from pellucid.build.parts import OWN_MODEL, make_model, make_objective, make_trainer
from pellucid.build.prepared import EVAL_BATCH, EVALUATED, Prepared, prepare
from pellucid.build.training import Resume, find_lr, train

__all__ = [
    "EVALUATED",
    "EVAL_BATCH",
    "OWN_MODEL",
    "Prepared",
    "Resume",
    "find_lr",
    "make_model",
    "make_objective",
    "make_trainer",
    "prepare",
    "train",
]
