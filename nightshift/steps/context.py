"""What every component begins with: where the run keeps its things, and how artifacts name them. No TensorFlow."""

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from nightshift.data.manifest import Dataset
from nightshift.errors import WorkspaceError
from nightshift.files import write_atomic
from nightshift.serving.store import Store, open_store
from nightshift.settings import settings, workspace_path
from nightshift.workspace import Run, Workspace

UMASK = 0o022
"""Kubeflow's launcher starts steps with 0: whoever shares the volume could then change what is served."""


class Artifact(Protocol):
    """What is used of a pipeline's artifact: its file and its metadata."""

    path: str
    metadata: dict[str, Any]


@dataclass(frozen=True)
class Context:
    """The workspace, the serving store, where it is served (see serving.target) and the run's folder."""

    workspace: Workspace
    store: Store
    server: str
    run: Run

    def link(self, artifact: Artifact, target: Path | str, **facts: str) -> None:
        """Let an artifact name a folder of the workspace, or a dataset in a bucket: the large things stay there."""
        write_atomic(Path(artifact.path), json.dumps({"path": str(target), **facts}).encode())
        artifact.metadata.update({"path": str(target), **facts})

    def linked(self, artifact: Artifact) -> Path:
        """The folder that an artifact names.

        Raises:
            WorkspaceError: the artifact does not name one.
        """
        return Path(self._named(artifact))

    def linked_dataset(self, artifact: Artifact) -> Dataset:
        """The dataset that an artifact names, in the workspace or in a bucket.

        Raises:
            WorkspaceError: the artifact does not name one.
            DataError: it is not there, or not whole.
        """
        place = self._named(artifact)
        return Dataset.open(place, cache=self.workspace.cache)

    def _named(self, artifact: Artifact) -> str:
        try:
            named = json.loads(Path(artifact.path).read_text())["path"]
            if not isinstance(named, str):
                raise TypeError(f"found {named!r}")
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise WorkspaceError(f"{artifact.path}: expected an artifact that names a folder: {error}") from error
        return named

    def page(self, artifact: Artifact, text: str) -> None:
        """Write an artifact that the UI shows."""
        write_atomic(Path(artifact.path), text.encode())


def context(workspace: str, server: str, run_id: str) -> Context:
    """Where things are: the parameters, or where they are empty the environment.

    Args:
        workspace: folder.
        server: where models are served, HOST:PORT or kubernetes:NAMESPACE.
        run_id: of the pipeline; NIGHTSHIFT_RUN_ID wins, so that whoever starts a run on a laptop can name it.
    """
    os.umask(UMASK)
    place = Workspace(workspace_path(workspace))
    return Context(place, open_store(place.models), server or settings().server, place.run(settings().run_id or run_id))
