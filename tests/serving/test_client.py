"""The client against servers that are late, slow, busy or not there."""

import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import grpc
import numpy as np
import pytest

from nightshift.errors import ServingError
from nightshift.protos import predict_pb2, prediction_service_pb2_grpc
from nightshift.serving.client import Client, ServerRefusedError, ServerUnavailableError
from nightshift.serving.config import server_config

X = {"x": np.zeros(1, np.float32)}


class Service:
    """Answers Predict as the test says; the other methods are not there."""

    Classify = Regress = MultiInference = GetModelMetadata = None

    def __init__(self, answer):
        self.answer, self.calls = answer, 0

    def Predict(self, request, context):  # noqa: N802
        self.calls += 1
        self.answer(self.calls, context)
        return predict_pb2.PredictResponse(model_spec={"version": {"value": self.calls}})


@pytest.fixture
def port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture
def serve(port):
    running = []

    def run(answer=lambda calls, context: None):
        threads = ThreadPoolExecutor(2)
        server, service = grpc.server(threads), Service(answer)
        prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(service, server)
        server.add_insecure_port(f"127.0.0.1:{port}")
        server.start()
        running.append((server, threads))
        return service

    yield run
    for server, threads in running:
        server.stop(None).wait()
        threads.shutdown()


@pytest.fixture
def client(port):
    with Client(f"127.0.0.1:{port}", timeout=5) as client:
        yield client


def test_nothing_answers(client):
    with pytest.raises(ServerUnavailableError, match=f"no model server answers at {client.target}") as error:
        client.predict("m", X)
    assert error.value.code == "UNAVAILABLE"
    assert "start one with `nightshift serve`" in str(error.value)
    assert not client.ready()
    with pytest.raises(ServerUnavailableError, match=r"not ready within 0\.2 s"):
        client.wait_ready(0.2)


def test_a_server_that_starts_late_is_waited_for(client, serve):
    timer = threading.Timer(0.4, serve)
    timer.start()
    assert client.predict("m", X).version == 1
    timer.join()


def test_unavailable_is_tried_again_and_counted(client, serve):
    def busy_twice(calls, context):
        if calls <= 2:
            context.abort(grpc.StatusCode.UNAVAILABLE, "busy")

    service = serve(busy_twice)
    assert client.predict("m", X).version == 3
    assert service.calls == 3


def test_unavailable_is_not_tried_for_ever(client, serve):
    service = serve(lambda calls, context: context.abort(grpc.StatusCode.UNAVAILABLE, "busy"))
    with pytest.raises(ServerUnavailableError, match="busy"):
        client.predict("m", X)
    assert service.calls == 5


@pytest.mark.parametrize("code", ["INVALID_ARGUMENT", "NOT_FOUND", "RESOURCE_EXHAUSTED", "INTERNAL", "UNKNOWN"])
def test_other_errors_are_not_tried_again(client, serve, code):
    service = serve(lambda calls, context: context.abort(grpc.StatusCode[code], "no"))
    with pytest.raises(ServerRefusedError, match=f"model m: {code}: no") as error:
        client.predict("m", X)
    assert error.value.code == code
    assert isinstance(error.value, ServingError)
    assert service.calls == 1


def test_the_deadline_holds_over_a_slow_server_and_all_retries(port, serve):
    released = threading.Event()
    serve(lambda calls, context: released.wait(5))
    started = time.monotonic()
    with Client(f"127.0.0.1:{port}", timeout=0.3) as client:
        with pytest.raises(ServerUnavailableError, match=r"model m: no answer within 0\.3 s") as error:
            client.predict("m", X)
        assert error.value.code == "DEADLINE_EXCEEDED"
    assert time.monotonic() - started < 2
    released.set()


def test_retries_end_with_the_deadline(port):
    started = time.monotonic()
    with Client(f"127.0.0.1:{port}", timeout=0.5, retries=1000) as client, pytest.raises(ServerUnavailableError):
        client.predict("m", X)
    assert time.monotonic() - started < 2


def test_what_cannot_be_sent_is_refused_here(client):
    with pytest.raises(ServingError, match="expected serialised tf"):
        client.classify("m", [b"\xff"])


def test_a_reload_is_tried_again_too(client):
    with pytest.raises(ServerUnavailableError, match="no model server answers"):
        client.reload(server_config([]))


def test_a_client_is_ready_when_the_server_is(launch):
    _, client = launch(server_config([]))
    client.wait_ready(1)
    assert client.ready()
