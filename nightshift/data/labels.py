"""From the classes as the data name them to labels 0, 1, ..."""

from collections.abc import Collection

from nightshift.data.limits import MAX_CLASSES
from nightshift.data.spool import Spool
from nightshift.errors import DataError
from nightshift.tasks.base import Task


def set_labels(spool: Spool, task: Task, source: str) -> list[str]:
    """Turn every label of a spool into its number (-1: unlabelled) and return the classes' names in that order.

    Folders give names, arrays give numbers. The task's classes, if it names any, have to be the same set; otherwise
    names are sorted.

    Raises:
        DataError: the classes are not the task's, there is only one, or a label is out of range.
    """
    execute = spool.connection.execute
    if not task.labelled:
        execute("UPDATE examples SET label = -1")
        return []
    found = {row[0] for row in execute(f"SELECT DISTINCT label FROM examples LIMIT {MAX_CLASSES + 1}")}
    classes = classes_of(found, task, source)
    if any(isinstance(label, str) for label in found):
        execute("CREATE TEMP TABLE classes (name TEXT PRIMARY KEY, label INTEGER)")
        spool.connection.executemany(
            "INSERT INTO classes VALUES (?, ?)", [(name, label) for label, name in enumerate(classes)]
        )
        execute("UPDATE examples SET label = (SELECT label FROM classes WHERE name = examples.label)")
    return classes


def classes_of(found: Collection[str | int], task: Task, source: str) -> list[str]:
    """The names of the classes in the order of their labels.

    Args:
        found: every label that occurs, all names or all numbers; of more than MAX_CLASSES any MAX_CLASSES + 1.
        task: labelled; see `set_labels`.
        source: its name, for errors.

    Raises:
        DataError: as `set_labels` does.
    """
    if len(found) > MAX_CLASSES:
        raise DataError(f"{source}: found more than {MAX_CLASSES} classes")
    names = {label for label in found if isinstance(label, str)}
    if names:
        classes = _check_names(names, task, source)
    else:
        classes = _check_numbers({int(label) for label in found}, task, source)
    if len(classes) < 2:
        raise DataError(f"{source}: found the single class {_listed(set(classes))}, expected at least two")
    return classes


def _check_names(names: set[str], task: Task, source: str) -> list[str]:
    classes = list(task.classes) or sorted(names)
    if set(classes) != names:
        raise DataError(
            f"{source}: found the classes {_listed(names)}, expected those of task {task.name!r}: "
            f"{_listed(set(classes))}"
        )
    return classes


def _check_numbers(labels: set[int], task: Task, source: str) -> list[str]:
    classes = list(task.classes) or [str(label) for label in range(min(max(labels) + 1, MAX_CLASSES))]
    wrong = sorted(label for label in labels if not 0 <= label < len(classes))
    if wrong:
        raise DataError(f"{source}: found the label {wrong[0]}, expected 0 to {len(classes) - 1}")
    return classes


def _listed(names: set[str]) -> str:
    shown = ", ".join(sorted(names)[:20])
    return f"{shown}, ... ({len(names)})" if len(names) > 20 else shown
