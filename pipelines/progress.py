"""Shows a local run while it runs: which step, how far, for how long; read from what the steps record."""

import sys
import threading
import time
from types import TracebackType
from typing import Any

from rich.console import Console
from rich.live import Live
from rich.table import Table

from nightshift.workspace import Run

POLL_SECONDS = 0.3
LINE_SECONDS = 15.0


class Progress:
    """A context manager; on a terminal a live table, elsewhere a line when something happens."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._console = Console(file=sys.__stderr__, highlight=False)
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._follow, name="progress")
        self._told: dict[str, tuple[str, float]] = {}
        self._started = time.time()

    def __enter__(self) -> "Progress":
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stopping.set()
        self._thread.join()

    def _follow(self) -> None:
        if self._console.is_terminal:
            with Live(console=self._console, refresh_per_second=4) as live:
                while not self._stopping.wait(POLL_SECONDS):
                    live.update(self._table())
                live.update(self._table())
            return
        while not self._stopping.wait(POLL_SECONDS):
            self._lines()
        self._lines()

    def _statuses(self) -> dict[str, dict[str, Any]]:
        """Of this run's steps; what an earlier, killed run of the same name left is not shown."""
        return {name: s for name, s in self._run.statuses().items() if s["started"] >= self._started}

    def _table(self) -> Table:
        table = Table.grid(padding=(0, 2))
        for name, status in self._statuses().items():
            state = status["state"]
            mark = {"running": "[yellow]...[/]", "succeeded": "[green]done[/]", "failed": "[red]failed[/]"}[state]
            seconds = time.time() - status["started"] if state == "running" else status["seconds"]
            share = f"{status['progress']:.0%}" if state == "running" else ""
            table.add_row(f"  {name}", mark, share, f"{seconds:.0f} s", status["message"])
        return table

    def _lines(self) -> None:
        for name, status in self._statuses().items():
            state, told = status["state"], self._told.get(name)
            if told and told[0] == state and (state != "running" or time.time() - told[1] < LINE_SECONDS):
                continue
            self._told[name] = (state, time.time())
            seconds = time.time() - status["started"] if state == "running" else status["seconds"]
            done = f"{status['progress']:.0%} " if state == "running" else ""
            self._console.print(f"  {name:12} {state:9} {done}{seconds:.0f} s  {status['message']}", soft_wrap=True)
