"""The images that are left out, counted, and the first of them by name: the same in whatever order they are found."""

import heapq
from collections.abc import Iterable

from nightshift.data.examples import Rejected
from nightshift.data.manifest import Quarantine, QuarantinedImage

MAX_QUARANTINED_LISTED = 1000


class Rejections:
    """Takes images one by one, or others of its kind, and holds only those that will be listed."""

    def __init__(self, count: int = 0, listed: Iterable[Rejected] = ()) -> None:
        self.count = count
        self._listed = list(listed)

    def add(self, rejected: Rejected) -> None:
        """Take one."""
        self.count += 1
        self._listed.append(rejected)
        if len(self._listed) >= 2 * MAX_QUARANTINED_LISTED:
            self._listed = self.listed()

    def merge(self, other: "Rejections") -> None:
        """Take all of another."""
        self.count += other.count
        self._listed += other._listed
        self._listed = self.listed()

    def listed(self) -> list[Rejected]:
        """The first by name."""
        return heapq.nsmallest(MAX_QUARANTINED_LISTED, self._listed, key=lambda item: (item.key, item.reason))

    def result(self) -> Quarantine:
        """What the manifest says."""
        return Quarantine(
            count=self.count,
            examples=[QuarantinedImage(key=printable(item.key), reason=item.reason) for item in self.listed()],
        )


def printable(name: str) -> str:
    """A name that may come from anywhere as text that can be shown and written as UTF-8."""
    return name.encode("utf-8", "backslashreplace").decode()[:500]
