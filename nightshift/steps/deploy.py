"""deploy: release a SavedModel to the model server. No TensorFlow."""

import json
from pathlib import Path

from nightshift.errors import ReleaseError
from nightshift.serving.release import Released
from nightshift.serving.samples import samples_place
from nightshift.serving.store import Store
from nightshift.serving.target import target
from nightshift.workspace import Run

IMPORT_CHECKS = "import.json"
"""What the import of a published model writes into its step's folder: it has no test split to be judged on."""


def deploy(run: Run, store: Store, *, model: str, saved_model: Path, server: str) -> Released:
    """Publish, load beside the serving version, ask the golden batch, promote.

    Args:
        run: where the record goes.
        store: where it is published.
        model: name of the served model.
        saved_model: a folder that the export step wrote, or the import of a published model.
        server: where the models are served, HOST:PORT or kubernetes:NAMESPACE.

    Raises:
        ReleaseError: neither evaluate nor the import's checks blessed the model, or the server refused it; what served
            before still does.
    """
    with run.step("deploy") as step:
        step.figures = {"model": model, "released": False}
        _check_blessed(run)
        with target(server, store) as serving:
            released = serving.release(model, saved_model, step.say, samples_place(run.workspace.root))
        step.figures = {
            "model": model,
            "version": released.version,
            "predecessor": released.predecessor,
            "released": not released.unchanged,
            "reason": "served already" if released.unchanged else "loaded, and answered the golden batch",
        }
    return released


def _check_blessed(run: Run) -> None:
    """Also who does the steps by hand releases only what was found good enough."""
    files = {"evaluate": run.path / "evaluate" / "evaluation.json", "the import": run.path / "export" / IMPORT_CHECKS}
    for judge, file in files.items():
        if file.exists():
            decision = json.loads(file.read_text())["decision"]
            if not decision["blessed"]:
                raise ReleaseError(f"not released, since {judge} did not bless it: {decision['reason']}")
            return
    raise ReleaseError(f"{files['evaluate']}: not there; evaluate the model first")
