"""The objectives: cross-entropy of a class, or the squared error of numbers, at every step with a label."""

from __future__ import annotations

from functools import partial

from pellucid.tasks.shared.step_objective import step_classes, step_numbers

steps = partial(step_classes, "steps")
"""One class out of K at every step; takes what `step_classes` takes."""
numbers = partial(step_numbers, "steps")
"""D numbers at every step; takes what `step_numbers` takes."""
