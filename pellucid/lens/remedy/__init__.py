"""Remedies of a training loop that are run, and proven against the unchanged loop.

`verify(train, make)` takes a loop and its parts, has the watch find what is wrong, tries remedies on new
parts, and says what helps. Remedies are functions from parts to parts, one file a topic; none needs the
source of the loop. The statistics are those of `pellucid.diagnosis.trials`.
"""

from pellucid.lens.remedy import (  # noqa: F401  (each registers its remedies)
    adversaries,
    budget,
    initial,
    labels,
    layers,
    losses,
    modes,
    optimizers,
    scaling,
    sequences,
    stepping,
)
from pellucid.lens.remedy.parts import Parts, Unfit
from pellucid.lens.remedy.registry import REMEDIES, Case, Remedy, remedies_for, remedy
from pellucid.lens.remedy.verification import Verification
from pellucid.lens.remedy.verify import verify

__all__ = [
    "REMEDIES",
    "Case",
    "Parts",
    "Remedy",
    "Unfit",
    "Verification",
    "remedies_for",
    "remedy",
    "verify",
]
