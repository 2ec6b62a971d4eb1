"""What an exported model was held against and what was found: for the record, its page, its card and the error."""

import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from nightshift.errors import StoreError


class ExportRefusedError(StoreError):
    """An exported model must not be released; says what was found and what was expected."""


@dataclass(frozen=True)
class Check:
    """One thing that an exported model was held against.

    Attributes:
        kind: `server`, `load`, `answers`, `latency` or `memory`.
        signature: whose; empty where it is the whole model's.
        found: in words.
        expected: in words.
        passed: whether that is good enough.
        example: an answer of the network and the server's to the same, where they differ.
        figures: what was measured.
    """

    kind: str
    signature: str
    found: str
    expected: str
    passed: bool
    example: str = ""
    figures: Mapping[str, float] = field(default_factory=dict)

    @property
    def subject(self) -> str:
        """What is held against something."""
        return f"{self.kind} of {self.signature}" if self.signature else self.kind

    def as_json(self) -> dict[str, Any]:
        """Its fields."""
        return vars(self) | {"figures": dict(self.figures)}


Checked = Callable[[Check], None]
"""Told of every check, passed or not, as soon as it is done."""


def refusal(model: str, checks: Iterable[Check]) -> ExportRefusedError:
    """The error of the checks that did not pass."""
    words = (f"{check.subject}: found {check.found}, expected {check.expected}" for check in checks if not check.passed)
    return ExportRefusedError(f"{model}: the exported model was refused: {'; '.join(words)}")


def measured(checks: Iterable[Check]) -> dict[str, Any]:
    """The figures of all checks that measured something, for records and cards: latency by signature, memory, machine.

    Milliseconds and bytes; empty if nothing was measured.
    """
    found: dict[str, Any] = {}
    for check in checks:
        if check.kind == "latency":
            found.setdefault("latency", {})[check.signature] = dict(check.figures)
        elif check.kind == "memory":
            found["memory"] = dict(check.figures)
    return found | {"machine": machine()} if found else {}


def machine() -> dict[str, float]:
    """How many cores this process may use, and how many processes wanted one in the last minute, on average."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return {"cores": cores, "load": round(os.getloadavg()[0], 2)}
