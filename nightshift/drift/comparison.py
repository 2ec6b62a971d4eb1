"""Whether a sample has drifted from a reference: every figure by itself, the classes, and all figures together.

The tests of one comparison share a rate of false alarms (Holm), and none alarms on a difference too small to matter.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nightshift.drift import statistics
from nightshift.drift.features import Columns

STABILITY, ROC_AREA, FALL = "stability index", "ROC area", "fall"
PLOTTED_BINS = 24
TOGETHER = "all figures together"


@dataclass(frozen=True)
class Limits:
    """When a comparison alarms.

    Attributes:
        rate: chance that a comparison of two samples of one distribution alarms, all its tests together.
        stability: the population stability index above which a difference of one figure matters.
        roc_area: the area under the ROC curve above which the classifier's does.
        fall: how much a share of solved puzzles has to fall.
        least: images that a comparison needs.
    """

    rate: float = 0.01
    stability: float = 0.2
    roc_area: float = 0.65
    fall: float = 0.05
    least: int = 100


@dataclass(frozen=True)
class Sample:
    """Images as figures.

    Attributes:
        columns: name -> float32 [N]; NaN where unknown.
        classes: int64 [N], -1 where unknown; None: there are none.
        solved: name -> bool [M], what became of puzzles whose answer is known.
    """

    columns: Columns
    classes: NDArray[np.int64] | None = None
    solved: "dict[str, NDArray[np.bool_]] | None" = None

    @property
    def count(self) -> int:
        """Its images."""
        return len(self.columns["brightness"])


@dataclass(frozen=True)
class Change:
    """One test's outcome.

    Attributes:
        name: of the figure.
        test: what was done.
        p: adjusted for the number of tests.
        effect: how large the difference is ...
        measure: ... in which measure ...
        limit: ... and from where on it matters.
        drifted: whether it matters and is not by chance.
        before: mean of the reference; None where a mean says nothing.
        after: mean of the sample.
        plot: edges, or names of classes, and counts of both; None: nothing to draw.
    """

    name: str
    test: str
    p: float
    effect: float
    measure: str
    limit: float
    drifted: bool = False
    before: float | None = None
    after: float | None = None
    plot: dict[str, Any] | None = None


@dataclass(frozen=True)
class Comparison:
    """What came of comparing a sample with a reference.

    Attributes:
        reference: images of the reference.
        found: images of the sample.
        least: images that it would have needed.
        changes: a test each, the surest first; none if there were too few images.
    """

    reference: int
    found: int
    least: int
    changes: tuple[Change, ...]

    @property
    def too_few(self) -> bool:
        """Whether there were too few images to say anything."""
        return not self.changes

    @property
    def drifted(self) -> bool:
        """Whether any test alarms."""
        return any(change.drifted for change in self.changes)

    def words(self) -> str:
        """One line."""
        if self.too_few:
            fewest = "the reference" if self.reference < self.least else "the sample"
            found = min(self.reference, self.found)
            return f"too few images to tell: {fewest} has {found:,}, at least {self.least:,} are needed"
        if not self.drifted:
            return f"no drift in {self.found:,} images"
        parts = [
            f"{change.name} ({change.measure} {change.effect:.2f}, {change.limit:g} is tolerated)"
            for change in self.changes
            if change.drifted
        ]
        return f"drift in {self.found:,} images: {', '.join(parts)}"

    def facts(self, *, plots: bool = False) -> dict[str, Any]:
        """For a program; without what is only there to be drawn unless asked for."""
        left_out = () if plots else ("plot",)
        changes = [
            {name: value for name, value in asdict(change).items() if name not in left_out} for change in self.changes
        ]
        return {
            "drifted": self.drifted,
            "too_few": self.too_few,
            "words": self.words(),
            "reference": self.reference,
            "found": self.found,
            "changes": changes,
        }


def compare(
    reference: Sample,
    found: Sample,
    class_names: Sequence[str] = (),
    limits: Limits | None = None,
    *,
    classes: str = "",
) -> Comparison:
    """Compare what both samples have.

    Args:
        reference: what is expected.
        found: what was found.
        class_names: for the plot.
        limits: when to alarm.
        classes: what the classes are called, such as `predicted class`.
    """
    limits = limits or Limits()
    size = min(reference.count, found.count)
    if size < limits.least:
        return Comparison(reference.count, found.count, limits.least, ())
    changes = [*_figures(reference, found, limits), *_classes(reference, found, class_names, classes, limits)]
    changes += [*_together(reference, found, limits), *_solved(reference, found, limits)]
    adjusted = statistics.adjusted([change.p for change in changes])
    judged = [
        replace(change, p=p, drifted=p <= limits.rate and change.effect > change.limit)
        for change, p in zip(changes, adjusted, strict=True)
    ]
    judged.sort(key=lambda change: (not change.drifted, change.p))
    return Comparison(reference.count, found.count, limits.least, tuple(judged))


def _figures(reference: Sample, found: Sample, limits: Limits) -> list[Change]:
    changes = []
    for name in _common(reference, found, limits):
        one, other = (sample.columns[name][np.isfinite(sample.columns[name])] for sample in (reference, found))
        tested = statistics.figures_differ(one, other)
        changes.append(
            Change(
                name,
                "Kolmogorov-Smirnov",
                tested.p,
                tested.effect,
                STABILITY,
                limits.stability,
                before=float(one.mean()),
                after=float(other.mean()),
                plot=_histograms(one, other),
            )
        )
    return changes


def _common(reference: Sample, found: Sample, limits: Limits) -> list[str]:
    """Figures that enough images of both have."""
    return [
        name
        for name in reference.columns
        if name in found.columns
        and all(np.isfinite(sample.columns[name]).sum() >= limits.least for sample in (reference, found))
    ]


def _histograms(one: NDArray[np.float32], other: NDArray[np.float32]) -> dict[str, Any]:
    both = np.concatenate([one, other])
    low, high = (float(value) for value in np.quantile(both, (0.002, 0.998)))
    edges = np.linspace(low, high if high > low else low + 1, PLOTTED_BINS + 1)
    counts = [np.histogram(sample.clip(edges[0], edges[-1]), edges)[0].tolist() for sample in (one, other)]
    return {"edges": [round(float(edge), 4) for edge in edges], "reference": counts[0], "found": counts[1]}


def _classes(reference: Sample, found: Sample, names: Sequence[str], called: str, limits: Limits) -> list[Change]:
    if reference.classes is None or found.classes is None:
        return []
    one, other = (sample.classes[sample.classes >= 0] for sample in (reference, found) if sample.classes is not None)
    if min(len(one), len(other)) < limits.least:
        return []
    tested = statistics.classes_differ(one, other)
    length = int(max(one.max(), other.max())) + 1
    plot = {
        "classes": [names[number] if number < len(names) else str(number) for number in range(length)],
        "reference": np.bincount(one, minlength=length).tolist(),
        "found": np.bincount(other, minlength=length).tolist(),
    }
    return [Change(called, "chi-square", tested.p, tested.effect, STABILITY, limits.stability, plot=plot)]


def _together(reference: Sample, found: Sample, limits: Limits) -> list[Change]:
    names = _common(reference, found, limits)
    one, other = (_whole(statistics.table(sample.columns, names)) for sample in (reference, found))
    if min(len(one), len(other)) < limits.least:
        return []
    tested = statistics.samples_differ(one, other)
    return [Change(TOGETHER, "classifier", tested.p, tested.effect, ROC_AREA, limits.roc_area)]


def _whole(rows: NDArray[np.float32]) -> NDArray[np.float32]:
    return rows[np.isfinite(rows).all(axis=1)]


def _solved(reference: Sample, found: Sample, limits: Limits) -> list[Change]:
    changes = []
    for name, after in (found.solved or {}).items():
        before = (reference.solved or {}).get(name)
        if before is not None and min(len(before), len(after)) >= limits.least:
            tested = statistics.shares_differ(before, after)
            changes.append(
                Change(
                    name,
                    "Fisher",
                    tested.p,
                    tested.effect,
                    FALL,
                    limits.fall,
                    before=float(before.mean()),
                    after=float(after.mean()),
                )
            )
    return changes
