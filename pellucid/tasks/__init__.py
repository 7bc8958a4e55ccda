"""What can be learned: each task knows its data, its objective, its measures and what to show of its results.

A task is a folder: `spec.py` with what it says about itself (`SPEC`, without torch) and `task.py` with what
it does (`TASK`). Folders in this package are found automatically; others are registered, or installed under
the entry point group `pellucid.tasks`. In: a dataset and a config. Out: batches, an objective, and an
`Outcome`. A task imports data, training, evaluation and the records; models only to generate with them.
Importing this package does not import torch.
"""

from __future__ import annotations

import importlib
from types import ModuleType
from typing import TYPE_CHECKING

from pellucid.record import spec as specs
from pellucid.record.spec import task_names

if TYPE_CHECKING:
    from pellucid.tasks.task import Task

__all__ = ["get_task", "register", "task_names"]


def get_task(name: str) -> Task:
    """Return a task by its name, an earlier name of it, or the name of its package.

    Raises:
        UnknownNameError: there is no such task.
    """
    return importlib.import_module(f"{specs.package_of(name)}.task").TASK


def register(package: ModuleType | str) -> None:
    """Make a package with `spec.py` and `task.py` a task, so that configs can name it.

    Args:
        package: the package, or its importable name.

    Raises:
        UsageError: it is not importable, has no spec, or its name is taken.
    """
    specs.register(package if isinstance(package, str) else package.__name__)
