"""The candidate against the model that serves."""

import re
from dataclasses import dataclass
from typing import Any

from nightshift.report import formats
from nightshift.report.judged import Decision, Evaluation

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


def decision_in_words(decision: Decision) -> tuple[str, str]:
    """`Accepted` or `Refused`, and the reason without saying it again."""
    return "Accepted" if decision.blessed else "Refused", decision.reason.removeprefix("refused: ")


def comparison_markdown(evaluation: dict[str, Any]) -> str:
    """A Markdown table of the candidate against the serving model, the decision and its reason above it.

    Args:
        evaluation: the content of evaluation.json.
    """
    judged = Evaluation.model_validate(evaluation)
    word, reason = decision_in_words(judged.decision)
    against = f"serving, version {judged.serving.version}" if judged.serving else "nothing serves yet"
    lines = [
        f"**{word}**: {_escaped(reason)}",
        "",
        f"| {formats.number(judged.count)} test images | candidate | {against} | difference |",
        "| :--- | ---: | ---: | ---: |",
    ]
    lines += [
        f"| {_escaped(row.name)} | {row.candidate} | {row.serving} | {row.difference} |" for row in metric_rows(judged)
    ]
    return "\n".join(lines) + "\n"


def _escaped(text: str) -> str:
    """Text that Markdown shows as it is, on one line."""
    text = " ".join(text.split()).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return re.sub(r"([\\`*_{}\[\]|#~!])", r"\\\1", text)
