"""Predict: arrays in, arrays out, checked against the signature in TensorFlow Serving's words."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from nightshift.protos import predict_pb2
from nightshift.serving.servable import Servable
from nightshift.serving.status import failed_precondition, invalid_argument, unimplemented
from nightshift.serving.tensors import TensorError, to_array, to_field_proto

DEFAULT_SIGNATURE = "serving_default"


def predict(servable: Servable, version: int, request: Any, *, max_bytes: int) -> Any:
    """Answer a PredictRequest with a PredictResponse.

    Args:
        servable: the model.
        version: its version, for the answer.
        request: a PredictRequest.
        max_bytes: the most memory that one input may take.

    Raises:
        StatusError: the request does not fit the signature, or the model refused it.
    """
    name = request.model_spec.signature_name or DEFAULT_SIGNATURE
    signature = servable.signature(name)
    if signature is None:
        raise failed_precondition(f'Serving signature key "{name}" not found.')
    inputs = _inputs(signature, request.inputs, max_bytes)
    outputs = servable.run(name, inputs, _outputs(signature, request.output_filter))
    response = predict_pb2.PredictResponse()
    response.model_spec.name = request.model_spec.name
    response.model_spec.version.value = version
    response.model_spec.signature_name = name
    for alias, array in outputs.items():
        try:
            response.outputs[alias].CopyFrom(to_field_proto(array))
        except TensorError as error:
            raise unimplemented(f"output {alias} cannot be sent: {error}") from error
    return response


def _inputs(signature: Any, sent: Mapping[str, Any], max_bytes: int) -> dict[str, np.ndarray[Any, Any]]:
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
