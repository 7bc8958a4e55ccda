"""The task."""

from pellucid.tasks.shared.supervised import Multilabel

TASK = Multilabel()
