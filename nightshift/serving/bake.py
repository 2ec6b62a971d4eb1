"""The bake: a version that has just begun to serve is watched for a while, and held against its predecessor."""

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from nightshift.errors import ReleaseError, ServingError
from nightshift.serving.probes import Ask, Probe, Tensors, in_turn, p99
from nightshift.serving.shadow import too_slow

PAUSE_SECONDS = 0.02
"""Between two requests: the watching is not to be what makes a server slow."""

BEFORE_SECONDS = 5.0
"""The longest that the predecessor is looked at. What it was not asked by then, its successor is not asked either."""

SLACK_SECONDS = 0.1
SLOW_REQUESTS = 5
"""A busy machine holds up one or two by itself, and p99 of a few seconds is as few."""

FATAL_ERRORS = 3
"""Fewer are an accident; so many can be enough, and then end the watching at once."""

CHANCE = 0.01
"""Errors count if as many would come by chance with a smaller probability."""


@dataclass
class Quality:
    """What the requests so far came to.

    Attributes:
        seconds: of each answer.
        errors: of the others.
        answered: the requests that were answered at least once.
    """

    seconds: list[float]
    errors: list[str]
    answered: Sequence[Probe] = ()

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
            before: of the predecessor, of whose answers the requests are then asked alone; None: there was none, or it
                cannot be asked any more.
            slower: how many times its p99 is too much.
            errors: the share of errors beyond its own that is tolerated.
        """
        self.found = Quality([], [])
        self._probes = in_turn((before.answered if before else ()) or probes)
        self._before = before if before and before.asked else None
        self._slower = slower
        self._errors = errors

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
        if self._before is None or not self._before.seconds:
            return
        slow = [one for one in self.found.seconds if too_slow(one, self._before.p99, self._slower, SLACK_SECONDS)]
        if len(slow) > 0.01 * self.found.asked and len(slow) >= min(SLOW_REQUESTS, self.found.asked):
            raise ReleaseError(
                f"while it served, p99 was {1000 * self.found.p99:.0f} ms of {self.found.asked} requests, its "
                f"predecessor's just before {1000 * self._before.p99:.0f} ms; expected at most {self._slower:g} times "
                "that"
            )

    def _check_errors(self) -> None:
        failed, asked, before = len(self.found.errors), self.found.asked, self._before
        if failed < FATAL_ERRORS or self.found.error_share <= self._errors + (before.error_share if before else 0.0):
            return
        if before is None:
            chance = tail_of_binomial(failed, asked, self._errors)
            reference = f"expected at most {self._errors:.1%}"
        else:
            chance = fisher(failed, asked, len(before.errors), before.asked)
            reference = f"of its predecessor's just before {len(before.errors)} of {before.asked}"
        if chance < CHANCE:
            raise ReleaseError(
                f"while it served, {failed} of {asked} requests failed, {reference}: {self.found.errors[0]}"
            )


def quality_before(probes: Sequence[Probe], ask: Ask, bake_seconds: float, proceed: Callable[[], None]) -> Quality:
    """What serves, looked at just before it gives way, for as long as its successor will be, BEFORE_SECONDS at most.

    Requests that it never answers are left out, unless that is all of them: they are no fault of its successor.
    """
    answered: dict[int, Probe] = {}
    failed: list[tuple[int, str]] = []

    def noting(probe: Probe) -> Tensors:
        try:
            outputs = ask(probe)
        except ServingError as error:
            failed.append((id(probe), str(error)))
            raise
        answered[id(probe)] = probe
        return outputs

    watch = Watch(probes, None, slower=float("inf"), errors=1.0)
    watch.go_on(noting, min(bake_seconds, BEFORE_SECONDS), proceed)
    errors = [text for probe, text in failed if probe in answered or not answered]
    return replace(watch.found, errors=errors, answered=tuple(answered.values()))


def fisher(failed: int, asked: int, failed_before: int, asked_before: int) -> float:
    """One-sided p-value of Fisher's exact test: that by chance so many of all the errors, or more, are among these.

    Not SciPy's: whoever deploys has no other need of it.
    """
    errors = failed + failed_before

    def log_ways(among_these: int) -> float:
        return _log_comb(asked, among_these) + _log_comb(asked_before, errors - among_these)

    every = _log_comb(asked + asked_before, errors)
    return math.fsum(math.exp(log_ways(number) - every) for number in range(failed, min(errors, asked) + 1))


def tail_of_binomial(failed: int, asked: int, share: float) -> float:
    """The probability that at least `failed` of `asked` requests fail where a share of them does; 0 < failed."""
    if not 0 < share < 1:
        return float(share >= 1)

    def log_chance(number: int) -> float:
        return _log_comb(asked, number) + number * math.log(share) + (asked - number) * math.log1p(-share)

    return max(0.0, 1.0 - math.fsum(math.exp(log_chance(number)) for number in range(failed)))


def _log_comb(count: int, chosen: int) -> float:
    """Logarithm of the binomial coefficient, whose own digits grow with a long watch."""
    return math.lgamma(count + 1) - math.lgamma(chosen + 1) - math.lgamma(count - chosen + 1)
