"""export: the trained network as a SavedModel."""

import json
from pathlib import Path

from nightshift.data.manifest import Dataset
from nightshift.errors import WorkspaceError
from nightshift.export.checks import Check, measured
from nightshift.export.export import Exported
from nightshift.export.export import export as export_model
from nightshift.files import write_atomic, write_json
from nightshift.tasks.registry import task as task_of
from nightshift.training.model import TrainedModel
from nightshift.workspace import Run

CHECKS = "checks.json"
"""What the model was held against and what was found, in the step's folder; also when it was refused."""
CARD = "card.md"


def export(
    run: Run,
    *,
    task: str,
    model: str,
    seed: int,
    dataset: Dataset,
    trained: TrainedModel,
    evaluation: Path,
) -> Exported:
    """Write the SavedModel beside the training and prove it equal through a model server.

    Args:
        run: where the record goes.
        task: name.
        model: name that it will be served by.
        seed: puzzles of the golden batch are shuffled by it.
        dataset: gives the golden batch.
        trained: the network.
        evaluation: folder with evaluation.json, whose metrics go on the model card.

    Raises:
        ExportRefusedError: a server does not answer as the trained network does, or not within the task's budgets; the
            checks are on record.
    """
    with run.step("export") as step:
        for earlier in (CHECKS, CARD):
            (step.path / earlier).unlink(missing_ok=True)
        if not (evaluation / "evaluation.json").exists():
            raise WorkspaceError(f"{evaluation / 'evaluation.json'}: not there; evaluate the model first")
        metrics = json.loads((evaluation / "evaluation.json").read_text())["metrics"]
        target = trained.path / "saved_model" / model
        checks: list[Check] = []
        try:
            exported = export_model(
                task_of(task),
                model,
                trained,
                dataset,
                metrics,
                target,
                seed=seed,
                progress=step.progress,
                checked=checks.append,
            )
        finally:
            step.figures = measured(checks)
            write_json(step.path / CHECKS, {"checks": [check.as_json() for check in checks]})
        largest = {signature: max(outputs.values()) for signature, outputs in exported.parity.items()}
        step.figures |= {
            "saved_model": str(exported.path),
            "signatures": sorted(exported.parity),
            "bytes": sum(file.stat().st_size for file in exported.path.rglob("*") if file.is_file()),
            "parity": largest,
        }
        write_atomic(step.path / CARD, exported.card.encode())
        step.say(f"a server answers as the trained network does, within {max(largest.values()):.1e}")
    return exported
