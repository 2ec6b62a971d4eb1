"""evaluate: the candidate on the test split, against thresholds and the serving model."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nightshift.data.manifest import Dataset
from nightshift.data.sample import sample
from nightshift.evaluation.answers import in_order_of, judge, of_keras, of_saved_model
from nightshift.evaluation.architecture import load_network
from nightshift.evaluation.first_convolution import first_convolution
from nightshift.evaluation.gate import Decision, decide
from nightshift.evaluation.judgement import Judgement
from nightshift.evaluation.slices import Slice, compare_slices
from nightshift.files import write_json, write_npz
from nightshift.problems.registry import problem_of
from nightshift.serving.card import read_card
from nightshift.serving.manifest import check_manifest
from nightshift.serving.store import Store
from nightshift.serving.target import target
from nightshift.tasks.base import Task
from nightshift.tasks.registry import task as task_of
from nightshift.training.model import TrainedModel
from nightshift.workspace import Run

TO_CHOOSE_FROM = 20
"""Test images; that of most contrast is shown as the network's first convolution sees it."""


@dataclass(frozen=True)
class Judged:
    """The contents of evaluation.json, and the decision in it."""

    evaluation: dict[str, Any]
    decision: Decision


def evaluate(
    run: Run,
    store: Store,
    *,
    task: str,
    model: str,
    seed: int,
    dataset: Dataset,
    trained: TrainedModel,
    server: str,
) -> Judged:
    """Judge a trained model on the test split.

    Args:
        run: where the record goes.
        store: has the serving model.
        task: name.
        model: name of the served model.
        seed: puzzles are shuffled by it.
        dataset: its test split judges.
        trained: the candidate.
        server: where the models are served, asked which version does.

    Raises:
        StoreError: the files of the version that serves are not those of its manifest.
    """
    with run.step("evaluate") as step:
        chosen = task_of(task)
        problem = problem_of(chosen, tuple(dataset.manifest.classes))
        candidate = judge(
            chosen,
            dataset,
            of_keras(trained.weights, problem),
            seed=seed,
            progress=lambda f, m: step.progress(f / 2, m),
        )
        with target(server, store) as serving_place:
            version = serving_place.champion(model)
        serving = None
        if version:
            path = store.version_path(model, version)
            check_manifest(path)
            classes = read_card(path).get("classes") or dataset.manifest.classes
            if classes != dataset.manifest.classes:
                step.say(f"version {version} was trained on {len(classes)} other classes: they are compared by name")
            serving = judge(
                chosen,
                dataset,
                in_order_of(dataset.manifest.classes, classes, of_saved_model(path)),
                seed=seed,
                progress=lambda f, m: step.progress(0.5 + f / 2, f"version {version}: {m}"),
            )
        slices = compare_slices(candidate, serving)
        decision = decide(chosen, candidate, serving, version, slices)
        evaluation = _as_json(chosen, dataset, candidate, serving, version, slices, decision)
        write_json(step.path / "evaluation.json", evaluation)
        write_npz(step.path / "gallery.npz", candidate.gallery)
        _write_first_convolution(step.path, dataset, trained)
        step.figures = {"metrics": dict(candidate.metrics), "blessed": decision.blessed, "reason": decision.reason}
        step.say(decision.reason)
    return Judged(evaluation, decision)


def _write_first_convolution(folder: Path, dataset: Dataset, trained: TrainedModel) -> None:
    """Pictures of what the network's first convolution makes of a test image; none if it has no such layer."""
    images, _ = sample(dataset, "test", TO_CHOOSE_FROM)
    seen = first_convolution(load_network(trained.weights), images[images.std(axis=(1, 2, 3)).argmax()])
    if seen:
        write_json(folder / "first_convolution.json", seen.facts)
        arrays = {"image": seen.image, "kernels": seen.kernels, "maps": seen.maps}
        write_npz(folder / "first_convolution.npz", arrays)


def _as_json(
    task: Task,
    dataset: Dataset,
    candidate: Judgement,
    serving: Judgement | None,
    version: int,
    slices: Sequence[Slice],
    decision: Decision,
) -> dict[str, Any]:
    matrix = candidate.confusion_matrix
    return {
        "task": task.name,
        "problem": task.problem,
        "count": candidate.count,
        "classes": dataset.manifest.classes,
        "translations": {language: list(names) for language, names in task.translations.items()},
        "metrics": dict(candidate.metrics),
        "serving": {"version": version, "metrics": dict(serving.metrics)} if serving else None,
        "decision": {"blessed": decision.blessed, "reason": decision.reason},
        "confusion_matrix": None if matrix is None else matrix.tolist(),
        "per_class": list(candidate.per_class),
        "roc": list(candidate.roc),
        "slices": [row.as_json() for row in slices],
    }
