"""Ask a server the golden batch of a version and compare. No TensorFlow."""

from collections.abc import Mapping

import numpy as np

from nightshift.errors import StoreError
from nightshift.serving.client import Client
from nightshift.serving.golden import TOLERANCE, Golden, differences
from nightshift.serving.probes import CLASSIFY, Probe, ask

Differences = dict[str, dict[str, float]]


def smoke_test(client: Client, model: str, version: int, golden: Golden) -> Differences:
    """Ask every signature of a loaded version.

    Returns:
        signature -> output -> the largest absolute difference from the golden answers.

    Raises:
        StoreError: an answer is further away than TOLERANCE; names signature and output.
        ServingError: the server refused or did not answer.
    """
    found: Differences = {}
    for signature, inputs in golden.requests.items():
        answers, expected = ask(client, model, Probe(signature, inputs), version=version), golden.answers[signature]
        if signature == CLASSIFY:
            answers, expected = _by_class(answers), _by_class(expected)
        found[signature] = differences(expected, answers)
        for output, difference in found[signature].items():
            if not difference <= TOLERANCE:
                raise StoreError(
                    f"{model} version {version}, signature {signature!r}, output {output!r}: the server's answers to "
                    f"the golden batch are off by {difference:g} from the trained network's, expected at most "
                    f"{TOLERANCE:g}"
                )
    return found


def _by_class(answers: Mapping[str, np.ndarray]) -> Mapping[str, np.ndarray]:
    """Classes and scores, [B, K], by name: ranked by score, rounding may swap two that are all but equal."""
    order = np.argsort(answers["classes"], axis=1)
    return {name: np.take_along_axis(array, order, axis=1) for name, array in answers.items()}
