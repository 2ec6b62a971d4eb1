"""What the page shows of drift: data, and live requests, against what the serving version was validated on."""

from collections.abc import Mapping
from typing import Annotated, Any

from markupsafe import Markup
from pydantic import BaseModel, Field, FiniteFloat

from nightshift.report import formats, plots
from nightshift.report.folder import StepFolder

MOST_PLOTS = 12
MOST_CLASSES = 30
SHARES = "fall"
"""The measure of a difference of shares; others are no percentages."""

Counts = list[Annotated[int, Field(ge=0)]]


class Plot(BaseModel):
    """Counts of both samples: over bins between edges, or of classes."""

    edges: list[FiniteFloat] = []
    classes: list[str] = []
    reference: Counts
    found: Counts


class Change(BaseModel):
    """One test's outcome; see drift.comparison.Change."""

    name: str
    test: str
    p: FiniteFloat
    effect: FiniteFloat
    measure: str
    limit: FiniteFloat
    drifted: bool
    before: FiniteFloat | None = None
    after: FiniteFloat | None = None
    plot: Plot | None = None


class Compared(BaseModel):
    """One comparison; see drift.check.Drift."""

    subject: str
    version: int
    drifted: bool
    words: str
    notes: list[str] = []
    reference: int = 0
    found: int = 0
    changes: list[Change] = []


class Drifts(BaseModel):
    """What drift.json holds."""

    data: Compared
    live: Compared


def drift_view(folder: StepFolder) -> list[dict[str, Any]]:
    """What drift.html shows of a step's drift.json: a comparison each; none if nothing was compared."""
    found = folder.described("drift.json", Drifts)
    return [_view(found.data), _view(found.live)] if found else []


def comparison_view(facts: Mapping[str, Any]) -> dict[str, Any]:
    """What drift.html shows of one comparison, with its plots."""
    return _view(Compared.model_validate(facts))


def _view(one: Compared) -> dict[str, Any]:
    by_class = next((change for change in one.changes if change.plot and change.plot.classes), None)
    pictures = [(change, _picture(change)) for change in one.changes]
    return {
        "subject": one.subject,
        "version": one.version,
        "drifted": one.drifted,
        "words": one.words,
        "notes": one.notes,
        "reference": one.reference,
        "found": one.found,
        "rows": [_row(change) for change in one.changes],
        "plots": [
            {"name": formats.words(change.name), "drifted": change.drifted, "picture": picture}
            for change, picture in pictures
            if picture
        ][:MOST_PLOTS],
        "classes_of": by_class.name if by_class else "",
        "classes": _classes(by_class.plot)[:MOST_CLASSES] if by_class and by_class.plot else [],
    }


def _row(change: Change) -> dict[str, Any]:
    share = change.measure == SHARES
    return {
        "name": formats.words(change.name),
        "drifted": change.drifted,
        "test": change.test,
        "p": f"{change.p:.2g}",
        "effect": formats.percent(change.effect) if share else f"{change.effect:.2f}",
        "limit": f"{change.measure} {formats.percent(change.limit) if share else format(change.limit, 'g')}",
        "means": [
            formats.NOTHING if value is None else formats.percent(value) if share else f"{value:.4g}"
            for value in (change.before, change.after)
        ],
    }


def _picture(change: Change) -> Markup | None:
    plot = change.plot
    if plot is None or len(plot.edges) < 2 or not len(plot.edges) - 1 == len(plot.reference) == len(plot.found):
        return None
    # No text from data enters a plot: a figure's name is one of ours only in a file of ours.
    return plots.two_histograms(plot.edges, plot.reference, plot.found)


def _classes(plot: Plot) -> list[dict[str, Any]]:
    """A row a class: its share of both samples, and the widths of their bars relative to the largest."""
    shares = [[count / max(1, sum(counts)) for count in counts] for counts in (plot.reference, plot.found)]
    largest = max((share for side in shares for share in side), default=0) or 1
    return [
        {"name": name, "cells": [(formats.percent(share), share / largest) for share in pair]}
        for name, *pair in zip(plot.classes, *shares, strict=False)
    ]
