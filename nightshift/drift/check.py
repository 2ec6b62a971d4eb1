"""Two questions: have the data that are trained on changed, and do live requests still look like them? No TensorFlow.

Both are held against the reference statistics of the version that serves.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nightshift.data.manifest import Dataset
from nightshift.data.sample import sample
from nightshift.drift.again import Ask, solves, tiles_of
from nightshift.drift.comparison import Comparison, Limits, Sample, compare
from nightshift.drift.features import features
from nightshift.drift.live import MAX_IMAGES, live_of
from nightshift.drift.reference import Reference
from nightshift.serving.client import Client
from nightshift.serving.samples import recent

SPLIT = "validation"
MAX_SAMPLE_BYTES = 256 << 20
PUZZLES = 500
"""Tiles of served pictures that a solver is asked about."""
LABEL, PREDICTED, TILES = "class", "predicted class", "puzzles made of single tiles"


@dataclass(frozen=True)
class Drift:
    """What was compared, and what came of it.

    Attributes:
        subject: what was held against the reference.
        version: whose reference.
        comparison: the outcome; None: nothing could be compared.
        reason: why not; else empty.
        notes: what else to know about the sample.
    """

    subject: str
    version: int
    comparison: Comparison | None
    reason: str = ""
    notes: tuple[str, ...] = ()

    @property
    def drifted(self) -> bool:
        """Whether it alarms."""
        return self.comparison is not None and self.comparison.drifted

    @property
    def words(self) -> str:
        """One line."""
        return self.reason if self.comparison is None else self.comparison.words()

    def facts(self, *, plots: bool = False) -> dict[str, Any]:
        """For a program; without what is only there to be drawn unless asked for."""
        facts: dict[str, Any] = {"subject": self.subject, "version": self.version}
        if self.comparison is not None:
            facts |= self.comparison.facts(plots=plots)
        else:
            facts |= {"drifted": False, "words": self.reason}
        return facts | {"notes": list(self.notes)}


def data_drift(dataset: Dataset, saved_model: Path, version: int, trained_on: str) -> Drift:
    """Compare a dataset's validation split with the serving version's: the same part of the data, cut in the same way.

    Args:
        dataset: what would be trained on.
        saved_model: the serving version.
        version: its number.
        trained_on: fingerprint of the dataset that it was trained on.

    Raises:
        StoreError: the version's reference statistics cannot be read.
    """
    subject = "the data"
    if dataset.fingerprint == trained_on:
        return Drift(subject, version, None, f"the very data that version {version} was trained on")
    reference = Reference.load(saved_model)
    if reference is None:
        return Drift(subject, version, None, no_reference(version))
    size = int(np.prod(dataset.manifest.image_shape))
    images, labels = sample(dataset, SPLIT, max(1, min(MAX_IMAGES, MAX_SAMPLE_BYTES // size)))
    names, numbers = _by_name(reference.classes, dataset.manifest.classes, labels)
    found = Sample(features(images, reference.grid), numbers)
    expected = Sample(reference.columns, reference.label)
    return Drift(subject, version, compare(expected, found, names, classes=LABEL))


def _by_name(
    known: Sequence[str], found: Sequence[str], labels: NDArray[np.int64]
) -> tuple[list[str], NDArray[np.int64] | None]:
    """All classes, those that the reference knows first, and the labels as numbers of theirs; None: there are none."""
    names = [*known, *(name for name in found if name not in known)]
    if not found or (labels < 0).any():
        return names, None
    return names, np.array([names.index(name) for name in found], np.int64)[labels]


def live_drift(
    place: str, model: str, version: int, saved_model: Path, *, ask: Ask | None = None, limits: Limits | None = None
) -> Drift:
    """Compare sampled live requests that a version answered with its reference.

    Args:
        place: of the samples, a folder or gs://BUCKET/PREFIX.
        model: its name.
        version: that serves.
        saved_model: its files.
        ask: a puzzle solver, asked about single tiles of served pictures; None: it is not asked.
        limits: when to alarm.

    Raises:
        ConfigurationError: the place is none.
        StoreError: the samples or the version's reference statistics cannot be read.
        ServingError: the solver does not answer.
    """
    subject = "live requests"
    reference = Reference.load(saved_model)
    if reference is None:
        return Drift(subject, version, None, no_reference(version))
    logs = recent(place, model, MAX_IMAGES, version=version)
    if not logs:
        return Drift(subject, version, None, f"no request that version {version} answered is in {place}")
    live = live_of(logs, reference)
    notes = [
        f"{count:,} {words}"
        for count, words in (
            (live.repeated, "images were asked about before, and count once"),
            (live.unreadable, "images could not be read, and are left out"),
        )
        if count
    ]
    found = live.sample
    solved: dict[str, NDArray[np.bool_]] = {}
    if ask is not None and reference.grid > 1 and len(live.pictures):
        solved[TILES] = solves(ask, tiles_of(live.pictures[:PUZZLES], reference.grid, 0), reference.grid, 0)
    known = {} if reference.tile_solved is None else {TILES: reference.tile_solved}
    expected = Sample(reference.columns, reference.predicted, known)
    comparison = compare(
        expected,
        Sample(found.columns, found.classes, solved),
        reference.classes,
        limits,
        classes=PREDICTED,
    )
    return Drift(subject, version, comparison, notes=tuple(notes))


def asker(client: Client, model: str, version: int) -> Ask:
    """A version of a puzzle solver on a server; asked by its number, so that these questions are not sampled."""

    def ask(pictures: NDArray[np.uint8]) -> NDArray[np.int64]:
        answer = client.predict(model, {"images": pictures}, version=version, outputs=("permutation",))
        return answer.outputs["permutation"].astype(np.int64)

    return ask


def no_reference(version: int) -> str:
    """Said of a version that cannot be compared with."""
    return (
        f"version {version} has no reference statistics: it was imported, or exported before there were any; the next "
        "version that is trained has them"
    )
