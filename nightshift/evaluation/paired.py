"""Two models on the same examples: which differences chance would give, one test or many at once. No TensorFlow."""

from collections.abc import Sequence

import numpy as np


def mcnemar(candidate: np.ndarray, champion: np.ndarray) -> tuple[int, int, float]:
    """McNemar's exact test, one-sided (Psychometrika 12, 1947): is the candidate better than chance would have it?

    Args:
        candidate: bool [N], right or wrong on each example.
        champion: bool [N], on the same examples.

    Returns:
        examples only the candidate gets right; only the champion; and the probability of at least as many of the
        first kind if both were equally good.
    """
    from scipy.stats import binomtest

    if candidate.shape != champion.shape:
        raise ValueError(f"found {candidate.shape} and {champion.shape} answers, expected the same examples")
    better, worse = int((candidate & ~champion).sum()), int((champion & ~candidate).sum())
    if better + worse == 0:
        return 0, 0, 1.0
    return better, worse, float(binomtest(better, better + worse, alternative="greater").pvalue)


def holm(chances: Sequence[float]) -> list[float]:
    """Holm's correction (Scandinavian Journal of Statistics 6, 1979) of the p of several tests, in their order.

    Rejecting what stays below a rate rejects any true hypothesis with at most that probability, whatever the tests have
    to do with each other: slices overlap.
    """
    count = len(chances)
    order = np.argsort(chances, kind="stable")
    stepped = np.asarray(chances, float)[order] * np.arange(count, 0, -1)
    adjusted = np.empty(count)
    adjusted[order] = np.minimum(np.maximum.accumulate(stepped), 1.0)
    found: list[float] = adjusted.tolist()
    return found
