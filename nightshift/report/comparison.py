"""The candidate against the model that serves."""

import re
from typing import Any

from nightshift.report import formats

LOWER_IS_BETTER = ("loss", "error")


def metric_rows(evaluation: dict[str, Any]) -> list[dict[str, Any]]:
    """A row a metric: its name, the candidate's value, the serving model's, the difference and what that means."""
    served = (evaluation.get("serving") or {}).get("metrics") or {}
    return [_row(name, value, served.get(name)) for name, value in (evaluation.get("metrics") or {}).items()]


def _row(name: str, candidate: Any, serving: Any) -> dict[str, Any]:
    row = {
        "name": formats.words(name),
        "candidate": formats.number(candidate),
        "serving": formats.number(serving),
        "difference": "",
        "verdict": "",
    }
    if isinstance(candidate, int | float) and isinstance(serving, int | float):
        gain = candidate - serving
        row["difference"] = formats.difference(gain)
        if abs(gain) >= 0.00005:
            better = gain < 0 if name.endswith(LOWER_IS_BETTER) else gain > 0
            row["verdict"] = "better" if better else "worse"
    return row


def comparison_markdown(evaluation: dict[str, Any]) -> str:
    """A Markdown table of the candidate against the serving model, the decision and its reason above it.

    Args:
        evaluation: the content of evaluation.json.
    """
    decision = evaluation.get("decision") or {}
    serving = evaluation.get("serving")
    against = f"version {serving['version']}" if serving else "nothing serves yet"
    lines = [
        f"**{'Accepted' if decision.get('blessed') else 'Refused'}**: {_escaped(str(decision.get('reason', '')))}",
        "",
        f"| {formats.number(evaluation.get('count'))} test images | candidate | {against} | difference |",
        "| :--- | ---: | ---: | ---: |",
    ]
    lines += [
        f"| {_escaped(row['name'])} | {row['candidate']} | {row['serving']} | {row['difference']} |"
        for row in metric_rows(evaluation)
    ]
    return "\n".join(lines) + "\n"


def _escaped(text: str) -> str:
    """Text that Markdown shows as it is, on one line."""
    text = " ".join(text.split()).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return re.sub(r"([\\`*_{}\[\]|#~!])", r"\\\1", text)
