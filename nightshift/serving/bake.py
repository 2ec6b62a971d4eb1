"""The bake: a version that has just begun to serve is watched for a while, and held against its predecessor."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from nightshift.errors import ReleaseError, ServingError
from nightshift.serving.probes import Ask, Probe, in_turn, p99
from nightshift.serving.shadow import too_slow

PAUSE_SECONDS = 0.02
"""Between two requests: the watching is not to be what makes a server slow."""

BEFORE_SECONDS = 5.0
"""The longest that the predecessor is looked at."""

SLACK_SECONDS = 0.1
SLOW_REQUESTS = 5
"""A busy machine holds up one or two by itself, and p99 of a few seconds is as few."""

FATAL_ERRORS = 3
"""So many are enough to end the watching at once, if they are too large a share."""


@dataclass
class Quality:
    """What the requests so far came to.

    Attributes:
        seconds: of each answer.
        errors: of the others.
    """

    seconds: list[float]
    errors: list[str]

    @property
    def asked(self) -> int:
        """How many requests."""
        return len(self.seconds) + len(self.errors)

    @property
    def error_share(self) -> float:
        """Of the requests; 0 of none."""
        return len(self.errors) / self.asked if self.asked else 0.0

    @property
    def p99(self) -> float:
        """In seconds."""
        return p99(self.seconds)


class Watch:
    """Requests sent one after the other for a while, and judged."""

    def __init__(self, probes: Sequence[Probe], before: Quality | None, *, slower: float, errors: float) -> None:
        """Begin to watch.

        Args:
            probes: the requests.
            before: of the predecessor; None: there was none, or it cannot be asked any more.
            slower: how many times its p99 is too much.
            errors: what share of errors beyond its own is.
        """
        self.found = Quality([], [])
        self._probes, self._before = in_turn(probes), before
        self._slower = slower
        self._errors = errors + (before.error_share if before else 0.0)

    def go_on(self, ask: Ask, seconds: float, proceed: Callable[[], None]) -> None:
        """Ask for so many seconds.

        Raises:
            ReleaseError: too many requests fail.
        """
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            proceed()
            began = time.monotonic()
            try:
                ask(next(self._probes))
            except ServingError as error:
                self.found.errors.append(str(error))
                if len(self.found.errors) >= FATAL_ERRORS:
                    self._check_errors()
            else:
                self.found.seconds.append(time.monotonic() - began)
            time.sleep(PAUSE_SECONDS)

    def check(self) -> None:
        """Judge it all.

        Raises:
            ReleaseError: too many requests failed, or p99 is too far above the predecessor's, and not by an accident.
        """
        self._check_errors()
        if self._before is None:
            return
        slow = [one for one in self.found.seconds if too_slow(one, self._before.p99, self._slower, SLACK_SECONDS)]
        if len(slow) > 0.01 * self.found.asked and len(slow) >= min(SLOW_REQUESTS, self.found.asked):
            raise ReleaseError(
                f"while it served, p99 was {1000 * self.found.p99:.0f} ms of {self.found.asked} requests, its "
                f"predecessor's just before {1000 * self._before.p99:.0f} ms; expected at most {self._slower:g} times "
                "that"
            )

    def _check_errors(self) -> None:
        if self.found.error_share > self._errors:
            raise ReleaseError(
                f"while it served, {len(self.found.errors)} of {self.found.asked} requests failed, expected at most "
                f"{self._errors:.1%}: {self.found.errors[0]}"
            )


def quality_before(probes: Sequence[Probe], ask: Ask, bake_seconds: float, proceed: Callable[[], None]) -> Quality:
    """What serves, looked at just before it gives way, for half as long as its successor will be."""
    watch = Watch(probes, None, slower=float("inf"), errors=1.0)
    watch.go_on(ask, min(bake_seconds / 2, BEFORE_SECONDS), proceed)
    return watch.found
