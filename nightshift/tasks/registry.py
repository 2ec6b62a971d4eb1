"""Finds the tasks: every module of `nightshift.tasks` that defines TASK."""

import importlib
import pkgutil
from collections.abc import Mapping
from functools import cache
from typing import Any

import nightshift.tasks
from nightshift.errors import ConfigurationError
from nightshift.tasks.base import Preset, Task


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


def preset_of(chosen: Task, name: str, changes: Mapping[str, Any] | None = None) -> Preset:
    """A task's preset with settings changed; TASK.PRESET borrows that of another task.

    Raises:
        ConfigurationError: no such task, preset or setting, a bad value, or a preset for another kind of problem.
    """
    owner, dot, own = name.rpartition(".")
    lender = task(owner) if dot else chosen
    if own not in lender.presets:
        raise ConfigurationError(
            f"--preset {name}: task {lender.name!r} has no such preset; it has {', '.join(lender.presets)}"
        )
    if (lender.problem == "puzzle") != (chosen.problem == "puzzle"):
        raise ConfigurationError(
            f"--preset {name}: trains {lender.problem} networks, expected one that task {chosen.name!r} can use"
        )
    return lender.presets[own].with_settings(changes or {})
