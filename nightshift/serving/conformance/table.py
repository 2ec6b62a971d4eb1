"""The outcomes as a table, and as JSON."""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from nightshift.serving.conformance.case import Outcome, Status

_STYLES = {Status.PASSED: "green", Status.DIFFERS: "bold red", Status.SKIPPED: "yellow", Status.LEFT_OUT: "yellow"}


def print_table(outcomes: Sequence[Outcome], title: str, console: Console) -> None:
    """Print a row a case, what was found instead where there is something to say, and the count of each status."""
    table = Table(title=title, title_justify="left", show_edge=False, pad_edge=False)
    table.add_column("no", justify="right")
    table.add_column("case", ratio=3)
    table.add_column("outcome", no_wrap=True)
    table.add_column("why", ratio=3)
    for outcome in outcomes:
        status = Text(outcome.status.value, _STYLES[outcome.status])
        table.add_row(str(outcome.case.number), outcome.case.name, status, Text(_why(outcome)))
    console.print(table)
    console.print(in_short(outcomes))


def _why(outcome: Outcome) -> str:
    if outcome.status is not Status.DIFFERS:
        return outcome.detail
    return f"{outcome.detail}. Expected, by {outcome.case.source}: {outcome.case.expected}"


def in_short(outcomes: Iterable[Outcome]) -> str:
    """How many of each status, as `70 passed, 2 left out`."""
    counts = Counter(outcome.status for outcome in outcomes)
    return ", ".join(f"{counts[status]} {status.value}" for status in Status if counts[status])


def as_facts(outcome: Outcome) -> dict[str, Any]:
    """An outcome for programs."""
    return {
        "number": outcome.case.number,
        "name": outcome.case.name,
        "outcome": outcome.status.value,
        "detail": outcome.detail,
        "expected": outcome.case.expected,
        "source": outcome.case.source,
        "milliseconds": round(outcome.seconds * 1000),
    }
