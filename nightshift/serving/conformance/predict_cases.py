"""Predict over gRPC: which version answers, what a request has to hold, what an answer holds."""

from typing import Any

import grpc
import numpy as np

from nightshift.protos import predict_pb2, types_pb2
from nightshift.serving.conformance.case import Cases
from nightshift.serving.conformance.expectations import DifferenceError, equal, refused
from nightshift.serving.conformance.folder import MODEL, VERSIONED
from nightshift.serving.conformance.server import Server, floats, predict_request
from nightshift.serving.tensors import to_array

case = Cases()

PREDICT_UTIL = "servables/tensorflow/predict_util.cc"
SERVER_CORE = "model_servers/server_core.cc"
SIGNATURES = "tensorflow/cc/saved_model/util.cc: GetInputValues"
X = {"x": floats(2.0)}


def _error_text(model: str) -> str:
    return rf"^Servable not found for request: {model}$"


@case(1, f"{PREDICT_UTIL}: RunPredict, MakeModelSpec")
def an_answer_names_its_model_version_and_signature(server: Server) -> None:
    """2 is answered by 3; the answer's spec has the model, the version that answered, serving_default, and no label."""
    response = server.connection.send(predict_request(X))
    equal("y", to_array(response.outputs["y"]).tolist(), [3.0])
    spec = response.model_spec
    found = (spec.name, spec.version.value, spec.signature_name, spec.version_label)
    equal("name, version, signature, label", found, (MODEL, 1, "serving_default", ""))


@case(2, f"{SERVER_CORE}: ServableRequestFromModelSpec")
def without_a_version_the_highest_answers(server: Server) -> None:
    """Of versions 1, 2 and 3, a request that names none is answered by 3."""
    equal("y of x = 8", server.connection.predict(8, model=VERSIONED), 34.0)


@case(3, f"{SERVER_CORE}: ServableRequestFromModelSpec")
def a_version_that_is_named_answers(server: Server) -> None:
    """Versions 1 and 2 each answer with their own constant when they are named."""
    for version in (1, 2):
        found = server.connection.predict(2, model=VERSIONED, version=version)
        equal(f"y of version {version}", found, 1.0 + 10 * version)


@case(4, f"{SERVER_CORE}: GetModelVersionForLabel")
def a_label_is_answered_by_its_version(server: Server) -> None:
    """`stable` is version 2, and the answer's spec has that version's number and no label."""
    response = server.connection.send(predict_request(X, model=VERSIONED, label="stable"))
    equal("y", to_array(response.outputs["y"]).tolist(), [21.0])
    equal("version, label", (response.model_spec.version.value, response.model_spec.version_label), (2, ""))


@case(5, "core/aspired_versions_manager.cc, core/basic_manager.cc")
def an_unknown_model_is_not_found(server: Server) -> None:
    """NOT_FOUND 'Servable not found for request: Latest(other)'."""
    refused("NOT_FOUND", _error_text(r"Latest\(other\)"), server.connection.predict, 2, model="other")


@case(6, "core/basic_manager.cc")
def an_unknown_version_is_not_found(server: Server) -> None:
    """NOT_FOUND 'Servable not found for request: Specific(half_plus_two, 9)'."""
    pattern = _error_text(rf"Specific\({MODEL}, 9\)")
    refused("NOT_FOUND", pattern, server.connection.predict, 2, version=9)


@case(7, f"{SERVER_CORE}: GetModelVersionForLabel")
def an_unknown_label_is_refused(server: Server) -> None:
    """INVALID_ARGUMENT 'Unrecognized servable version label: x'."""
    pattern = "^Unrecognized servable version label: x$"
    refused("INVALID_ARGUMENT", pattern, server.connection.predict, 2, model=VERSIONED, label="x")


@case(8, "servables/tensorflow/predict_impl.cc; server_core.cc: ServableRequestFromModelSpec")
def a_request_without_a_model_is_refused(server: Server) -> None:
    """INVALID_ARGUMENT 'Missing ModelSpec', or 'ModelSpec has no name specified.' when the spec is empty."""
    bare = predict_pb2.PredictRequest()
    refused("INVALID_ARGUMENT", "^Missing ModelSpec$", server.connection.send, bare)
    nameless = predict_request(X, model="")
    refused("INVALID_ARGUMENT", r"^ModelSpec has no name specified\.$", server.connection.send, nameless)


@case(9, f"{PREDICT_UTIL}: VerifyRequestInputsSize")
def a_missing_input_is_refused(server: Server) -> None:
    """INVALID_ARGUMENT 'input size does not match signature: 0!=1 ... Missing but required: {x}.'."""
    pattern = r"^input size does not match signature: 0!=1 .*Missing but required: \{x\}\.$"
    refused("INVALID_ARGUMENT", pattern, server.connection.send, predict_request({}))


@case(10, f"{PREDICT_UTIL}: VerifyRequestInputsSize")
def an_extra_input_is_refused(server: Server) -> None:
    """INVALID_ARGUMENT 'input size does not match signature: 2!=1 ... Sent extra: {z}.'."""
    request = predict_request(X | {"z": floats(1)})
    pattern = r"^input size does not match signature: 2!=1 .*Sent extra: \{z\}\."
    refused("INVALID_ARGUMENT", pattern, server.connection.send, request)


@case(11, "tensorflow/core/common_runtime: the session's check of its arguments")
def strings_for_numbers_are_refused(server: Server) -> None:
    """INVALID_ARGUMENT '... to be float but string is provided'."""
    request = predict_request({"x": np.array([b"2"], object)})
    refused("INVALID_ARGUMENT", "float but string is provided", server.connection.send, request)


@case(12, f"{PREDICT_UTIL}: PreProcessPrediction")
def an_unknown_output_is_refused(server: Server) -> None:
    """INVALID_ARGUMENT 'output tensor alias not found in signature: z Outputs expected to be in the set {y}.'."""
    request = predict_request(X, outputs=("z",))
    pattern = r"^output tensor alias not found in signature: z .*\{y\}\.$"
    refused("INVALID_ARGUMENT", pattern, server.connection.send, request)


@case(13, f"{PREDICT_UTIL}: PreProcessPrediction")
def an_output_asked_for_twice_is_refused(server: Server) -> None:
    """INVALID_ARGUMENT 'duplicate output tensor alias: y'."""
    request = predict_request(X, outputs=("y", "y"))
    refused("INVALID_ARGUMENT", "^duplicate output tensor alias: y$", server.connection.send, request)


@case(14, f"{PREDICT_UTIL}: RunPredict")
def an_unknown_signature_is_refused(server: Server) -> None:
    """FAILED_PRECONDITION 'Serving signature key "s" not found.'."""
    request = predict_request(X, signature="s")
    refused("FAILED_PRECONDITION", '^Serving signature key "s" not found', server.connection.send, request)


@case(26, "tf.ensure_shape in the signature; without it TensorFlow Serving checks no shape")
def a_rank_that_the_signature_refuses_is_refused(server: Server) -> None:
    """INVALID_ARGUMENT that names the shapes, for ranks 0, 2 and 3 where a vector is expected; then it goes on."""
    for rank in (0, 2, 3):
        request = predict_request({"x": np.ones((1,) * rank, np.float32)})
        refused("INVALID_ARGUMENT", "(?i)shape", server.connection.send, request)
    equal("y afterwards", server.connection.predict(2), 3.0)


@case(27, "tensorflow/core/common_runtime: the session's check of its arguments")
def another_dtype_is_refused(server: Server) -> None:
    """INVALID_ARGUMENT '... to be float but int32 is provided'; nothing is converted."""
    for dtype, name in (("int32", "int32"), ("float64", "double"), ("bool", "bool")):
        request = predict_request({"x": np.ones(1, dtype)})
        refused("INVALID_ARGUMENT", f"float but {name} is provided", server.connection.send, request)


@case(28, SIGNATURES)
def another_name_of_an_input_is_refused(server: Server) -> None:
    """INVALID_ARGUMENT 'Signature input alias: x(feed name: x:0) not found in request ...'."""
    request = predict_request({"z": floats(2)})
    pattern = r"^Signature input alias: x.* not found in request"
    refused("INVALID_ARGUMENT", pattern, server.connection.send, request)


@case(29, SIGNATURES)
def a_tensor_whose_content_does_not_fill_its_shape_is_refused(server: Server) -> None:
    """INVALID_ARGUMENT 'tensor parsing error: x' for 3 floats of which 2 bytes are there."""
    request = predict_pb2.PredictRequest(model_spec={"name": MODEL})
    tensor = request.inputs["x"]
    tensor.dtype, tensor.tensor_content = types_pb2.DT_FLOAT, b"ab"
    tensor.tensor_shape.dim.add().size = 3
    refused("INVALID_ARGUMENT", "^tensor parsing error: x", server.connection.send, request)


@case(30, f"{PREDICT_UTIL}: PreProcessPrediction")
def only_the_outputs_that_are_asked_for_come(server: Server) -> None:
    """Without a filter both outputs of `two_outputs` come, with one only that; y and twice are in the right places."""
    every = server.connection.send(predict_request(X, signature="two_outputs"))
    found = {name: to_array(tensor).tolist() for name, tensor in every.outputs.items()}
    equal("outputs without a filter", found, {"y": [3.0], "twice": [6.0]})
    one = server.connection.send(predict_request(X, signature="two_outputs", outputs=("twice",)))
    found = {name: to_array(tensor).tolist() for name, tensor in one.outputs.items()}
    equal("outputs with a filter", found, {"twice": [6.0]})


@case(31, f"{PREDICT_UTIL}: PostProcessPredictionResult (AsProtoField)")
def numbers_are_answered_in_their_typed_fields(server: Server) -> None:
    """float_val holds the numbers and tensor_content nothing: clients are written that read the field directly."""
    tensor = server.connection.send(predict_request({"x": floats(2, 4)})).outputs["y"]
    equal("dtype", tensor.dtype, types_pb2.DT_FLOAT)
    equal("float_val", list(tensor.float_val), [3.0, 4.0])
    equal("tensor_content", tensor.tensor_content, b"")
    equal("shape", [dimension.size for dimension in tensor.tensor_shape.dim], [2])


@case(32, "tensorflow/core/framework/tensor.cc: FromProto")
def one_value_fills_the_shape_that_is_declared(server: Server) -> None:
    """A float_val of one number and a shape of 3 are three numbers."""
    request = predict_pb2.PredictRequest(model_spec={"name": MODEL})
    request.inputs["x"].dtype = types_pb2.DT_FLOAT
    request.inputs["x"].tensor_shape.dim.add().size = 3
    request.inputs["x"].float_val.append(2)
    equal("y", to_array(server.connection.send(request).outputs["y"]).tolist(), [3.0, 3.0, 3.0])


@case(33, f"{PREDICT_UTIL}: RunPredict")
def every_dtype_of_a_signature_travels_unchanged(server: Server) -> None:
    """int64, uint8, bool and double come back as they were sent, and so do strings with zeros and no text in them."""
    sent: dict[str, np.ndarray[Any, Any]] = {
        "i": np.array([-(2**62), 2**62], np.int64),
        "u": np.array([0, 255], np.uint8),
        "b": np.array([True, False]),
        "d": np.array([0.1, -1e300]),
    }
    outputs = server.connection.send(predict_request(sent, signature="kinds")).outputs
    for name, array in sent.items():
        found = to_array(outputs[f"{name}2"])
        equal(f"{name}: dtype and values", (found.dtype, found.tolist()), (array.dtype, array.tolist()))
    strings = [b"a\0b\0", b"\xff\xfe", b""]
    outputs = server.connection.send(predict_request({"s": np.array(strings, object)}, signature="text")).outputs
    equal("strings", to_array(outputs["text"]).tolist(), strings)


@case(34, f"{PREDICT_UTIL}: RunPredict")
def an_empty_batch_has_an_empty_answer(server: Server) -> None:
    """No rows in, no rows out."""
    response = server.connection.send(predict_request({"x": np.zeros(0, np.float32)}))
    found = to_array(response.outputs["y"])
    equal("shape", found.shape, (0,))


@case(35, "model_servers/grpc_status_util.cc: ToGRPCStatus")
def error_texts_are_cut_at_1024(server: Server) -> None:
    """1,024 characters and '...TRUNCATED'."""
    text = refused("NOT_FOUND", "TRUNCATED$", server.connection.predict, 2, model="m" * 3000)
    equal("the text", text, f"Servable not found for request: Latest({'m' * 3000}"[:1024] + "...TRUNCATED")


@case(36, "model_servers/server.cc: SetMaxMessageSize")
def a_message_beyond_the_limit_of_grpc_is_answered(server: Server) -> None:
    """A row of 6 MB in and out, where gRPC by itself takes 4 MiB."""
    sent = np.arange(1_500_000, dtype=np.float32).reshape(1, -1)
    found = to_array(server.connection.send(predict_request({"m": sent}, signature="matrix")).outputs["same"])
    equal("shape", found.shape, sent.shape)
    equal("what came back is what was sent", bool((found == sent).all()), True)


@case(37, "gRPC; its deadline ends the call, TensorFlow Serving goes on with others")
def a_call_past_its_deadline_ends_and_others_go_on(server: Server) -> None:
    """DEADLINE_EXCEEDED soon after 5 ms for a product of large matrices; the next request is answered."""
    request = predict_request({"size": np.array(2500, np.int32)}, signature="slow")
    try:
        server.connection.send(request, timeout=0.005)
    except grpc.RpcError as error:
        equal("code", error.code().name, "DEADLINE_EXCEEDED")
    else:
        raise DifferenceError("found an answer to 31 billion operations within 5 ms, expected DEADLINE_EXCEEDED")
    equal("y afterwards", server.connection.predict(2), 3.0)


@case(75, f"{SERVER_CORE}: UpdateModelVersionLabelMap (allow_version_labels_for_unavailable_models)")
def a_label_of_a_version_that_is_not_there_is_not_found(server: Server) -> None:
    """NOT_FOUND 'Servable not found for request: Specific(three_versions, 9)' for `ahead`."""
    pattern = _error_text(rf"Specific\({VERSIONED}, 9\)")
    refused("NOT_FOUND", pattern, server.connection.predict, 2, model=VERSIONED, label="ahead")
