"""Whether a candidate may be released: thresholds first, then the model that serves now. No TensorFlow."""

from collections.abc import Sequence
from dataclasses import dataclass

from nightshift.evaluation.judgement import Judgement
from nightshift.evaluation.paired import mcnemar
from nightshift.evaluation.slices import RATE, Slice
from nightshift.tasks.base import Task

SIGNIFICANCE = 0.05
"""How often, at most, a candidate that is only as good as the serving model is called better."""


@dataclass(frozen=True)
class Decision:
    """Release or not, and why, in words."""

    blessed: bool
    reason: str


def decide(
    task: Task,
    candidate: Judgement,
    champion: Judgement | None,
    champion_version: int = 0,
    slices: Sequence[Slice] = (),
) -> Decision:
    """Hold a candidate against the task's thresholds and against the serving model on the same examples.

    It has to reach the thresholds, to be better on the whole test split by more than chance, and to be worse in none of
    its slices.

    Args:
        task: its thresholds, class floor and score.
        candidate: judged on the test split.
        champion: the serving model, judged on the same; None if nothing serves.
        champion_version: for the words.
        slices: both models in each.
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
        better_by = f"{duel}: better, p = {chance:.2g}"
        if worse_in := [row for row in slices if row.worse]:
            return Decision(False, f"kept version {champion_version}: {better_by}, but {_in_words(worse_in, slices)}")
        return Decision(True, f"{reached}; {better_by}")
    verdict = "no better than chance would have it" if better > worse else "not better"
    found = f"{verdict}, p = {chance:.2g}, expected below {SIGNIFICANCE:g}"
    return Decision(False, f"kept version {champion_version}: {duel}: {found}")


def _in_words(worse: Sequence[Slice], slices: Sequence[Slice]) -> str:
    """In which slices the candidate is worse, what was found there, and what was expected."""
    tested = sum(row.p is not None for row in slices)
    found = "; ".join(
        f"{row.trait} {row.value} ({row.count:,} images): right on {row.candidate:.4f} of them where the other is on "
        f"{row.champion:.4f}, {row.lost} lost and {row.gained} gained, p = {row.p_holm:.2g}"
        for row in worse
    )
    return f"worse in {found}; after correction for {tested} slices expected p of at least {RATE:g} in each"
