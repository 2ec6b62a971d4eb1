"""Batching in the server, over gRPC: requests that wait in no thread."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import grpc
import numpy as np
import pytest
from half_plus_two import example

from nightshift.protos import predict_pb2
from nightshift.serving.batching_parameters import BatchingParameters
from nightshift.serving.client import Client, ServerRefusedError, ServerUnavailableError
from nightshift.serving.config import model_config, server_config
from nightshift.serving.embedded import server as module
from nightshift.serving.embedded.command import main
from nightshift.serving.embedded.deferred import can_defer
from nightshift.serving.tensors import to_proto

X = np.array([2.0], np.float32)
SECONDS = 30
EAGER = BatchingParameters(max_batch_size=64, max_enqueued_batches=100)


@pytest.fixture
def batched(publish, launch):
    def start(batching=EAGER, **options):
        return launch(server_config([model_config("m", publish(1).parent)]), batching=batching, **options)

    return start


def ask_many(client, arrays, clients=24):
    def ask(array):
        try:
            return client.predict("m", {"x": array}, label=None).outputs["y"].tolist()
        except (ServerRefusedError, ServerUnavailableError) as error:
            return error.code

    with ThreadPoolExecutor(clients) as pool:
        return list(pool.map(ask, arrays, timeout=SECONDS))


def test_the_installed_grpc_lets_requests_wait_in_no_thread():
    assert can_defer()


@pytest.mark.parametrize("deferred", [True, False])
def test_every_caller_gets_its_own_answer(batched, monkeypatch, deferred):
    monkeypatch.setattr(module, "can_defer", lambda: deferred)
    _, client = batched()
    arrays = [np.full(1 + index % 3, index, np.float32) for index in range(200)]
    assert ask_many(client, arrays) == [[index / 2 + 2] * (1 + index % 3) for index in range(200)]


@pytest.mark.parametrize("deferred", [True, False])
def test_refusals_reach_their_callers_in_the_same_words_as_without_batching(batched, conforming, monkeypatch, deferred):
    monkeypatch.setattr(module, "can_defer", lambda: deferred)
    _, client = batched()
    wrong = [
        {"inputs": {"z": X}},
        {"inputs": {"x": np.int32([1])}},
        {"inputs": {"x": X[None]}},
        {"inputs": {"x": X}, "signature": "none"},
    ]
    for arguments in wrong:
        said = []
        for one, model in ((client, "m"), (conforming, "half_plus_two")):
            with pytest.raises(ServerRefusedError) as error:
                one.predict(model, **{"label": None, **arguments})
            said.append((error.value.code, str(error.value).split(": ", 1)[1].replace(f"model {model}:", "")))
        assert said[0] == said[1]
    assert client.predict("m", {"x": X}, label=None).outputs["y"].tolist() == [3.0]


def test_many_more_requests_than_threads_wait_for_one_batch(batched):
    patient = BatchingParameters(max_batch_size=32, batch_timeout_micros=20_000_000)
    _, client = batched(patient)
    began = time.monotonic()
    answers = ask_many(client, [np.float32([index]) for index in range(32)], clients=32)
    assert time.monotonic() - began < 20, "the batch was full, and yet it waited"
    assert answers == [[index / 2 + 2] for index in range(32)]


def test_requests_that_their_callers_have_left_are_not_computed(batched):
    patient = BatchingParameters(max_batch_size=2, batch_timeout_micros=300_000)
    server, client = batched(patient)
    computed = []
    with server._manager.serving(predict_pb2.PredictRequest(model_spec={"name": "m"}).model_spec) as version:
        inner = version.servable._servable
        run = inner.run
    inner.run = lambda *arguments: computed.append(arguments) or run(*arguments)
    request = predict_pb2.PredictRequest(model_spec={"name": "m"}, inputs={"x": to_proto(X)})
    with grpc.insecure_channel(f"127.0.0.1:{server.port}") as channel:
        call = channel.unary_unary("/tensorflow.serving.PredictionService/Predict")
        with pytest.raises(grpc.RpcError) as error:
            call(request.SerializeToString(), timeout=0.1)
    assert error.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    deadline = time.monotonic() + SECONDS
    while server._measures._flying()[("GRPC",)]:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert computed == []
    assert client.predict("m", {"x": X}, label=None).outputs["y"].tolist() == [3.0]


def test_a_full_queue_is_unavailable(batched, publish):
    tight = BatchingParameters(max_batch_size=1, max_enqueued_batches=1, num_batch_threads=1)
    _, client = batched(tight)
    told = set()
    deadline = time.monotonic() + SECONDS
    while "UNAVAILABLE" not in told:
        assert time.monotonic() < deadline, told
        told |= {str(answer) for answer in ask_many(client, [X] * 200)}
    assert told <= {"UNAVAILABLE", "[3.0]"}


def test_a_version_is_unloaded_when_its_queued_requests_have_been_answered(batched, publish):
    patient = BatchingParameters(max_batch_size=2, batch_timeout_micros=500_000)
    server, client = batched(patient)
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(client.predict, "m", {"x": X}, label=None)
        deadline = time.monotonic() + SECONDS
        while not server._measures._flying()[("GRPC",)]:
            assert time.monotonic() < deadline
        publish(2)
        assert waiting.result(SECONDS).version == 1
    while {one.version: one.state for one in client.status("m")} != {1: "END", 2: "AVAILABLE"}:
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_server_that_stops_answers_what_is_queued(publish):
    patient = BatchingParameters(max_batch_size=2, batch_timeout_micros=1_000_000)
    options = module.ServerOptions(batching=patient)
    server = module.start(server_config([model_config("m", publish(1).parent)]), options=options)
    with Client(f"127.0.0.1:{server.port}", retries=0) as client, ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(client.predict, "m", {"x": X}, label=None)
        while not server._measures._flying()[("GRPC",)]:
            time.sleep(0.001)
        server.stop()
        assert waiting.result(SECONDS).outputs["y"].tolist() == [3.0]
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("batch_threads")]


def test_classify_is_joined_too(batched):
    _, client = batched()

    def ask(value):
        return client.classify("m", [example(value)], label=None)

    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(ask, [float(index) for index in range(40)]))
    assert [result[0][0][1] for result in results] == [index / 2 + 2 for index in range(40)]


def test_the_command_refuses_what_it_cannot_use(tmp_path):
    file = tmp_path / "batching.config"
    file.write_text("max_batch_size { value: -3 }")
    flags = ["--port=0", f"--batching_parameters_file={file}", f"--model_base_path={tmp_path}"]
    with pytest.raises(SystemExit) as refused:
        main([*flags, "--enable_batching"], standalone_mode=False)
    assert refused.value.code == f"error: {file}: max_batch_size: found -3, expected 1 to 2147483647"
    with pytest.raises(SystemExit) as refused:
        main(flags, standalone_mode=False)
    assert refused.value.code == "error: --batching_parameters_file is set without --enable_batching"
