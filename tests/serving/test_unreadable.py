"""Bytes that are no message."""

import resource
from pathlib import Path

import grpc
import numpy as np
import pytest
from grpc_health.v1 import health_pb2

from nightshift.serving.config import model_config, server_config

METHODS = [
    "tensorflow.serving.PredictionService/Predict",
    "tensorflow.serving.PredictionService/Classify",
    "tensorflow.serving.PredictionService/Regress",
    "tensorflow.serving.PredictionService/GetModelMetadata",
    "tensorflow.serving.ModelService/GetModelStatus",
    "tensorflow.serving.ModelService/HandleReloadConfigRequest",
    "grpc.health.v1.Health/Check",
]


@pytest.fixture
def client(publish, launch):
    return launch(server_config([model_config("m", publish(1).parent)]))[1]


@pytest.fixture
def channel(client):
    with grpc.insecure_channel(client.target) as channel:
        yield channel


@pytest.mark.parametrize("method", METHODS)
def test_they_are_refused_with_what_was_sent_to_what(channel, client, method):
    with pytest.raises(grpc.RpcError) as error:
        channel.unary_unary(f"/{method}")(b"\xff\xff\xff", timeout=30)
    assert error.value.code() is grpc.StatusCode.INTERNAL
    assert f"the 3 bytes sent to /{method} are not its request: " in error.value.details()
    assert client.predict("m", {"x": np.float32([2])}, label=None).outputs["y"].tolist() == [3.0]


def test_they_are_refused_where_answers_are_a_stream(channel):
    with pytest.raises(grpc.RpcError) as error:
        next(channel.unary_stream("/grpc.health.v1.Health/Watch")(b"\xff\xff\xff", timeout=30))
    assert "the 3 bytes sent to /grpc.health.v1.Health/Watch" in error.value.details()
    watch = channel.unary_stream("/grpc.health.v1.Health/Watch")(b"", timeout=30)
    assert health_pb2.HealthCheckResponse.FromString(next(watch)).status == health_pb2.HealthCheckResponse.SERVING
    watch.cancel()


def test_a_method_that_there_is_none_of_is_unimplemented(channel):
    with pytest.raises(grpc.RpcError) as error:
        channel.unary_unary("/tensorflow.serving.PredictionService/Other")(b"", timeout=30)
    assert error.value.code() is grpc.StatusCode.UNIMPLEMENTED


def test_nothing_is_kept_of_them(channel):
    """gRPC keeps 19 KiB of each that it parses itself, on the server's side."""
    call = channel.unary_unary(f"/{METHODS[0]}")

    def send(count):
        for _ in range(count):
            call.future(b"\xff\xff\xff", timeout=30).code()
        return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()

    before = send(500)
    assert (send(1000) - before) / 1000 < 5 * 2**10
