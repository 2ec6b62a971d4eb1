"""How a worker says on standard output how far it is, and how the train step reads that in its log."""

import re

PROGRESS = re.compile(r" *(\d{1,3}\.\d{2})% (.*)")
GOING_ON = "going on after"
"""Begins the message of a training that has found its checkpoint."""


def progress_line(fraction: float, message: str) -> str:
    """A share of all work from 0 to 1, and what is done, as a line."""
    return f"{100 * fraction:6.2f}% {message}"


def read_progress(line: str) -> tuple[float, str] | None:
    """What `progress_line` was given, None if the line is not one of its."""
    found = PROGRESS.fullmatch(line)
    return (float(found[1]) / 100, found[2]) if found else None
