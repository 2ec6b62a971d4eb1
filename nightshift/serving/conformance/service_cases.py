"""The other calls over gRPC: Classify, Regress, MultiInference, metadata, status, health."""

from typing import Any

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from nightshift.protos import classification_pb2, get_model_metadata_pb2, inference_pb2, regression_pb2, types_pb2
from nightshift.serving.conformance.case import Cases, Need
from nightshift.serving.conformance.expectations import answered_or_left_out, equal, refused
from nightshift.serving.conformance.folder import EMBEDDED_MESSAGE_BYTES, MODEL, VERSIONED
from nightshift.serving.conformance.graph import CLASSIFY, REGRESS
from nightshift.serving.conformance.models import example
from nightshift.serving.conformance.server import SECONDS, Server, model_spec

case = Cases()

METADATA = "servables/tensorflow/get_model_metadata_impl.cc"
STATUS = "model_servers/get_model_status_impl.cc"
CLASSIFIER = "servables/tensorflow/classifier.cc"


def _classification(*xs: float, signature: str = "classify", **spec: Any) -> Any:
    request = classification_pb2.ClassificationRequest(model_spec=model_spec(MODEL, signature=signature, **spec))
    request.input.example_list.examples.extend(example(x) for x in xs)
    return request


def _labelled(result: Any) -> list[list[tuple[str, float]]]:
    return [[(one.label, one.score) for one in row.classes] for row in result.classifications]


@case(15, METADATA)
def metadata_are_the_signatures_and_nothing_else(server: Server) -> None:
    """`signature_def` of the version asked for; no field and any other one are INVALID_ARGUMENT."""
    for spec, version in (({}, 3), ({"version": 1}, 1), ({"label": "stable"}, 2)):
        response = server.connection.metadata("signature_def", model=VERSIONED, **spec)
        found = (response.model_spec.name, response.model_spec.version.value)
        equal("name and version", found, (VERSIONED, version))
        equal("fields", list(response.metadata), ["signature_def"])
    signatures = get_model_metadata_pb2.SignatureDefMap()
    response.metadata["signature_def"].Unpack(signatures)
    x = signatures.signature_def["serving_default"].inputs["x"]
    equal(
        "x: name, dtype, unknown rank",
        (x.name, x.dtype, x.tensor_shape.unknown_rank),
        ("x:0", types_pb2.DT_FLOAT, True),
    )
    classify = signatures.signature_def["classify"]
    equal("classify: outputs", sorted(classify.outputs), ["classes", "scores"])
    equal("classify: method", classify.method_name, CLASSIFY)
    refused("INVALID_ARGUMENT", "must specify at least one metadata_field", server.connection.metadata)
    pattern = "^Metadata field other is not supported$"
    refused("INVALID_ARGUMENT", pattern, server.connection.metadata, "other")
    missing = r"^Servable not found for request: Specific\(half_plus_two, 9\)$"
    refused("NOT_FOUND", missing, server.connection.metadata, "signature_def", version=9)


@case(16, STATUS)
def status_says_what_is_available(server: Server) -> None:
    """Every version AVAILABLE with error 0; an unknown version and an unknown model are NOT_FOUND."""
    states = server.connection.states(VERSIONED)
    equal("states", states, {3: "AVAILABLE", 2: "AVAILABLE", 1: "AVAILABLE"})
    pattern = "^Could not find version 9 of model half_plus_two$"
    refused("NOT_FOUND", pattern, server.connection.status, MODEL, version=9)
    refused("NOT_FOUND", "^Could not find any versions of model other$", server.connection.status, "other")


@case(17, CLASSIFIER)
def classify_answers_labels_with_scores(server: Server) -> None:
    """A row an example: 'half' with y and 'whole' with x, and a spec with model, version and signature."""
    response = server.connection.prediction.Classify(_classification(2, 8), timeout=SECONDS)
    equal("rows", _labelled(response.result), [[("half", 3.0), ("whole", 2.0)], [("half", 6.0), ("whole", 8.0)]])
    spec = response.model_spec
    found = (spec.name, spec.version.value, spec.signature_name)
    equal("name, version, signature", found, (MODEL, 1, "classify"))


@case(18, "servables/tensorflow/multi_inference.cc")
def multi_inference_runs_several_signatures(server: Server) -> None:
    """Classify and Regress of one input in one call; a server may leave the call out by UNIMPLEMENTED."""
    request = inference_pb2.MultiInferenceRequest()
    for signature, method in (("classify", CLASSIFY), ("regress", REGRESS)):
        request.tasks.add(model_spec=model_spec(MODEL, signature=signature), method_name=method)
    request.input.example_list.examples.append(example(2))
    call = server.connection.prediction.MultiInference
    response = answered_or_left_out(lambda: call(request, timeout=SECONDS), "MultiInference")
    equal("results", len(response.results), 2)
    first, second = response.results
    equal("classification", _labelled(first.classification_result), [[("half", 3.0), ("whole", 2.0)]])
    equal("regression", [one.value for one in second.regression_result.regressions], [3.0])


@case(38, "servables/tensorflow/regressor.cc")
def regress_answers_a_number_an_example(server: Server) -> None:
    """y of each example; a server may leave the call out by UNIMPLEMENTED."""
    request = regression_pb2.RegressionRequest(model_spec=model_spec(MODEL, signature="regress"))
    request.input.example_list.examples.extend([example(2), example(8)])
    call = server.connection.prediction.Regress
    response = answered_or_left_out(lambda: call(request, timeout=SECONDS), "Regress")
    equal("values", [one.value for one in response.result.regressions], [3.0, 6.0])


@case(39, f"{CLASSIFIER}: PreProcessClassification; util.cc: InputToSerializedExampleTensor")
def what_classify_cannot_answer_is_refused(server: Server) -> None:
    """INVALID_ARGUMENT: no examples, an unknown signature, one without `inputs`, examples without the feature."""
    classify = server.connection.prediction.Classify
    for request, pattern in (
        (_classification(), r"^Input is empty\.$"),
        (_classification(2, signature="s"), "^No signature was found with the name: s$"),
        (_classification(2, signature="serving_default"), "^No classification inputs found in SignatureDef"),
        (_classification(2, signature="add"), r"^Expected one input Tensor\.$"),
        (_classification(2, label="x"), "^Unrecognized servable version label: x$"),
    ):
        refused("INVALID_ARGUMENT", pattern, classify, request, timeout=SECONDS)
    bare = _classification()
    bare.input.example_list.examples.add()
    refused("INVALID_ARGUMENT", "x", classify, bare, timeout=SECONDS)


@case(40, "servables/tensorflow/util.cc: InputToSerializedExampleTensor")
def classify_merges_a_context_into_every_example(server: Server) -> None:
    """A context with the feature, and two examples without it, are two rows."""
    request = _classification()
    request.input.example_list_with_context.context.CopyFrom(example(2))
    request.input.example_list_with_context.examples.add()
    request.input.example_list_with_context.examples.append(example(8))
    result = server.connection.prediction.Classify(request, timeout=SECONDS).result
    equal("first row", _labelled(result)[0], [("half", 3.0), ("whole", 2.0)])
    equal("rows", len(result.classifications), 2)


@case(41, f"{STATUS}; core/servable_state_monitor.h: VersionMap")
def status_lists_from_the_highest_and_ignores_labels(server: Server) -> None:
    """3, 2, 1; the same for a label, known or not; a version that is named alone."""
    for spec, expected in (({}, [3, 2, 1]), ({"label": "stable"}, [3, 2, 1]), ({"label": "x"}, [3, 2, 1])):
        found = [one.version for one in server.connection.status(VERSIONED, **spec).model_version_status]
        equal(f"versions for {spec}", found, expected)
    found = [one.version for one in server.connection.status(VERSIONED, version=2).model_version_status]
    equal("versions for version 2", found, [2])


@case(42, "model_servers/server.cc: EnableDefaultHealthCheckService")
def the_health_service_knows_the_services(server: Server) -> None:
    """SERVING for '', ModelService and PredictionService; NOT_FOUND for a service that there is not."""
    stub = health_pb2_grpc.HealthStub(server.connection.channel)
    for name in ("", "ModelService", "PredictionService"):
        status = stub.Check(health_pb2.HealthCheckRequest(service=name), timeout=SECONDS).status
        equal(f"status of {name!r}", status, health_pb2.HealthCheckResponse.SERVING)
    other = health_pb2.HealthCheckRequest(service="other")
    refused("NOT_FOUND", "", stub.Check, other, timeout=SECONDS)


@case(43, "TensorFlow Serving takes messages of up to 2 GiB, whatever memory there is", Need.EMBEDDED)
def a_message_beyond_the_limit_of_the_server_is_refused(server: Server) -> None:
    """RESOURCE_EXHAUSTED, and the server goes on: it holds messages to what its memory allows."""
    options = [("grpc.max_send_message_length", -1), ("grpc.use_local_subchannel_pool", 1)]
    with grpc.insecure_channel(server.connection.target, options=options) as channel:
        predict = channel.unary_unary("/tensorflow.serving.PredictionService/Predict")
        content = bytes(EMBEDDED_MESSAGE_BYTES + 2**20)
        refused("RESOURCE_EXHAUSTED", "larger than max", predict, content, timeout=SECONDS)
    equal("y afterwards", server.connection.predict(2), 3.0)
