"""What the first pipeline counts; two counts add up, whatever parts of the data they are of."""

from collections import Counter
from collections.abc import Iterable
from typing import Any, Self

from nightshift.data.examples import Example, Rejected
from nightshift.data.limits import MAX_CLASSES
from nightshift.data.quarantine import Rejections

MAX_COUNTS = 3 * (MAX_CLASSES + 1)
"""Of splits and labels: with more there are too many classes, and which ones does not matter."""

Label = str | int | None


class Tally:
    """Examples seen, those left out, and how many the others are in each split of each label."""

    def __init__(self) -> None:
        self.seen = 0
        self.rejections = Rejections()
        self.counts: Counter[tuple[str, Label]] = Counter()

    @classmethod
    def of_all(cls, tallies: Iterable["Tally"]) -> Self:
        """Their sum."""
        total = cls()
        for tally in tallies:
            total.seen += tally.seen
            total.rejections.merge(tally.rejections)
            for place, count in tally.counts.items():
                total._count(place, count)
        return total

    def leave_out(self, rejected: Rejected) -> None:
        """Take one that cannot be used."""
        self.seen += 1
        self.rejections.add(rejected)

    def take(self, example: Example) -> None:
        """Take one that can."""
        self.seen += 1
        self._count((example.split, example.label), 1)

    def _count(self, place: tuple[str, Label], count: int) -> None:
        if place in self.counts or len(self.counts) < MAX_COUNTS:
            self.counts[place] += count

    def as_json(self) -> dict[str, Any]:
        """What `from_json` reads."""
        return {
            "seen": self.seen,
            "rejected": self.rejections.count,
            "listed": [(item.key, item.reason) for item in self.rejections.listed()],
            "counts": [(split, label, count) for (split, label), count in self.counts.items()],
        }

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> Self:
        """The one that was written."""
        tally = cls()
        tally.seen = content["seen"]
        tally.rejections = Rejections(content["rejected"], (Rejected(*item) for item in content["listed"]))
        tally.counts.update({(split, label): count for split, label, count in content["counts"]})
        return tally
