"""gRPC's health service: asked, watched, and left by those who watch."""

import threading
import time

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from nightshift.serving.config import model_config, server_config
from nightshift.serving.embedded import server as embedded

Status = health_pb2.HealthCheckResponse


def request(service=""):
    return health_pb2.HealthCheckRequest(service=service)


@pytest.fixture
def running(publish):
    """A server that has not waited for its models, and a stub of its health service."""
    server = embedded.RunningServer(server_config([model_config("m", publish(1).parent)]), 0, embedded.ServerOptions())
    with grpc.insecure_channel(f"127.0.0.1:{server.port}") as channel:
        yield server, health_pb2_grpc.HealthStub(channel)
        server.stop()


def test_a_watcher_hears_of_each_change_and_is_let_go_when_the_server_stops(running):
    server, stub = running
    watch = stub.Watch(request(), timeout=30)
    assert next(watch).status == Status.NOT_SERVING
    assert server.wait_loaded()
    assert next(watch).status == Status.SERVING
    assert stub.Check(request(), timeout=10).status == Status.SERVING
    started = time.monotonic()
    server.stop()
    assert time.monotonic() < started + 5, "it waited for the watcher to leave"
    assert [answer.status for answer in watch] == [Status.NOT_SERVING]
    assert watch.code() is grpc.StatusCode.OK


def test_an_unknown_service_is_refused_to_check_and_watched_as_unknown(running):
    _, stub = running
    with pytest.raises(grpc.RpcError) as error:
        stub.Check(request("other"), timeout=10)
    assert error.value.code() is grpc.StatusCode.NOT_FOUND
    watch = stub.Watch(request("other"), timeout=30)
    assert next(watch).status == Status.SERVICE_UNKNOWN
    watch.cancel()


def test_more_watchers_than_that_are_refused(running):
    server, stub = running
    assert server.wait_loaded()
    watches = [stub.Watch(request(), timeout=30) for _ in range(64)]
    assert all(next(watch).status == Status.SERVING for watch in watches)
    with pytest.raises(grpc.RpcError) as error:
        next(stub.Watch(request(), timeout=30))
    assert error.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    for watch in watches:
        watch.cancel()
    deadline = time.monotonic() + 10
    while True:  # those that have left make room
        try:
            assert next(stub.Watch(request(), timeout=30)).status == Status.SERVING
            return
        except grpc.RpcError:
            assert time.monotonic() < deadline
            time.sleep(0.05)


@pytest.mark.parametrize("attempt", range(5))
def test_watchers_that_come_and_leave_do_not_keep_the_server_from_stopping(running, attempt):
    server, stub = running
    assert server.wait_loaded()
    done = threading.Event()

    def come_and_go():
        while not done.is_set():
            watch = stub.Watch(request(), timeout=30)
            try:
                next(watch)
            except (grpc.RpcError, StopIteration):
                time.sleep(0.01)
            watch.cancel()

    threads = [threading.Thread(target=come_and_go) for _ in range(4)]
    for thread in threads:
        thread.start()
    time.sleep(0.2)
    stopping = threading.Thread(target=server.stop)
    stopping.start()
    stopping.join(20)
    done.set()
    for thread in threads:
        thread.join()
    assert not stopping.is_alive()
