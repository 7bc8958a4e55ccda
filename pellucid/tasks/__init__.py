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
from typing import TYPE_CHECKING, Any

from pellucid.errors import UsageError
from pellucid.extensions import explain
from pellucid.record import spec as specs
from pellucid.record.spec import task_names

if TYPE_CHECKING:
    from pellucid.tasks.task import Task

__all__ = ["get_task", "register", "task_names"]


def get_task(name: str) -> Task:
    """Return a task by its name, an earlier name of it, or the name of its package.

    Raises:
        UnknownNameError: there is no such task.
        UsageError: its `task.py` cannot be imported, or has no `TASK`.
    """
    return _load(specs.package_of(name))


def register(package: ModuleType | str) -> None:
    """Make a package with `spec.py` and `task.py` a task, so that configs can name it.

    Args:
        package: the package, or its importable name.

    Raises:
        UsageError: it is not importable, its spec or its task is missing or wrong, or its name is taken.
    """
    if not isinstance(package, str | ModuleType):
        raise UsageError(f"register expects a package or its name, received {type(package).__name__}.")
    name = package if isinstance(package, str) else package.__name__
    before = list(specs._registered)
    specs.register(name)
    try:
        _load(name)
    except UsageError:
        specs._registered[:] = before
        specs.specs.cache_clear()
        raise


def _load(package: str) -> Task:
    """Import the task of a package.

    Raises:
        UsageError: its `task.py` cannot be imported, or has no `TASK`.
    """
    name = f"{package}.task"
    try:
        module = importlib.import_module(name)
    except (Exception, SystemExit) as error:
        if isinstance(error, ModuleNotFoundError) and error.name == name:
            raise UsageError(f"{package} has no task.py: expected one with TASK = ...") from None
        raise UsageError(f"{name} cannot be imported: {explain(error)}.") from error
    task: Any = getattr(module, "TASK", None)
    base = importlib.import_module("pellucid.tasks.task").Task
    if not isinstance(task, base):
        found = f"the class {task.__name__}, without ()" if isinstance(task, type) else type(task).__name__
        raise UsageError(
            f"{name} ({module.__file__}): expected TASK, an instance of a subclass of Task; found {found}."
        )
    if not isinstance(getattr(task, "spec", None), specs.TaskSpec):
        raise UsageError(f"{name} ({module.__file__}): expected {type(task).__name__}.spec = SPEC.")
    return task
