"""The problem of a task."""

from nightshift.problems.classification import Classification
from nightshift.problems.grouped import GroupedClassification
from nightshift.problems.puzzle import Puzzle
from nightshift.tasks.base import Task


def problem_of(task: Task, classes: tuple[str, ...]) -> Classification | Puzzle:
    """What stands between the task's data, its network and its endpoint.

    Args:
        task: what is learnt.
        classes: the dataset's class names in the order of their labels.
    """
    if task.problem == "puzzle":
        return Puzzle(task.grid)
    return GroupedClassification(classes, task.groups) if task.problem == "grouped" else Classification(classes)
