"""Whether a candidate may be released: thresholds first, then the model that serves now. No TensorFlow."""

from dataclasses import dataclass

import numpy as np

from nightshift.evaluation.judgement import Judgement
from nightshift.tasks.base import Task

SIGNIFICANCE = 0.05


@dataclass(frozen=True)
class Decision:
    """Release or not, and why, in words."""

    blessed: bool
    reason: str


def decide(task: Task, candidate: Judgement, champion: Judgement | None, champion_version: int = 0) -> Decision:
    """Hold a candidate against the task's thresholds and against the serving model on the same examples.

    Args:
        task: its thresholds, class floor and score.
        candidate: judged on the test split.
        champion: the serving model, judged on the same; None if nothing serves.
        champion_version: for the words.
    """
    short = [
        f"{name} {candidate.metrics[name]:.4f} is below {least:g}"
        for name, least in task.thresholds.items()
        if candidate.metrics[name] < least
    ]
    short += [
        f"recall of class {row['name']!r} {row['recall']:.4f} is below {task.class_floor:g}"
        for row in candidate.per_class
        if row["count"] and row["recall"] < task.class_floor
    ]
    short += [
        f"class {row['name']!r} has no test images to hold its recall against {task.class_floor:g}"
        for row in candidate.per_class
        if task.class_floor and not row["count"]
    ]
    if short:
        return Decision(False, "; ".join(short))
    reached = ", ".join(f"{name} {candidate.metrics[name]:.4f} (at least {t:g})" for name, t in task.thresholds.items())
    if champion is None:
        return Decision(True, f"{reached}; nothing serves yet")
    better, worse, chance = mcnemar(candidate.correct, champion.correct)
    duel = (
        f"against version {champion_version} on the same {candidate.count:,} test images it is right on {better} that "
        f"the other gets wrong and wrong on {worse} that the other gets right"
    )
    if chance < SIGNIFICANCE:
        return Decision(True, f"{reached}; {duel}: better, p = {chance:.2g}")
    verdict = f"no better than chance would have it, p = {chance:.2g}" if better > worse else "not better"
    return Decision(False, f"kept version {champion_version}: {duel}: {verdict}")


def mcnemar(candidate: np.ndarray, champion: np.ndarray) -> tuple[int, int, float]:
    """McNemar's exact test, one-sided (Psychometrika 12, 1947): is the candidate better than chance would have it?

    Args:
        candidate: bool [N], right or wrong on each example.
        champion: bool [N], on the same examples.

    Returns:
        examples only the candidate gets right; only the champion; and the probability of at least as many of the
        first kind if both were equally good.
    """
    from scipy.stats import binomtest

    if candidate.shape != champion.shape:
        raise ValueError(f"found {candidate.shape} and {champion.shape} answers, expected the same examples")
    better, worse = int((candidate & ~champion).sum()), int((champion & ~candidate).sum())
    if better + worse == 0:
        return 0, 0, 1.0
    return better, worse, float(binomtest(better, better + worse, alternative="greater").pvalue)
