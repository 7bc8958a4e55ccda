"""The tagging objective: cross-entropy of a class at every step, without padding."""

from __future__ import annotations

from functools import partial

from pellucid.tasks.shared.step_objective import step_classes

tagging = partial(step_classes, "tagging")
"""One tag out of K for every token; takes what `step_classes` takes."""
