"""What a compatible server answers, code and text; `conforming` is the only thing that ties them to ours."""

import grpc
import numpy as np
import pytest
from half_plus_two import example

from nightshift.protos import (
    classification_pb2,
    get_model_metadata_pb2,
    get_model_status_pb2,
    inference_pb2,
    predict_pb2,
    prediction_service_pb2_grpc,
    regression_pb2,
)
from nightshift.protos import model_service_pb2_grpc as model_grpc
from nightshift.serving.client import ServerRefusedError, Signature, TensorSpec
from nightshift.serving.tensors import to_proto

M = "half_plus_two"
X = np.array([2.0], np.float32)


@pytest.fixture
def stub(conforming):
    with grpc.insecure_channel(conforming.target) as channel:
        yield prediction_service_pb2_grpc.PredictionServiceStub(channel)


@pytest.fixture
def model_stub(conforming):
    with grpc.insecure_channel(conforming.target) as channel:
        yield model_grpc.ModelServiceStub(channel)


def refused(call, request):
    with pytest.raises(grpc.RpcError) as error:
        call(request, timeout=10)
    return error.value.code().name, error.value.details()


def predict_request(outputs=(), **inputs):
    request = predict_pb2.PredictRequest(output_filter=outputs)
    request.model_spec.name = M
    for name, array in inputs.items():
        request.inputs[name].CopyFrom(to_proto(np.asarray(array)))
    return request


def test_predict_answers_with_name_version_and_signature_but_no_label(stub):
    request = predict_request(x=X)
    request.model_spec.version_label = "stable"
    spec = stub.Predict(request, timeout=10).model_spec
    assert (spec.name, spec.version.value, spec.signature_name) == (M, 1, "serving_default")
    assert spec.WhichOneof("version_choice") == "version"


def test_predict_answers_in_the_typed_field(stub):
    assert list(stub.Predict(predict_request(x=X), timeout=10).outputs["y"].float_val) == [3.0]


def test_no_version_is_the_highest_that_is_ready(conforming):
    assert conforming.predict(M, {"x": X}, label=None).version == 2


def test_a_version_and_a_label_are_honoured(conforming):
    assert conforming.predict(M, {"x": X}, version=1).version == 1
    assert conforming.predict(M, {"x": X}, version=2).version == 2
    assert conforming.predict(M, {"x": X}, label="stable").version == 1


def test_output_filter_is_honoured(conforming):
    everything = conforming.predict(M, {"x": X}, signature="two_outputs").outputs
    assert {name: array.tolist() for name, array in everything.items()} == {"y": [3.0], "twice": [6.0]}
    one = conforming.predict(M, {"x": X}, signature="two_outputs", outputs=["twice"]).outputs
    assert list(one) == ["twice"]


def test_strings_go_in_and_out_whole(conforming):
    sent = np.array([b"\xff\0", b""], dtype=object)
    outputs = conforming.predict(M, {"s": sent}, signature="text").outputs
    assert outputs["same"].tolist() == [b"\xff\0", b""]
    assert outputs["joined"].item() == b"\xff\0"


def test_an_empty_batch_has_an_empty_answer(conforming):
    assert conforming.predict(M, {"x": X[:0]}).outputs["y"].shape == (0,)


@pytest.mark.parametrize("method", ["Predict", "Classify", "GetModelMetadata"])
def test_a_request_names_its_model(stub, method):
    kind = {
        "Predict": predict_pb2.PredictRequest,
        "Classify": classification_pb2.ClassificationRequest,
        "GetModelMetadata": lambda **spec: get_model_metadata_pb2.GetModelMetadataRequest(
            metadata_field=["signature_def"], **spec
        ),
    }[method]
    call = getattr(stub, method)
    assert refused(call, kind()) == ("INVALID_ARGUMENT", "Missing ModelSpec")
    assert refused(call, kind(model_spec={})) == ("INVALID_ARGUMENT", "ModelSpec has no name specified.")
    latest = ("NOT_FOUND", "Servable not found for request: Latest(other)")
    assert refused(call, kind(model_spec={"name": "other"})) == latest
    specific = ("NOT_FOUND", f"Servable not found for request: Specific({M}, 9)")
    assert refused(call, kind(model_spec={"name": M, "version": {"value": 9}})) == specific
    assert refused(call, kind(model_spec={"name": M, "version_label": "ahead"})) == specific
    unknown = ("INVALID_ARGUMENT", "Unrecognized servable version label: x")
    assert refused(call, kind(model_spec={"name": M, "version_label": "x"})) == unknown


def test_an_unknown_signature(stub):
    request = predict_request(x=X)
    request.model_spec.signature_name = "s"
    assert refused(stub.Predict, request) == ("FAILED_PRECONDITION", 'Serving signature key "s" not found.')


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        (
            predict_request(),
            "input size does not match signature: 0!=1 len({}) != len({x}). Sent extra: {}. Missing but required: {x}.",
        ),
        (
            predict_request(x=X, z=X),
            "input size does not match signature: 2!=1 len({x,z}) != len({x}). "
            "Sent extra: {z}. Missing but required: {}.",
        ),
        (
            predict_request(z=X),
            "Signature input alias: x(feed name: serving_default_x:0) not found in request and no default value "
            "provided. Inputs expected to be in the request {z}, or default input alias set: ",
        ),
        (
            predict_request(x=X, outputs=["z"]),
            "output tensor alias not found in signature: z Outputs expected to be in the set {y}.",
        ),
        (predict_request(x=X, outputs=["y", "y"]), "duplicate output tensor alias: y"),
        (predict_request(x=np.int32([2])), "Expects arg[0] to be float but int32 is provided"),
        (predict_request(x=["two"]), "Expects arg[0] to be float but string is provided"),
    ],
)
def test_what_does_not_fit_the_signature_is_invalid(stub, request_, message):
    assert refused(stub.Predict, request_) == ("INVALID_ARGUMENT", message)


@pytest.mark.parametrize("shape", [(), (1, 1), (1, 2, 3)])
def test_a_wrong_rank_is_invalid(stub, shape):
    code, message = refused(stub.Predict, predict_request(x=np.zeros(shape, np.float32)))
    assert code == "INVALID_ARGUMENT"
    assert "is not compatible with expected shape [?]" in message


def test_a_tensor_that_is_none_is_invalid(stub):
    request = predict_request(x=X)
    request.inputs["x"].tensor_content = b"123"
    code, message = refused(stub.Predict, request)
    assert code == "INVALID_ARGUMENT"
    assert message.startswith("tensor parsing error: x: ")


def test_a_long_message_is_cut(stub):
    code, message = refused(stub.Predict, predict_request(x=X, outputs=["z" * 5000]))
    assert code == "INVALID_ARGUMENT"
    assert message == ("output tensor alias not found in signature: " + "z" * 5000)[:1024] + "...TRUNCATED"


def test_classify_scores_each_class(conforming):
    answer = conforming.classify(M, [example(2.0), example(4.0)])
    assert answer == [[("half", 3.0), ("whole", 2.0)], [("half", 4.0), ("whole", 4.0)]]


def test_classify_merges_the_context_into_each_example(stub):
    request = classification_pb2.ClassificationRequest()
    request.model_spec.name = M
    request.model_spec.signature_name = "classify"
    request.input.example_list_with_context.context.MergeFromString(example(4.0))
    request.input.example_list_with_context.examples.add()
    response = stub.Classify(request, timeout=10)
    assert response.result.classifications[0].classes[0].score == 4.0
    assert response.model_spec.version.value == 2
    assert response.model_spec.signature_name == "classify"


def test_classify_refuses_no_examples_and_other_signatures(stub):
    request = classification_pb2.ClassificationRequest(model_spec={"name": M, "signature_name": "classify"})
    assert refused(stub.Classify, request) == ("INVALID_ARGUMENT", "Input is empty.")
    request.model_spec.signature_name = "s"
    message = "No signature was found with the name: s"
    assert refused(stub.Classify, request) == ("INVALID_ARGUMENT", message)
    request.model_spec.signature_name = ""
    code, message = refused(stub.Classify, request)
    assert code == "INVALID_ARGUMENT"
    assert message.startswith("No classification inputs found in SignatureDef: ")


def test_classify_refuses_an_example_that_lacks_the_feature(conforming):
    with pytest.raises(ServerRefusedError, match="Feature: x") as error:
        conforming.classify(M, [b""])
    assert error.value.code == "INVALID_ARGUMENT"


def test_regress_and_multi_inference_are_not_implemented(stub):
    for call, request in (
        (stub.Regress, regression_pb2.RegressionRequest()),
        (stub.MultiInference, inference_pb2.MultiInferenceRequest()),
    ):
        code, message = refused(call, request)
        assert code == "UNIMPLEMENTED"
        assert "not implemented by this server" in message


def test_metadata_gives_the_signatures(conforming):
    metadata = conforming.metadata(M)
    assert metadata.version == 1
    assert set(metadata.signatures) == {"serving_default", "two_outputs", "classify", "text", "slow"}
    assert metadata.signatures["serving_default"] == Signature(
        {"x": TensorSpec("float32", None)}, {"y": TensorSpec("float32", (None,))}
    )


def test_metadata_has_one_field_only(stub):
    def ask(*fields):
        request = get_model_metadata_pb2.GetModelMetadataRequest(model_spec={"name": M}, metadata_field=fields)
        return refused(stub.GetModelMetadata, request)

    assert ask("assets") == ("INVALID_ARGUMENT", "Metadata field assets is not supported")
    assert ask() == (
        "INVALID_ARGUMENT",
        "GetModelMetadataRequest must specify at least one metadata_field",
    )


def test_status_lists_versions_descending_and_ignores_labels(model_stub):
    request = get_model_status_pb2.GetModelStatusRequest(model_spec={"name": M, "version_label": "no such"})
    found = model_stub.GetModelStatus(request, timeout=10).model_version_status
    assert [(one.version, one.state) for one in found] == [(2, 30), (1, 30)]


def test_status_of_one_version_and_of_none(model_stub):
    one = get_model_status_pb2.GetModelStatusRequest(model_spec={"name": M, "version": {"value": 1}})
    assert [s.version for s in model_stub.GetModelStatus(one, timeout=10).model_version_status] == [1]
    one.model_spec.version.value = 9
    message = f"Could not find version 9 of model {M}"
    assert refused(model_stub.GetModelStatus, one) == ("NOT_FOUND", message)
    other = get_model_status_pb2.GetModelStatusRequest(model_spec={"name": "other"})
    message = "Could not find any versions of model other"
    assert refused(model_stub.GetModelStatus, other) == ("NOT_FOUND", message)
    missing = get_model_status_pb2.GetModelStatusRequest()
    assert refused(model_stub.GetModelStatus, missing) == ("INVALID_ARGUMENT", "Missing ModelSpec")


def test_the_client_says_server_model_code_and_message(conforming):
    with pytest.raises(ServerRefusedError) as error:
        conforming.predict("other", {"x": X}, label=None)
    assert error.value.code == "NOT_FOUND"
    assert str(error.value) == (
        f"{conforming.target}: model other: NOT_FOUND: Servable not found for request: Latest(other)"
    )
    assert conforming.status("other") == []
