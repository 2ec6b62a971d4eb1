"""evaluate: the candidate on the test split, against thresholds and the serving model."""

from dataclasses import dataclass
from typing import Any

from nightshift.data.manifest import Dataset
from nightshift.evaluation.answers import judge, of_keras, of_saved_model
from nightshift.evaluation.gate import Decision, decide
from nightshift.evaluation.judgement import Judgement
from nightshift.files import write_json, write_npz
from nightshift.problems.registry import problem_of
from nightshift.serving.store import Store
from nightshift.serving.target import target
from nightshift.tasks.base import Task
from nightshift.tasks.registry import task as task_of
from nightshift.training.model import TrainedModel
from nightshift.workspace import Run


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
            answer = of_saved_model(store.version_path(model, version))
            serving = judge(
                chosen,
                dataset,
                answer,
                seed=seed,
                progress=lambda f, m: step.progress(0.5 + f / 2, f"version {version}: {m}"),
            )
        decision = decide(chosen, candidate, serving, version)
        evaluation = _as_json(chosen, dataset, candidate, serving, version, decision)
        write_json(step.path / "evaluation.json", evaluation)
        write_npz(step.path / "gallery.npz", candidate.gallery)
        step.figures = {"metrics": dict(candidate.metrics), "blessed": decision.blessed, "reason": decision.reason}
        step.say(decision.reason)
    return Judged(evaluation, decision)


def _as_json(
    task: Task,
    dataset: Dataset,
    candidate: Judgement,
    serving: Judgement | None,
    version: int,
    decision: Decision,
) -> dict[str, Any]:
    matrix = candidate.confusion_matrix
    return {
        "task": task.name,
        "problem": task.problem,
        "count": candidate.count,
        "classes": dataset.manifest.classes,
        "metrics": dict(candidate.metrics),
        "serving": {"version": version, "metrics": dict(serving.metrics)} if serving else None,
        "decision": {"blessed": decision.blessed, "reason": decision.reason},
        "confusion_matrix": None if matrix is None else matrix.tolist(),
        "per_class": list(candidate.per_class),
        "roc": list(candidate.roc),
    }
