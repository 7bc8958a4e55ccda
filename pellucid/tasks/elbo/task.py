"""The task."""

from pellucid.tasks.reconstruction.task import Elbo

TASK = Elbo()
