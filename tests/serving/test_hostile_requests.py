"""Whatever is sent, the server answers with a status and goes on."""

import grpc
import numpy as np
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from half_plus_two import example
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from nightshift.protos import classification_pb2, predict_pb2, types_pb2
from nightshift.serving.client import ServerRefusedError
from nightshift.serving.config import model_config, server_config
from nightshift.serving.tensors import to_proto

M = "half_plus_two"
X = np.array([2.0], np.float32)
STATUSES = {
    "INVALID_ARGUMENT",
    "NOT_FOUND",
    "FAILED_PRECONDITION",
    # gRPC's own: bytes that are no message.
    "INTERNAL",
}
SERVER = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture
def send(conforming):
    """Sends bytes to a method and checks that the answer is one, and that a good request still has its own."""
    with grpc.insecure_channel(conforming.target) as channel:

        def run(method: str, content: bytes) -> str:
            response = channel.unary_unary(f"/tensorflow.serving.{method}").future(content, timeout=10)
            code = response.code().name
            if code != "OK":
                assert code in STATUSES, response.details()
                assert response.details()
                assert "in the server; its log has the rest" not in response.details()
            assert conforming.predict(M, {"x": X}).outputs["y"].tolist() == [3.0]
            return code

        yield run


def good_predict():
    request = predict_pb2.PredictRequest(model_spec={"name": M}, output_filter=["y"])
    request.inputs["x"].CopyFrom(to_proto(X))
    return request.SerializeToString()


def good_classify():
    request = classification_pb2.ClassificationRequest(model_spec={"name": M, "signature_name": "classify"})
    request.input.example_list.examples.add().MergeFromString(example(2.0))
    return request.SerializeToString()


NAMES = st.sampled_from(["x", "y", "s", "inputs", "", "z", "serving_default_x:0"]) | st.text(max_size=5)
TENSORS = st.builds(
    lambda dtype, sizes, content, numbers, strings: {
        "dtype": dtype,
        "tensor_shape": {"dim": [{"size": size} for size in sizes]},
        "tensor_content": content,
        "float_val": numbers,
        "string_val": strings,
    },
    st.sampled_from([types_pb2.DT_FLOAT] * 4 + types_pb2.DataType.values()),
    st.lists(st.integers(-1, 3) | st.sampled_from([2**31, 2**62]), max_size=4),
    st.just(b"") | st.binary(max_size=16),
    st.lists(st.floats(width=32), max_size=4),
    st.lists(st.binary(max_size=3), max_size=2),
)
ARRAYS = st.sampled_from(["float32", "float64", "int32", "uint8", "bool", "float16", "complex64"]).flatmap(
    lambda dtype: hnp.arrays(dtype, hnp.array_shapes(min_dims=0, min_side=0, max_side=3))
)
SPECS = st.fixed_dictionaries(
    {"name": st.sampled_from([M] * 5 + ["", "other"])},
    optional={
        "signature_name": st.sampled_from(["serving_default", "two_outputs", "text", "classify", "s"]),
        "version_label": st.sampled_from(["stable", "ahead", "x"]),
    },
)


@SERVER
@given(SPECS, st.dictionaries(NAMES, TENSORS, max_size=2), st.lists(NAMES, max_size=2))
def test_any_predict_request_has_an_answer(send, spec, inputs, outputs):
    request = predict_pb2.PredictRequest(model_spec=spec, output_filter=outputs)
    for name, tensor in inputs.items():
        request.inputs[name].MergeFrom(type(request.inputs[name])(**tensor))
    send("PredictionService/Predict", request.SerializeToString())


@SERVER
@given(ARRAYS)
def test_any_dtype_and_rank_has_an_answer(send, array):
    request = predict_pb2.PredictRequest(model_spec={"name": M})
    request.inputs["x"].CopyFrom(to_proto(array))
    fits = array.dtype == np.float32 and array.ndim == 1
    code = send("PredictionService/Predict", request.SerializeToString())
    assert code == ("OK" if fits else "INVALID_ARGUMENT")


MUTATIONS = st.lists(st.tuples(st.integers(0, 200), st.sampled_from(["set", "cut", "insert"]), st.integers(0, 255)))


def mutated(content, mutations):
    changed = bytearray(content)
    for place, kind, value in mutations:
        place %= len(changed) + 1
        if kind == "cut":
            del changed[place : place + 1 + value % 4]
        elif kind == "insert":
            changed.insert(place, value)
        elif place < len(changed):
            changed[place] = value
    return bytes(changed)


@SERVER
@given(
    st.sampled_from(
        [
            ("PredictionService/Predict", good_predict()),
            ("PredictionService/Classify", good_classify()),
            ("PredictionService/GetModelMetadata", b"\n\x0f\n\rhalf_plus_two\x12\rsignature_def"),
            ("ModelService/GetModelStatus", b"\n\x0f\n\rhalf_plus_two"),
        ]
    ),
    MUTATIONS,
)
def test_any_bytes_have_an_answer(send, good, mutations):
    method, content = good
    send(method, mutated(content, mutations))


def test_the_mutated_messages_begin_as_good_ones(send):
    assert send("PredictionService/Predict", good_predict()) == "OK"
    assert send("PredictionService/Classify", good_classify()) == "OK"
    assert send("PredictionService/GetModelMetadata", b"\n\x0f\n\rhalf_plus_two\x12\rsignature_def") == "OK"
    assert send("ModelService/GetModelStatus", b"\n\x0f\n\rhalf_plus_two") == "OK"


def test_a_message_beyond_the_limit_is_refused(publish, launch):
    config = server_config([model_config("m", publish(1).parent)])
    _, client = launch(config, max_message_bytes=2**16)
    with pytest.raises(ServerRefusedError) as error:
        client.predict("m", {"x": np.zeros(2**15, np.float32)}, label=None)
    assert error.value.code == "RESOURCE_EXHAUSTED"
    assert client.predict("m", {"x": X}, label=None).version == 1


def test_watching_the_health_takes_no_request_thread(publish, launch):
    _, client = launch(server_config([model_config("m", publish(1).parent)]), threads=2)
    with grpc.insecure_channel(client.target) as channel:
        watches = [health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest()) for _ in range(6)]
        assert all(next(watch).status == health_pb2.HealthCheckResponse.SERVING for watch in watches)
        assert client.predict("m", {"x": X}, label=None).version == 1
        for watch in watches:
            watch.cancel()
