"""The task."""

from pellucid.tasks.shared.supervised import Regression

TASK = Regression()
