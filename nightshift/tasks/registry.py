"""Finds the tasks: every module of `nightshift.tasks` that defines TASK."""

import importlib
import pkgutil
from collections.abc import Mapping
from functools import cache
from typing import Any

import nightshift.tasks
from nightshift.errors import ConfigurationError
from nightshift.tasks.base import Preset, Task
from nightshift.tasks.imported import ImportedTask

LENDERS = {"grouped": ("grouped", "classification")}
"""Whose presets a problem may borrow, besides its own: a network made for one answer gives several by more outputs."""


@cache
def tasks() -> dict[str, Task]:
    """All tasks that are trained, by name."""
    return {found.name: found for found in _defined() if isinstance(found, Task)}


@cache
def imported_tasks() -> dict[str, ImportedTask]:
    """All tasks whose models are imported, by name."""
    return {found.name: found for found in _defined() if isinstance(found, ImportedTask)}


def _defined() -> list[Any]:
    modules = (module.name for module in pkgutil.iter_modules(nightshift.tasks.__path__))
    return [getattr(importlib.import_module(f"nightshift.tasks.{name}"), "TASK", None) for name in modules]


def task(name: str) -> Task:
    """The trained task of that name.

    Raises:
        ConfigurationError: there is none, or its models are imported.
    """
    if name in imported_tasks():
        raise ConfigurationError(
            f"task {name!r}: its models are imported, not trained: python -m pipelines.import_model {name} SOURCE"
        )
    if name not in tasks():
        raise ConfigurationError(f"task {name!r}: no such task; there are {', '.join(sorted(tasks()))}")
    return tasks()[name]


def imported_task(name: str) -> ImportedTask:
    """The task of that name whose models are imported.

    Raises:
        ConfigurationError: there is none, or its models are trained.
    """
    if name in tasks():
        raise ConfigurationError(f"task {name!r}: its models are trained, not imported: python -m pipelines.run {name}")
    if name not in imported_tasks():
        raise ConfigurationError(f"task {name!r}: no such task; imported are {', '.join(sorted(imported_tasks()))}")
    return imported_tasks()[name]


def preset_of(chosen: Task, name: str, changes: Mapping[str, Any] | None = None) -> Preset:
    """A task's preset with settings changed; TASK.PRESET borrows that of another task, of a problem that it can use.

    Raises:
        ConfigurationError: no such task, preset or setting, a bad value, or a preset for another kind of problem.
    """
    owner, dot, own = name.rpartition(".")
    lender = task(owner) if dot else chosen
    if own not in lender.presets:
        raise ConfigurationError(
            f"--preset {name}: task {lender.name!r} has no such preset; it has {', '.join(lender.presets)}"
        )
    if lender.problem not in LENDERS.get(chosen.problem, (chosen.problem,)):
        raise ConfigurationError(
            f"--preset {name}: trains {lender.problem} networks, expected one that task {chosen.name!r} can use"
        )
    return lender.presets[own].with_settings(changes or {})


def source_of(chosen: Task, given: str) -> str:
    """Where a task's data are: what was given, or else its own.

    Raises:
        ConfigurationError: nothing was given, and it has none.
    """
    if not (given or chosen.source):
        raise ConfigurationError(
            f"task {chosen.name} has no data of its own: give --data, a folder, an archive or an address of one"
        )
    return given or chosen.source
