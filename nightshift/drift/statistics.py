"""Two samples of figures: how likely is it that they come from one distribution, and how far apart are they?

A test's p-value alone alarms on nothing once samples are large, and a distance alone alarms by chance when they are
small; so every test here gives both.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Figures = NDArray[np.float32]

BINS = 10
LEAST_EXPECTED = 5.0
"""Counts that the chi-square test takes for enough; rarer classes are put together (Cochran, 1954)."""


@dataclass(frozen=True)
class Tested:
    """What a test found.

    Attributes:
        p: how often two samples of one distribution are at least so different.
        effect: how different these are, in the test's own measure.
    """

    p: float
    effect: float


def stability_index(expected: NDArray[np.float64], found: NDArray[np.float64]) -> float:
    """The population stability index of two histograms over the same bins: sum of (f - e) ln(f / e) of their shares.

    Symmetric, 0 for equal shares. Half a count is added to every bin, so that an empty one does not make it infinite.
    By custom below 0.1 is no change, above 0.2 or 0.25 one to act upon (Siddiqi, Credit Risk Scorecards, 2006).
    """
    e, f = ((counts + 0.5) / (counts.sum() + 0.5 * len(counts)) for counts in (expected, found))
    return float(((f - e) * np.log(f / e)).sum())


def figures_differ(reference: Figures, found: Figures) -> Tested:
    """Kolmogorov-Smirnov's two-sample test; the effect is the population stability index.

    Its bins hold equal shares of the reference; a value that alone is such a share, as a probability of 1, has its own.

    Args:
        reference: float32 [N], finite.
        found: float32 [M], finite.
    """
    from scipy.stats import ks_2samp

    inner = np.unique(np.quantile(reference, np.linspace(0, 1, BINS + 1)[1:-1], method="inverted_cdf"))
    frequent = inner[(reference[:, None] == inner).mean(axis=0) >= 1 / BINS]
    edges = np.unique(np.concatenate([[-np.inf], inner, np.nextafter(frequent, np.float32(np.inf)), [np.inf]]))
    counts = [np.histogram(sample, edges)[0].astype(np.float64) for sample in (reference, found)]
    return Tested(float(ks_2samp(reference, found, method="asymp").pvalue), stability_index(*counts))


def classes_differ(reference: NDArray[np.int64], found: NDArray[np.int64]) -> Tested:
    """The chi-square test of two samples of classes, rare ones put together; the effect is the stability index.

    Args:
        reference: int64 [N], 0 or more.
        found: int64 [M], 0 or more.
    """
    from scipy.stats import chi2_contingency

    length = int(max(reference.max(), found.max())) + 1
    counts = np.stack([np.bincount(sample, minlength=length) for sample in (reference, found)]).astype(np.float64)
    table = _frequent(counts)
    if table.shape[1] < 2:
        return Tested(1.0, 0.0)
    return Tested(float(chi2_contingency(table, correction=False).pvalue), stability_index(*table))


def _frequent(counts: NDArray[np.float64]) -> NDArray[np.float64]:
    """Two rows of counts with the classes too rare for the test in one column, which takes others until it is not."""
    totals = counts.sum(axis=0)
    least = LEAST_EXPECTED * totals.sum() / counts.sum(axis=1).min()
    order = np.argsort(totals)
    order = order[totals[order] > 0]
    rare = order[totals[order] < least]
    while rare.size and totals[rare].sum() < least and rare.size < order.size:
        rare = order[: rare.size + 1]
    frequent = np.sort(order[rare.size :])
    return (
        np.hstack([counts[:, frequent], counts[:, rare].sum(axis=1, keepdims=True)])
        if rare.size
        else counts[:, frequent]
    )


def samples_differ(reference: NDArray[np.float32], found: NDArray[np.float32], seed: int = 0) -> Tested:
    """The classifier two-sample test: can a classifier tell on unseen rows which sample they are of?

    Lopez-Paz and Oquab, "Revisiting classifier two-sample tests", ICLR 2017. A logistic regression on the figures,
    their squares and products; both samples cut to the smaller one's size, so that 1/2 of the answers are right by
    chance. It learns from one half of the rows and is judged on the other, as in the paper: then the number of right
    answers is binomial, and p exact. (Over the folds of a cross-validation answers depend on each other, and p comes
    out too small: measured, at 1 % it alarmed in 3 % of trials.) The effect is the area under the ROC curve.

    Args:
        reference: float32 [N, F], finite.
        found: float32 [M, F], finite.
        seed: of the rows that are left out, and of the halves.
    """
    from scipy.stats import binomtest
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import roc_auc_score
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import PolynomialFeatures, QuantileTransformer

    random = np.random.default_rng(seed)
    size = min(len(reference), len(found))
    samples = [random.permutation(sample)[:size].astype(np.float64) for sample in (reference, found)]
    half = size // 2
    learnt, judged = (np.concatenate([sample[part] for sample in samples]) for part in (slice(half), slice(half, None)))
    classifier = make_pipeline(
        # By rank: no outlier pulls the scale, and the tails of the other half stay bounded.
        QuantileTransformer(n_quantiles=min(100, 2 * half)),
        PolynomialFeatures(2, include_bias=False),
        LogisticRegression(C=1.0, max_iter=200, tol=1e-3),
    )
    classifier.fit(learnt, np.repeat([0, 1], half))
    scores = classifier.decision_function(judged)
    labels = np.repeat([0, 1], size - half)
    right = int(((scores > 0) == (labels == 1)).sum())
    p = binomtest(right, len(labels), 0.5, alternative="greater").pvalue
    return Tested(float(p), float(roc_auc_score(labels, scores)))


def shares_differ(reference: NDArray[np.bool_], found: NDArray[np.bool_]) -> Tested:
    """Fisher's exact test that a share has fallen; the effect is by how much.

    Args:
        reference: bool [N].
        found: bool [M].
    """
    from scipy.stats import fisher_exact

    table = [[int(sample.sum()), int((~sample).sum())] for sample in (reference, found)]
    return Tested(float(fisher_exact(table, alternative="greater").pvalue), float(reference.mean() - found.mean()))


def adjusted(values: Sequence[float]) -> list[float]:
    """P-values by Holm's step-down method: those at most `a` are errors, one or more of them, with chance at most `a`.

    Holm, "A simple sequentially rejective multiple test procedure", Scandinavian Journal of Statistics 6, 1979.
    """
    order = np.argsort(values)
    stepped = np.maximum.accumulate(np.asarray(values, np.float64)[order] * np.arange(len(values), 0, -1))
    result = np.empty(len(values))
    result[order] = np.minimum(stepped, 1.0)
    return [float(value) for value in result]


def table(columns: Mapping[str, Figures], names: Sequence[str]) -> NDArray[np.float32]:
    """Columns side by side, float32 [N, F]."""
    return np.stack([columns[name] for name in names], axis=1)
