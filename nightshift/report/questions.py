"""Questions whose answer the class decides too: what the network says of them, and what its class implies."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

OF_CLASS = re.compile(r"(?P<question>\w+)_of_class_accuracy")


@dataclass(frozen=True)
class QuestionRow:
    """Shares of the test images; None where there is no such figure.

    Attributes:
        question: its name.
        own: answered rightly by the network's own output.
        of_class: answered rightly by what its class implies.
        agreement: answered alike by both.
    """

    question: str
    own: float | None
    of_class: float
    agreement: float | None


def question_rows(metrics: Mapping[str, float]) -> list[QuestionRow]:
    """A row for every question Q among metrics called Q_accuracy, Q_of_class_accuracy and Q_agreement."""
    found = {match["question"]: value for name, value in metrics.items() if (match := OF_CLASS.fullmatch(name))}
    return [
        QuestionRow(name, metrics.get(f"{name}_accuracy"), value, metrics.get(f"{name}_agreement"))
        for name, value in found.items()
    ]
