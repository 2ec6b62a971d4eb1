"""Shows runs in Kubeflow Pipelines while they run: on a terminal a live table, elsewhere lines."""

import time
from collections.abc import Callable, Iterator, Sequence

from rich.console import Console
from rich.live import Live
from rich.markup import escape
from rich.table import Table

from pipelines.endpoint import EndpointError
from pipelines.runs import UNDER_WAY, Run, Step

POLL_SECONDS = 2.0
SETTLING = 5
"""Times that ended runs are asked about steps which Kubeflow does not yet, or never will, know to have ended."""

LINE_SECONDS = 30.0
"""After which the line of a step that is still under way comes again."""

PATIENCE_SECONDS = 120.0
"""How long an API that does not answer, of which a port-forward may be the cause, is asked again."""

COLOURS = {"succeeded": "green", "failed": "red", "running": "yellow", "starting": "yellow"}

Read = Callable[[], Sequence[Run]]


def watch(read: Read, console: Console, timeout: float) -> Sequence[Run]:
    """Show the runs until all have ended or the time is over; returns them as they then are.

    Args:
        read: asks for the runs.
        console: where they are shown.
        timeout: seconds, 0 for as long as it takes.

    Raises:
        EndpointError: Kubeflow Pipelines refused, or did not answer for two minutes.
    """
    runs: Sequence[Run] = ()
    if console.is_terminal:
        with Live(console=console, refresh_per_second=4) as live:
            for runs in _until_ended(read, timeout):
                live.update(_table(runs))
        return runs
    lines = _Lines(console)
    for runs in _until_ended(read, timeout):
        lines.tell(runs)
    return runs


def _until_ended(read: Read, timeout: float) -> Iterator[Sequence[Run]]:
    """The runs again and again, the last time when all have ended, or late."""
    deadline = time.monotonic() + timeout if timeout else float("inf")
    runs = _patient(read)
    yield runs
    settling = SETTLING
    while not all(run.settled for run in runs) and time.monotonic() < deadline and settling:
        time.sleep(POLL_SECONDS)
        runs = _patient(read)
        settling -= all(run.ended for run in runs)
        yield runs


def _patient(read: Read) -> Sequence[Run]:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        try:
            return read()
        except EndpointError as error:
            silent = error.status == 0 or error.status >= 500
            if not silent or time.monotonic() > deadline:
                raise
        time.sleep(POLL_SECONDS)


def _table(runs: Sequence[Run]) -> Table:
    table = Table.grid(padding=(0, 2))
    for run in runs:
        table.add_row(escape(run.name), _coloured(run.state.lower()), f"{run.seconds:.0f} s")
        for step in run.steps:
            table.add_row(f"  {escape(step.name)}", _coloured(step.state), f"{step.seconds:.0f} s")
    return table


def _coloured(state: str) -> str:
    return f"[{COLOURS[state]}]{state}[/]" if state in COLOURS else state


class _Lines:
    """Tells each change of a state once, and every now and then what is under way."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._told: dict[tuple[str, str, str], float] = {}

    def tell(self, runs: Sequence[Run]) -> None:
        """Print what is new, and what has been going on for a while."""
        for run in runs:
            for step in run.steps:
                if self._is_due(run, step):
                    line = f"  {run.name:28} {step.name:14} {step.state:9} {step.seconds:.0f} s"
                    self._console.print(line, soft_wrap=True, markup=False)

    def _is_due(self, run: Run, step: Step) -> bool:
        key, now = (run.run_id, step.task, step.state), time.monotonic()
        again = step.state in UNDER_WAY and not run.ended
        due = key not in self._told or (again and now >= self._told[key] + LINE_SECONDS)
        if due:
            self._told[key] = now
        return due
