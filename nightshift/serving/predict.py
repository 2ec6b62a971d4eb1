"""Predict: arrays in, arrays out, checked against the signature in TensorFlow Serving's words."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from nightshift.protos import predict_pb2
from nightshift.serving.servable import Runnable, always
from nightshift.serving.status import failed_precondition, invalid_argument, unimplemented
from nightshift.serving.tensors import TensorError, fill_field_proto, to_array

DEFAULT_SIGNATURE = "serving_default"


@dataclass(frozen=True)
class Question:
    """A request that fits the signature.

    Attributes:
        signature: its name.
        inputs: an array for each of its inputs.
        outputs: the names of those that are asked for.
    """

    signature: str
    inputs: Mapping[str, np.ndarray[Any, Any]]
    outputs: Sequence[str]


def predict(
    servable: Runnable, version: int, request: Any, *, max_bytes: int, wanted: Callable[[], bool] = always
) -> Any:
    """Answer a PredictRequest with a PredictResponse.

    Args:
        servable: the model.
        version: its version, for the answer.
        request: a PredictRequest.
        max_bytes: the most memory that one input may take.
        wanted: whether somebody still waits for the answer.

    Raises:
        StatusError: the request does not fit the signature, or the model refused it.
    """
    asked = question(servable, request, max_bytes=max_bytes)
    answers = servable.run(asked.signature, asked.inputs, asked.outputs, wanted)
    return response_of(asked, answers, request.model_spec.name, version)


def question(servable: Runnable, request: Any, *, max_bytes: int) -> Question:
    """What a PredictRequest asks of a model; arguments and errors as for `predict`."""
    name = request.model_spec.signature_name or DEFAULT_SIGNATURE
    signature = servable.signature(name)
    if signature is None:
        raise failed_precondition(f'Serving signature key "{name}" not found.')
    inputs = _inputs(signature, request.inputs, max_bytes)
    return Question(name, inputs, _outputs(signature, request.output_filter))


def response_of(asked: Question, outputs: Mapping[str, np.ndarray[Any, Any]], model: str, version: int) -> Any:
    """The PredictResponse with a model's outputs.

    Raises:
        StatusError: UNIMPLEMENTED, an output is of a dtype that cannot be sent.
    """
    response = predict_pb2.PredictResponse()
    response.model_spec.name = model
    response.model_spec.version.value = version
    response.model_spec.signature_name = asked.signature
    for alias, array in outputs.items():
        try:
            fill_field_proto(response.outputs[alias], array)
        except TensorError as error:
            raise unimplemented(f"output {alias} cannot be sent: {error}") from error
    return response


def _inputs(signature: Any, sent: Mapping[str, Any], max_bytes: int) -> dict[str, np.ndarray[Any, Any]]:
    expected = signature.inputs
    if len(sent) == len(expected) and all(alias in expected for alias in sent):
        return {alias: _array(alias, proto, max_bytes) for alias, proto in sent.items()}
    required = signature.inputs.keys() - signature.defaults.keys()
    if len(sent) > len(signature.inputs) or (len(sent) < len(signature.inputs) and not signature.defaults):
        raise invalid_argument(_size_mismatch(set(sent), set(signature.inputs)))
    for alias in sorted(required - sent.keys()):
        raise invalid_argument(
            f"Signature input alias: {alias}(feed name: {signature.inputs[alias].name}) not found in request and no "
            f"default value provided. Inputs expected to be in the request {{{_joined(sent)}}}, "
            f"or default input alias set: {_joined(signature.defaults)}"
        )
    known = sent.keys() & signature.inputs.keys()
    if len(known) != len(sent):
        raise invalid_argument(
            f"Inputs contains invalid name. Used request inputs: {_joined(known)}, request input: {_joined(sent)}"
        )
    protos = {alias: sent[alias] if alias in known else signature.defaults[alias] for alias in signature.inputs}
    return {alias: _array(alias, proto, max_bytes) for alias, proto in protos.items()}


def _array(alias: str, proto: Any, max_bytes: int) -> np.ndarray[Any, Any]:
    try:
        return to_array(proto, max_bytes=max_bytes)
    except TensorError as error:
        raise invalid_argument(f"tensor parsing error: {alias}: {error}") from error


def _size_mismatch(sent: set[str], expected: set[str]) -> str:
    return (
        f"input size does not match signature: {len(sent)}!={len(expected)} "
        f"len({{{_joined(sent)}}}) != len({{{_joined(expected)}}}). "
        f"Sent extra: {{{_joined(sent - expected)}}}. Missing but required: {{{_joined(expected - sent)}}}."
    )


def _outputs(signature: Any, asked: Iterable[str]) -> Sequence[str]:
    chosen: list[str] = []
    for alias in asked:
        if alias not in signature.outputs:
            raise invalid_argument(
                f"output tensor alias not found in signature: {alias} "
                f"Outputs expected to be in the set {{{_joined(signature.outputs)}}}."
            )
        if alias in chosen:
            raise invalid_argument(f"duplicate output tensor alias: {alias}")
        chosen.append(alias)
    return chosen or sorted(signature.outputs)


def _joined(names: Iterable[str]) -> str:
    return ",".join(sorted(names))
