"""How long a server takes to answer one image, told from how busy the machine is."""

import math
from collections.abc import Callable
from dataclasses import dataclass

from nightshift.tasks.base import Latency

WARM_REQUESTS = 10
REQUESTS = 300
"""A round's: three of them lie above its 99th percentile."""

ROUNDS = 3
HOPELESS = 20
"""A round ends early if so many requests at its beginning were all slower than the median may be."""


@dataclass(frozen=True)
class Measured:
    """The best round, in milliseconds.

    Attributes:
        p50: the median of its requests.
        p99: their 99th percentile.
        requests: how many they were; less than REQUESTS if it was clear before that it breaks the budget.
        rounds: how many rounds there were.
    """

    p50: float
    p99: float
    requests: int
    rounds: int

    def keeps(self, budget: Latency) -> bool:
        """Whether it is within the budget."""
        return self.p50 <= budget.p50 and self.p99 <= budget.p99

    def in_words(self) -> str:
        """Both percentiles, and what they are of."""
        best = f", the best of {self.rounds} rounds" if self.rounds > 1 else ""
        return f"p50 {self.p50:.1f} ms, p99 {self.p99:.1f} ms over {self.requests} requests of one image{best}"


def measure(ask: Callable[[], float], budget: Latency) -> Measured:
    """Ask one request after the other, a few to warm up, then in rounds until one keeps to the budget.

    A machine that is busy with something else for a moment spoils a round, not all; a slow model spoils all.

    Args:
        ask: sends a request and gives the seconds that it took.
        budget: to keep to.
    """
    for _ in range(WARM_REQUESTS):
        ask()
    rounds: list[Measured] = []
    while len(rounds) < ROUNDS and not any(measured.keeps(budget) for measured in rounds):
        times = sorted(_round(ask, budget))
        rounds.append(Measured(percentile(times, 50), percentile(times, 99), len(times), len(rounds) + 1))
    best = min(rounds, key=lambda measured: max(measured.p50 / budget.p50, measured.p99 / budget.p99))
    return Measured(best.p50, best.p99, best.requests, len(rounds))


def percentile(times: list[float], percent: int) -> float:
    """By the nearest rank: the smallest of the sorted times that at least `percent` of 100 do not exceed."""
    return times[math.ceil(len(times) * percent / 100) - 1]


def _round(ask: Callable[[], float], budget: Latency) -> list[float]:
    """Milliseconds of each request; ends as soon as the budget cannot be kept any more, so that no model takes long."""
    times: list[float] = []
    over_median = over_tail = 0
    while len(times) < REQUESTS:
        times.append(1000 * ask())
        over_median += times[-1] > budget.p50
        over_tail += times[-1] > budget.p99
        if over_median > REQUESTS // 2 or over_tail > REQUESTS // 100 or over_median == len(times) == HOPELESS:
            break
    return times
