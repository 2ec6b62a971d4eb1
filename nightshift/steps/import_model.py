"""import_model: a published SavedModel in the place of a trained one; its record is that of the export step."""

import tempfile
from dataclasses import dataclass
from pathlib import Path

from nightshift.files import write_atomic, write_json
from nightshift.importing.recipe import recipe
from nightshift.importing.source import fetch_saved_model
from nightshift.serving.card import check_task, read_card
from nightshift.serving.store import Store
from nightshift.serving.target import target
from nightshift.steps.deploy import IMPORT_CHECKS
from nightshift.tasks.registry import imported_task
from nightshift.workspace import Run, Workspace

BLESSED = "its signature does the task, and a model server answers as the published model does"


@dataclass(frozen=True)
class ImportStep:
    """What came of it.

    Attributes:
        due: whether there is anything to release.
        reason: why or why not.
        saved_model: its folder; if nothing is due that of the serving version, if there is one.
        card: Markdown; empty if nothing is due.
    """

    due: bool
    reason: str
    saved_model: Path
    card: str


def import_model(
    run: Run,
    workspace: Workspace,
    store: Store,
    *,
    task: str,
    model: str,
    source: str,
    server: str,
) -> ImportStep:
    """Fetch a published SavedModel; unless it serves already, check it, add a bytes signature and prove it.

    Args:
        run: where the record goes.
        workspace: where the SavedModel goes.
        store: what serves is of this store.
        task: name of an imported task.
        model: name that it will be served by.
        source: see `nightshift.importing.source`.
        server: where the models are served, HOST:PORT or kubernetes:NAMESPACE.

    Raises:
        NightshiftError: a name or the source cannot be used, the model does not do the task, or a server does not
            answer as it does.
    """
    with run.step("export") as step:
        chosen = imported_task(task)
        store.ledger(model)  # refuses the name now, not after the download
        with target(server, store) as serving:
            version = serving.champion(model)
        known = {"task": task, "model": model, "source": source, "serving_version": version}
        with tempfile.TemporaryDirectory(prefix="nightshift-import-") as folder:
            published = fetch_saved_model(source, Path(folder), workspace.cache, lambda words: step.progress(0, words))
            made = recipe(chosen, published)
            due, reason = _due(store, model, version, made.key, task)
            step.figures = known | {"sha256": published.sha256, "key": made.key, "release": due, "reason": reason}
            (step.path / IMPORT_CHECKS).unlink(missing_ok=True)  # of an earlier attempt, maybe with another source
            step.say(reason)
            if not due:
                return ImportStep(False, reason, store.version_path(model, version) if version else step.path, "")
            from nightshift.importing.importing import import_model as do  # TensorFlow

            place = workspace.checkpoints / made.key / "saved_model" / model
            imported = do(chosen, model, published, place, progress=step.progress, tell=step.say)
        largest = {signature: max(outputs.values()) for signature, outputs in imported.parity.items()}
        step.figures |= {
            "saved_model": str(imported.path),
            "signatures": sorted(imported.signatures),
            "bytes": sum(file.stat().st_size for file in imported.path.rglob("*") if file.is_file()),
            "parity": largest,
        }
        write_atomic(step.path / "card.md", imported.card.encode())
        decision = {"blessed": True, "reason": BLESSED}  # whoever is not has raised an error
        write_json(step.path / IMPORT_CHECKS, {"decision": decision, "signatures": imported.signatures})
        step.say(f"a server answers as the published model does, within {max(largest.values()):.1e}")
    return ImportStep(True, reason, imported.path, imported.card)


def _due(store: Store, model: str, version: int, key: str, task: str) -> tuple[bool, str]:
    """Whether this recipe made neither the serving version nor one that was rolled back."""
    state = store.state(model)
    for taken_back in sorted(state.rolled_back, reverse=True):
        if state.published[taken_back].get("recipe") == key:
            return False, (
                f"nothing to do: version {taken_back} of {model}, imported from the same content, was rolled back"
            )
    if not version:
        return True, f"nothing serves as {model} yet"
    served = read_card(store.version_path(model, version))
    check_task(served, model, task)
    if served["recipe_key"] == key:
        return False, f"nothing to do: version {version} of {model} serves, imported from the same content"
    return True, f"version {version} of {model} serves, made from something else"
