"""Finds the tasks: every module of `nightshift.tasks` that defines TASK."""

import importlib
import pkgutil
from functools import cache

import nightshift.tasks
from nightshift.errors import ConfigurationError
from nightshift.tasks.base import Task


@cache
def tasks() -> dict[str, Task]:
    """All tasks by name."""
    found: dict[str, Task] = {}
    for module in pkgutil.iter_modules(nightshift.tasks.__path__):
        task = getattr(importlib.import_module(f"nightshift.tasks.{module.name}"), "TASK", None)
        if isinstance(task, Task):
            found[task.name] = task
    return found


def task(name: str) -> Task:
    """The task of that name.

    Raises:
        ConfigurationError: there is none.
    """
    if name not in tasks():
        raise ConfigurationError(f"task {name!r}: no such task; there are {', '.join(sorted(tasks()))}")
    return tasks()[name]
