"""The workspace: a folder that holds what is large or outlives a step.

datasets/FINGERPRINT/       prepared data
checkpoints/KEY/            a training: its checkpoints while it runs, its model when it is done
runs/RUN_ID/STEP/           what a step did: status.json and its files, read by the report
models/                     the serving store
cache/                      downloads
"""

import itertools
import json
import os
import resource
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nightshift.errors import NightshiftError, WorkspaceError
from nightshift.files import write_json

STEPS = ("prepare_data", "train", "evaluate", "export", "deploy", "report")
INTERRUPTED = "interrupted"


@dataclass(frozen=True)
class Workspace:
    """The folders of one workspace."""

    root: Path

    @property
    def datasets(self) -> Path:
        """Prepared datasets, a folder each, named by fingerprint."""
        return self.root / "datasets"

    @property
    def checkpoints(self) -> Path:
        """Trainings, a folder each, named by the hash of all that determines them."""
        return self.root / "checkpoints"

    @property
    def models(self) -> Path:
        """The serving store."""
        return self.root / "models"

    @property
    def cache(self) -> Path:
        """Downloads."""
        return self.root / "cache"

    def run(self, run_id: str) -> "Run":
        """The run of that identifier.

        Raises:
            WorkspaceError: the identifier is not a plain name.
        """
        if not run_id or run_id.startswith(".") or not all(c.isalnum() or c in "-_." for c in run_id):
            raise WorkspaceError(f"run id {run_id!r}: expected letters, digits, '-', '_' and '.'")
        return Run(self.root / "runs" / run_id)

    def new_run(self, name: str) -> "Run":
        """Make the folder of a run of that name, or of NAME-2, NAME-3 ... where there is one already.

        Raises:
            WorkspaceError: `name` is not a plain name, or the folder cannot be made.
        """
        first = self.run(name)
        _make(first.path.parent)
        others = (self.run(f"{name}-{number}") for number in itertools.count(2))
        run = first
        while True:
            try:
                run.path.mkdir()
            except FileExistsError:
                run = next(others)
            else:
                return run

    def make(self) -> None:
        """Make the workspace's folder if it is not there.

        Raises:
            WorkspaceError: that cannot be done, or nothing can be written there.
        """
        _make(self.root)


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except FileExistsError as error:
        raise WorkspaceError(f"workspace: {folder} is not a folder") from error
    except OSError as error:
        raise WorkspaceError(f"workspace: {folder} cannot be made: {error.strerror}") from error
    if not os.access(folder, os.W_OK | os.X_OK):
        raise WorkspaceError(f"workspace: nothing can be written in {folder}: permission denied")


@dataclass(frozen=True)
class Run:
    """One run of a pipeline: a folder with one folder a step."""

    path: Path

    @property
    def workspace(self) -> Workspace:
        """The workspace that it is in."""
        return Workspace(self.path.parent.parent)

    @property
    def run_id(self) -> str:
        """The run's identifier."""
        return self.path.name

    def statuses(self) -> dict[str, dict[str, Any]]:
        """What is known of each step that has begun, in the order of the pipeline."""
        files = {step: self.path / step / "status.json" for step in STEPS}
        return {step: json.loads(file.read_text()) for step, file in files.items() if file.exists()}

    def record_interruption(self) -> None:
        """Close the record of each step that was stopped, by a signal, before it could do so itself."""
        for name, status in self.statuses().items():
            if status["state"] == "running":
                seconds = round(time.time() - status["started"], 3)
                ended = {"state": "failed", "seconds": seconds, "error": INTERRUPTED}
                write_json(self.path / name / "status.json", status | ended)

    @contextmanager
    def step(self, name: str) -> Iterator["Step"]:
        """Do a step's work: its status is on record from the first moment to the last, an error before it is raised.

        A step that is started again keeps the folder and writes over what stood there.
        """
        step = Step(name, self.path / name)
        step.path.mkdir(parents=True, exist_ok=True)
        step.write()
        try:
            yield step
        except BaseException as error:
            step.finish("failed", _in_words(error))
            raise
        step.finish("succeeded", "")


@dataclass
class Step:
    """A step at work; `path` is its folder."""

    name: str
    path: Path
    started: float = field(default_factory=time.time)
    figures: dict[str, Any] = field(default_factory=dict)
    message: str = ""
    fraction: float = 0.0
    _written: float = 0.0

    def progress(self, fraction: float, message: str) -> None:
        """Say how far the work is (0 to 1) and what it does; written at most twice a second."""
        self.fraction, self.message = fraction, message
        if time.time() - self._written > 0.5:
            self.write()

    def say(self, message: str) -> None:
        """A line for the log and the status."""
        self.message = message
        print(message, flush=True)
        self.write()

    def write(self, state: str = "running", error: str = "") -> None:
        """Write status.json."""
        self._written = time.time()
        status = {
            "step": self.name,
            "state": state,
            "started": self.started,
            "seconds": round(self._written - self.started, 3),
            "cpu_seconds": round(cpu_seconds(), 3),
            "process": os.getpid(),
            "progress": round(self.fraction, 4),
            "message": self.message,
            "figures": self.figures,
            "error": error,
        }
        write_json(self.path / "status.json", status)

    def finish(self, state: str, error: str) -> None:
        """Write the last status."""
        if state == "succeeded":
            self.fraction = 1.0
        self.write(state, error)


def cpu_seconds() -> float:
    """User and system seconds of this process and its finished children since it began, imports included."""
    usages = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def _in_words(error: BaseException) -> str:
    """A person's mistake as its message, their Ctrl-C as that, ours as its traceback."""
    if isinstance(error, KeyboardInterrupt):
        return INTERRUPTED
    if isinstance(error, NightshiftError):
        return str(error)
    return "".join(traceback.format_exception(error))[-4000:]
