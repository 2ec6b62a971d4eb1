"""The candidate against the model that serves."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from nightshift.report import formats
from nightshift.report.judged import ClassFigures, Decision, Evaluation, SliceFigures

MOST_ROWS = 60
LOWER_IS_BETTER = ("loss", "error")
NO_DIFFERENCE = 0.00005


@dataclass(frozen=True)
class MetricRow:
    """A metric of both models as text; `verdict` is `better`, `worse` or empty."""

    name: str
    candidate: str
    serving: str
    difference: str
    verdict: str


def metric_rows(evaluation: Evaluation) -> list[MetricRow]:
    """A row a metric of the candidate."""
    served = evaluation.serving.metrics if evaluation.serving else {}
    return [_row(name, value, served.get(name)) for name, value in evaluation.metrics.items()]


def _row(name: str, candidate: float, serving: float | None) -> MetricRow:
    if serving is None:
        return MetricRow(formats.words(name), formats.number(candidate), formats.NOTHING, "", "")
    gain = candidate - serving
    better = gain < 0 if name.endswith(LOWER_IS_BETTER) else gain > 0
    return MetricRow(
        formats.words(name),
        formats.number(candidate),
        formats.number(serving),
        formats.difference(gain),
        "" if abs(gain) < NO_DIFFERENCE else "better" if better else "worse",
    )


@dataclass(frozen=True)
class SliceRow:
    """Both models on a part of the test split, as text; `verdict` is `better`, `worse` or empty."""

    trait: str
    value: str
    count: str
    candidate: str
    serving: str
    difference: str
    changed: str
    p: str
    verdict: str


def slice_rows(evaluation: Evaluation) -> list[SliceRow]:
    """At most MOST_ROWS slices in their order: all in which the candidate is worse, and those of the largest loss."""
    shown = sorted(range(len(evaluation.slices)), key=lambda place: _urgency(evaluation.slices[place]))[:MOST_ROWS]
    return [_slice_row(evaluation.slices[place]) for place in sorted(shown)]


def _urgency(row: SliceFigures) -> tuple[bool, float, float]:
    """Less is more urgent: worse ones first, then by the difference or, if nothing serves, by what is right."""
    return not row.worse, row.difference or 0.0, row.candidate


def _slice_row(row: SliceFigures) -> SliceRow:
    compared = row.champion is not None and row.difference is not None
    return SliceRow(
        trait=row.trait,
        value=row.value,
        count=formats.number(row.count),
        candidate=formats.number(row.candidate),
        serving=formats.number(row.champion),
        difference=formats.difference(row.difference) if row.difference is not None else "",
        changed=f"+{row.gained:,} \u2212{row.lost:,}" if compared else "",
        p=formats.number(row.p_holm) if row.p_holm is not None else formats.NOTHING,
        verdict="worse" if row.worse else "",
    )


def decision_in_words(decision: Decision) -> tuple[str, str]:
    """`Accepted` or `Refused`, and the reason without saying it again."""
    return "Accepted" if decision.blessed else "Refused", decision.reason.removeprefix("refused: ")


def comparison_markdown(evaluation: dict[str, Any]) -> str:
    """Markdown tables of the candidate against the serving model, the decision and its reason above them.

    The metrics of both, both in the slices of the test split, and the candidate's figures by class.

    Args:
        evaluation: the content of evaluation.json.
    """
    judged = Evaluation.model_validate(evaluation)
    word, reason = decision_in_words(judged.decision)
    against = f"serving, version {judged.serving.version}" if judged.serving else "nothing serves yet"
    lines = [
        f"**{word}**: {_escaped(reason)}",
        "",
        *_table(
            (f"{formats.number(judged.count)} test images", "candidate", against, "difference"),
            [(_escaped(row.name), row.candidate, row.serving, row.difference) for row in metric_rows(judged)],
        ),
    ]
    if judged.slices:
        lines += ["", *_slice_table(judged, against)]
    if judged.per_class:
        lines += ["", *_class_table(judged.per_class)]
    return "\n".join(lines) + "\n"


def _slice_table(judged: Evaluation, against: str) -> list[str]:
    compared = (against, "difference", "answers gained and lost", "p of a loss, by Holm") if judged.serving else ()
    rows = []
    for row in slice_rows(judged):
        name = _escaped(f"{row.trait} {row.value}")
        both = (row.serving, row.difference, row.changed, row.p) if judged.serving else ()
        rows.append((f"**{name}, worse**" if row.verdict else name, row.count, row.candidate, *both))
    headings = ("slice", "images", "right: candidate", *compared)
    return _table(headings, rows) + _left_out(len(judged.slices) - len(rows), "slices")


def _class_table(classes: list[ClassFigures]) -> list[str]:
    """Those of the least recall, in their order."""
    shown = sorted(range(len(classes)), key=lambda place: classes[place].recall)[:MOST_ROWS]
    rows = [
        (_escaped(row.name), *map(formats.number, (row.count, row.precision, row.recall, row.f1)))
        for row in (classes[place] for place in sorted(shown))
    ]
    headings = ("class", "images", "precision", "recall", "F1")
    return _table(headings, rows) + _left_out(len(classes) - len(shown), "classes")


def _table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """Its first column is of words, the others of numbers."""
    rule = [":---", *["---:"] * (len(headings) - 1)]
    return [f"| {' | '.join(cells)} |" for cells in (headings, rule, *rows)]


def _left_out(count: int, what: str) -> list[str]:
    return ["", f"and {count:,} more {what}"] if count else []


def _escaped(text: str) -> str:
    """Text that Markdown shows as it is, on one line."""
    text = " ".join(text.split()).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return re.sub(r"([\\`*_{}\[\]|#~!])", r"\\\1", text)
