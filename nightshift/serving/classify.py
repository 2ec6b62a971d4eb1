"""Classify: tf.Examples in, labels with scores out, in TensorFlow Serving's words."""

from collections.abc import Callable
from typing import Any

import numpy as np

from nightshift.protos import classification_pb2
from nightshift.serving.predict import DEFAULT_SIGNATURE
from nightshift.serving.servable import Runnable, always
from nightshift.serving.status import invalid_argument

INPUT = "inputs"
CLASSES = "classes"
SCORES = "scores"


def classify(servable: Runnable, version: int, request: Any, *, wanted: Callable[[], bool] = always) -> Any:
    """Answer a ClassificationRequest with a ClassificationResponse.

    The signature takes `inputs`, string [N] of serialised tf.Examples, and gives `classes`, string [N, K], `scores`,
    float32 [N, K], or both. `wanted` says whether somebody still waits for the answer.

    Raises:
        StatusError: the request or the signature is not such, or the model refused it.
    """
    name = request.model_spec.signature_name or DEFAULT_SIGNATURE
    signature = servable.signature(name)
    if signature is None:
        raise invalid_argument(f"No signature was found with the name: {name}")
    _check_signature(signature)
    examples = _examples(request.input)
    chosen = sorted(signature.outputs.keys() & {CLASSES, SCORES})
    outputs = servable.run(name, {INPUT: examples}, chosen, wanted)
    response = classification_pb2.ClassificationResponse()
    response.model_spec.name = request.model_spec.name
    response.model_spec.version.value = version
    response.model_spec.signature_name = name
    _fill(response.result, outputs, len(examples))
    return response


def _check_signature(signature: Any) -> None:
    if len(signature.inputs) != 1:
        raise invalid_argument("Expected one input Tensor.")
    if len(signature.outputs) not in (1, 2):
        raise invalid_argument(f"Expected one or two output Tensors, found {len(signature.outputs)}")
    if INPUT not in signature.inputs:
        raise invalid_argument(f"No classification inputs found in SignatureDef: {signature}")
    if not signature.outputs.keys() & {CLASSES, SCORES}:
        raise invalid_argument(
            f'Expected classification signature outputs to contain at least one of "{CLASSES}" or "{SCORES}". '
            f"Signature was: {signature}"
        )


def _examples(sent: Any) -> np.ndarray[Any, Any]:
    context = b""
    examples = sent.example_list.examples
    if sent.WhichOneof("kind") == "example_list_with_context":
        # Serialised messages, one after the other, are their merger.
        context = sent.example_list_with_context.context.SerializeToString()
        examples = sent.example_list_with_context.examples
    if not examples:
        raise invalid_argument("Input is empty.")
    array = np.empty(len(examples), dtype=object)
    array[:] = [context + example.SerializeToString() for example in examples]
    return array


def _fill(result: Any, outputs: dict[str, np.ndarray[Any, Any]], count: int) -> None:
    for name, dtype in ((CLASSES, np.dtype(object)), (SCORES, np.dtype(np.float32))):
        if name in outputs:
            _check_output(name, outputs[name], dtype, count)
    widths = {array.shape[1] for array in outputs.values()}
    if len(widths) != 1:
        raise invalid_argument(
            "Tensors class and score should match in dim_size(1). "
            f"Got {outputs[CLASSES].shape[1]} vs. {outputs[SCORES].shape[1]}"
        )
    width = widths.pop()
    for row in range(count):
        classifications = result.classifications.add()
        for column in range(width):
            entry = classifications.classes.add()
            if CLASSES in outputs:
                entry.label = _label(outputs[CLASSES][row, column])
            if SCORES in outputs:
                entry.score = float(outputs[SCORES][row, column])


def _check_output(name: str, array: np.ndarray[Any, Any], dtype: np.dtype[Any], count: int) -> None:
    if array.ndim != 2:
        raise invalid_argument(f"Expected Tensor shape: [batch_size num_classes] but got {list(array.shape)}")
    if array.dtype != dtype:
        expected = "DT_STRING" if name == CLASSES else "DT_FLOAT"
        raise invalid_argument(f"Expected {name} Tensor of {expected}. Got: {array.dtype}")
    if array.shape[0] != count:
        raise invalid_argument(f"Expected {name} output batch size of {count}. Got: {array.shape[0]}")


def _label(value: bytes) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError as error:
        raise invalid_argument(f"classes: found {value!r}, expected a label in UTF-8") from error
