"""The shadow: recent requests are asked of candidate and champion side by side, before anybody depends on the first.

Not a canary: of a canary's mistakes some caller has the damage, and a share of the traffic takes clients or a balancer
that can send it, which TensorFlow Serving's labels cannot. The same requests put to both tell errors and slowness from
few of them, and nobody sees the answers.
"""

import contextlib
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from nightshift.errors import ReleaseError, ServingError
from nightshift.serving.probes import Ask, Probe, Tensors, p99, same_answer

TRIES, MOST_TRIES = 3, 10
SECONDS = 30.0
SLACK_SECONDS = 0.02
"""A difference that no caller is hurt by, and that a busy machine makes by itself."""


@dataclass(frozen=True)
class Shadowed:
    """What the comparison found.

    Attributes:
        requests: that were asked of both and answered by the champion.
        errors: of the candidate, where the champion answered.
        candidate: its p99 in seconds, of the quickest tries.
        champion: the same of the champion.
        equal: share of the requests with the same answer.
    """

    requests: int
    errors: tuple[str, ...]
    candidate: float
    champion: float
    equal: float

    def in_words(self) -> str:
        """A line for whoever follows the release."""
        return (
            f"{self.requests} requests asked of it and of what serves: {self.equal:.1%} with the same answer, p99 "
            f"{1000 * self.candidate:.1f} ms, of what serves {1000 * self.champion:.1f} ms"
        )

    def check(self, slower: float) -> None:
        """Refuse errors that the champion does not make, and a p99 `slower` times the champion's.

        Raises:
            ReleaseError: there are some, or it is.
        """
        if self.errors:
            raise ReleaseError(
                f"it fails {len(self.errors)} of {self.requests} requests that what serves answers: {self.errors[0]}"
            )
        if too_slow(self.candidate, self.champion, slower, SLACK_SECONDS):
            raise ReleaseError(
                f"it is too slow: p99 {1000 * self.candidate:.1f} ms on {self.requests} requests, what serves takes "
                f"{1000 * self.champion:.1f} ms; expected at most {slower:g} times that"
            )


def too_slow(seconds: float, reference: float, slower: float, slack: float) -> bool:
    """Whether a latency is both that many times another one and, in seconds, further from it than the slack."""
    return seconds > slower * reference and seconds - reference > slack


def shadow(
    probes: Sequence[Probe], candidate: Ask, champion: Ask, slower: float, proceed: Callable[[], None]
) -> Shadowed:
    """Ask both, for SECONDS at most.

    A latency is the quickest of some tries: what is compared is the models, not who else computes on the machine.

    Args:
        probes: the requests.
        candidate: asks the one that is to serve.
        champion: asks the one that does.
        slower: see Shadowed.check; a request that seems so much slower is tried more often before that is believed.
        proceed: called before each request; what it raises ends the comparison.
    """
    deadline = time.monotonic() + SECONDS
    compared, errors = [], []
    for probe in probes:
        proceed()
        if time.monotonic() > deadline:
            break
        # The champion first: a request that ends the whole server counts against the candidate.
        try:
            expected = champion(probe)
        except ServingError:
            continue
        try:
            same = same_answer(expected, candidate(probe))
            compared.append((same, *_latencies(probe, candidate, champion, slower, proceed)))
        except ServingError as error:
            errors.append(str(error))
    return Shadowed(
        requests=len(compared) + len(errors),
        errors=tuple(errors),
        candidate=p99([seconds for _, seconds, _ in compared]),
        champion=p99([seconds for _, _, seconds in compared]),
        equal=sum(same for same, _, _ in compared) / len(compared) if compared else 0.0,
    )


def _latencies(
    probe: Probe, candidate: Ask, champion: Ask, slower: float, proceed: Callable[[], None]
) -> tuple[float, float]:
    """Seconds that candidate and champion take for a request that both answer, one after the other in turn.

    Raises:
        ServingError: the candidate did not answer it each time.
    """
    ours = theirs = float("inf")
    for number in range(MOST_TRIES):
        proceed()
        with contextlib.suppress(ServingError):  # what serves has its own troubles, and they are not the candidate's
            theirs = min(theirs, _timed(champion, probe))
        ours = min(ours, _timed(candidate, probe))
        if number + 1 >= TRIES and not too_slow(ours, theirs, slower, SLACK_SECONDS):
            break
    return ours, theirs


def _timed(ask: Callable[[Probe], Tensors], probe: Probe) -> float:
    began = time.monotonic()
    ask(probe)
    return time.monotonic() - began
