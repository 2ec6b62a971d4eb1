"""Requests by which a version is told from another: sampled live ones or the golden batch. No TensorFlow."""

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from nightshift.errors import NightshiftError, ServingError
from nightshift.serving.client import Client
from nightshift.serving.golden import TOLERANCE, Golden, differences
from nightshift.serving.samples import recent
from nightshift.serving.tensors import TensorError, to_array

Tensors = Mapping[str, np.ndarray[Any, Any]]
MAX_TENSOR_BYTES = 64 << 20
CLASSIFY = "classify"


@dataclass(frozen=True)
class Probe:
    """A request without model and version.

    Attributes:
        signature: that is asked.
        inputs: input name -> array; of `classify`, `inputs` holds serialised tf.Examples.
        outputs: that are wanted; none: all.
    """

    signature: str
    inputs: Tensors
    outputs: tuple[str, ...] = ()


Ask = Callable[[Probe], Tensors]
"""Gives the outputs, or raises ServingError."""


def asking(client: Client, model: str, *, version: int | None = None) -> Ask:
    """Ask a version, or what the label `stable` names."""
    return lambda probe: ask(client, model, probe, version=version)


def ask(client: Client, model: str, probe: Probe, *, version: int | None = None) -> Tensors:
    """The outputs of a request; of `classify`: classes, string [B, K], and scores, float32 [B, K], best first.

    Raises:
        ServingError: the server refused or did not answer.
    """
    if probe.signature != CLASSIFY:
        answer = client.predict(model, probe.inputs, signature=probe.signature, version=version, outputs=probe.outputs)
        return answer.outputs
    ranked = client.classify(model, list(probe.inputs["inputs"]), version=version)
    return {
        "classes": np.array([[name.encode() for name, _ in row] for row in ranked], object),
        "scores": np.array([[score for _, score in row] for row in ranked], np.float32),
    }


def golden_probes(golden: Golden) -> list[Probe]:
    """The golden batch, a request a signature."""
    return [Probe(signature, inputs) for signature, inputs in golden.requests.items()]


def sampled_probes(place: str, model: str, count: int) -> list[Probe]:
    """The requests that clients sent last, as far as they were sampled; those that cannot be read are left out.

    Raises:
        NightshiftError: the place cannot be listed or read.
    """
    found = recent(place, model, count) if place else []
    return [probe for probe in map(_probe, found) if probe is not None]


def live_probes(place: str, model: str, count: int, golden: Golden, tell: Callable[[str], None]) -> list[Probe]:
    """Sampled requests or, without any, the golden batch; says which."""
    try:
        found = sampled_probes(place, model, count)
    except NightshiftError as error:
        tell(f"{model}: the sampled requests cannot be read: {error}")
        found = []
    if not found:
        tell(f"{model}: no live requests were sampled; candidate and champion are compared on the golden batch alone")
        return golden_probes(golden)
    return found


def _probe(log: Any) -> Probe | None:
    """A PredictionLog's request; None if it is of another kind or does not hold what it says."""
    kind = log.WhichOneof("log_type")
    if kind == "predict_log":
        request = log.predict_log.request
        try:
            inputs = {name: to_array(proto, max_bytes=MAX_TENSOR_BYTES) for name, proto in request.inputs.items()}
        except TensorError:
            return None
        return Probe(request.model_spec.signature_name or "serving_default", inputs, tuple(request.output_filter))
    if kind == "classify_log":
        examples = log.classify_log.request.input.example_list.examples
        serialised = [example.SerializeToString() for example in examples]
        array = np.empty(len(serialised), object)
        array[:] = serialised
        return Probe(CLASSIFY, {"inputs": array})
    return None


def same_answer(one: Tensors, other: Tensors) -> bool:
    """Whether two answers come to the same: what is not a number with a fraction decides, if there is any of it.

    Probabilities of two models always differ a little; the class, or the permutation, is what callers act on.
    """
    decisive = {name: array for name, array in one.items() if array.dtype.kind != "f"} or dict(one)
    return all(difference <= TOLERANCE for difference in differences(decisive, other).values())


def p99(seconds: Sequence[float]) -> float:
    """The 99th percentile, by nearest rank; 0 of nothing."""
    return float(np.percentile(np.array(seconds), 99, method="inverted_cdf")) if len(seconds) else 0.0


def in_turn(probes: Sequence[Probe]) -> "itertools.cycle[Probe]":
    """All of them, again and again."""
    if not probes:
        raise ServingError("there is no request to ask")
    return itertools.cycle(probes)
