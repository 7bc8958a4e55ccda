"""The task."""

from pellucid.tasks.shared.supervised import Classification

TASK = Classification()
