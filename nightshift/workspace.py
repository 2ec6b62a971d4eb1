"""The workspace: a folder that holds what is large or outlives a step.

datasets/FINGERPRINT/       prepared data
checkpoints/KEY/            a training: its checkpoints while it runs, its model when it is done
runs/RUN_ID/STEP/           what a step did: status.json and its files, read by the report
models/                     the serving store
cache/                      downloads
"""

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


@dataclass(frozen=True)
class Run:
    """One run of a pipeline: a folder with one folder a step."""

    path: Path

    @property
    def run_id(self) -> str:
        """The run's identifier."""
        return self.path.name

    def statuses(self) -> dict[str, dict[str, Any]]:
        """What is known of each step that has begun, in the order of the pipeline."""
        files = {step: self.path / step / "status.json" for step in STEPS}
        return {step: json.loads(file.read_text()) for step, file in files.items() if file.exists()}

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
    """A person's mistake as its message, ours as its traceback."""
    if isinstance(error, NightshiftError):
        return str(error)
    return "".join(traceback.format_exception(error))[-4000:]
