"""The contents of evaluation.json and checks.json as the report reads them."""

from pydantic import BaseModel


class Serving(BaseModel):
    """The serving model, judged on the same images."""

    version: int
    metrics: dict[str, float]


class Decision(BaseModel):
    """Whether the candidate may be released, and why."""

    blessed: bool
    reason: str


class ClassFigures(BaseModel):
    """Figures of one class; `count` is how many test images it has."""

    name: str
    count: int
    precision: float
    recall: float
    f1: float


class Curve(BaseModel):
    """A receiver operating characteristic: one class against the rest."""

    positive: str
    fpr: list[float]
    tpr: list[float]
    auc: float


class SliceFigures(BaseModel):
    """Candidate and serving model on a part of the test split; see `nightshift.evaluation.slices`."""

    trait: str
    value: str
    count: int
    candidate: float
    champion: float | None
    difference: float | None
    gained: int
    lost: int
    p: float | None
    p_holm: float | None
    worse: bool


class Evaluation(BaseModel):
    """A candidate judged on the test split; rows of the confusion matrix are the truth, columns the answer.

    Attributes:
        translations: language (ISO 639-1) -> names of the classes in it, in their order.
        slices: none in files that were written before there were any.
    """

    problem: str
    count: int
    classes: list[str]
    translations: dict[str, list[str]] = {}
    metrics: dict[str, float]
    serving: Serving | None
    decision: Decision
    confusion_matrix: list[list[int]] | None
    per_class: list[ClassFigures]
    roc: list[Curve]
    slices: list[SliceFigures] = []

    def translated(self, name: str) -> list[tuple[str, str]]:
        """A class's name in other languages: (language, name) each."""
        place = self.classes.index(name) if name in self.classes else len(self.classes)
        return [(language, names[place]) for language, names in self.translations.items() if place < len(names)]


class CheckFigures(BaseModel):
    """One thing that an exported model was held against; see `nightshift.export.checks`."""

    kind: str
    signature: str
    found: str
    expected: str
    passed: bool
    example: str = ""
    figures: dict[str, float] = {}


class Checks(BaseModel):
    """All of them, in the order in which they were made; those after one that did not pass may be missing."""

    checks: list[CheckFigures]
