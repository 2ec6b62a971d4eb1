"""The server as a process."""

import importlib.metadata
import signal
import subprocess
import sys
import threading
import time

import grpc
import numpy as np
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from packaging.requirements import Requirement

from nightshift.errors import ConfigurationError
from nightshift.serving.client import Client, ServerRefusedError
from nightshift.serving.config import model_config, read_config, server_config
from nightshift.serving.embedded import server as embedded
from nightshift.serving.embedded import server as module
from nightshift.serving.embedded.limits import Limits

COMMAND = [sys.executable, "-m", "nightshift.serving.embedded", "--port=0"]


@pytest.mark.parametrize("stop", [signal.SIGTERM, signal.SIGINT])
def test_a_stopped_server_finishes_what_is_under_way_and_exits_0(publish, stop):
    command = [*COMMAND, "--model_name=m", f"--model_base_path={publish(1).parent}"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        try:
            line = process.stdout.readline()
            assert line.startswith("serving on 127.0.0.1:")
            answers = []
            with Client(line.split()[-1], retries=0, timeout=30) as client:
                assert client.ready()
                steps = {"steps": np.int64(3000)[...]}

                def ask():
                    answers.append(client.predict("m", steps, signature="slow", label=None))

                asking = threading.Thread(target=ask)
                asking.start()
                time.sleep(0.3)
                assert answers == [], "the request is still under way"
                process.send_signal(stop)
                asking.join()
                assert answers[0].outputs["total"] > 0
            assert process.wait(20) == 0
        finally:
            process.kill()


def test_the_process_says_what_is_wrong_with_its_configuration(tmp_path):
    file = tmp_path / "models.config"
    file.write_text('model_config_list { config { name: "m" base_path: "relative" model_platform: "tensorflow" } }')
    result = subprocess.run([*COMMAND, f"--model_config_file={file}"], capture_output=True, text=True)
    assert result.returncode == 1
    assert "error: model configuration: Expected model m to have an absolute path" in result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize("content", ["not a config", None, b"\xff"])
def test_a_file_that_is_no_configuration_is_refused(tmp_path, content):
    file = tmp_path / "models.config"
    if content is not None:
        file.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(ConfigurationError, match=r"models\.config: expected a ModelServerConfig"):
        read_config(file)


def test_a_taken_port_is_refused(launch):
    server, _ = launch(server_config([]))
    with pytest.raises(ConfigurationError, match=f"port: found {server.port}"):
        embedded.start(server_config([]), server.port)


def test_a_server_without_versions_is_ready_and_serves_the_first_one_that_comes(publish, launch, tmp_path):
    _, client = launch(server_config([model_config("m", tmp_path / "models" / "m")]))
    assert client.ready()
    assert client.status("m") == []
    publish(1)
    deadline = time.monotonic() + 10
    while not client.status("m") or client.status("m")[0].state != "AVAILABLE":
        assert time.monotonic() < deadline
        time.sleep(0.02)
    assert client.predict("m", {"x": np.float32([2])}, label=None).outputs["y"].tolist() == [3.0]


def test_health_turns_to_serving_when_the_models_are_loaded(publish):
    server = embedded.RunningServer(server_config([model_config("m", publish(1).parent)]), 0, embedded.ServerOptions())
    try:
        with Client(f"127.0.0.1:{server.port}") as client:
            assert not client.ready()
            assert server.wait_loaded()
            assert client.ready()
    finally:
        server.stop()


def health_of(server, service):
    with grpc.insecure_channel(f"127.0.0.1:{server.port}") as channel:
        request = health_pb2.HealthCheckRequest(service=service)
        return health_pb2_grpc.HealthStub(channel).Check(request, timeout=10).status


def test_health_knows_the_services_by_the_names_of_both_servers(publish, launch):
    server, _ = launch(server_config([model_config("m", publish(1).parent)]))
    for name in ("", "PredictionService", "ModelService", "tensorflow.serving.PredictionService"):
        assert health_of(server, name) == health_pb2.HealthCheckResponse.SERVING


def test_health_can_be_left_out(publish, launch):
    server, client = launch(server_config([model_config("m", publish(1).parent)]), health=False)
    with pytest.raises(grpc.RpcError) as error:
        health_of(server, "")
    assert error.value.code() is grpc.StatusCode.UNIMPLEMENTED
    assert client.status("m")[0].state == "AVAILABLE"


def test_a_version_that_came_to_its_end_leaves_the_process_and_its_health_up(publish, launch):
    version = publish(1)
    (version / "saved_model.pb").unlink()
    config = server_config([model_config("m", version.parent, versions=[1], labels={"stable": 1})])
    server, client = launch(config, labels_for_unavailable=True, load_retries=1, load_retry_seconds=0.01)
    assert health_of(server, "") == health_pb2.HealthCheckResponse.SERVING
    (status,) = client.status("m")
    assert (status.state, "saved_model.pb is missing" in status.error) == ("END", True)
    with pytest.raises(ServerRefusedError, match="Servable not found"):
        client.metadata("m")


def test_channel_arguments_come_over_those_that_are_set_here(publish, launch):
    arguments = (("grpc.max_receive_message_length", 1000), ("grpc.primary_user_agent", "text"))
    _, client = launch(server_config([model_config("m", publish(1).parent)]), channel_arguments=arguments)
    assert client.predict("m", {"x": np.zeros(10, np.float32)}, label=None).version == 1
    with pytest.raises(ServerRefusedError, match=r"larger than max \(\d+ vs. 1000\)"):
        client.predict("m", {"x": np.zeros(1000, np.float32)}, label=None)


def test_a_container_s_limits_size_the_server(monkeypatch, launch, publish):
    monkeypatch.setattr(module, "container_limits", lambda: Limits(1.5, 2**30))
    monkeypatch.setattr(module, "memory_used", lambda: 400 * 2**20)
    _, client = launch(server_config([model_config("m", publish(1).parent)]))
    with pytest.raises(ServerRefusedError, match=rf"larger than max \(\d+ vs. {8 * 2**20}\)"):
        client.predict("m", {"x": np.zeros(2**22, np.float32)}, label=None)
    monkeypatch.setattr(module, "container_limits", lambda: Limits(1.5, 2**29))
    with pytest.raises(ConfigurationError, match="memory limit: found 512 MiB"):
        embedded.start(server_config([]))


def normal(name):
    return name.lower().replace("_", "-")


def installed_with(*names):
    """The installed ones of these distributions, and of those that they need."""
    here = {normal(one.metadata["Name"]): one.requires or () for one in importlib.metadata.distributions()}
    found, new = set(), {normal(name) for name in names}
    while new:
        found |= new
        needed = [Requirement(line) for name in new for line in here[name]]
        new = {normal(one.name) for one in needed if one.marker is None or one.marker.evaluate({"extra": ""})}
        new = new & here.keys() - found
    return found


def test_it_runs_with_nothing_installed_but_what_the_library_and_tensorflow_need(publish):
    """Nor does it load TensorFlow's Python API and Keras, which take seconds and half the memory."""
    tensorflow = importlib.metadata.packages_distributions()["tensorflow"][0]
    image = installed_with("nightshift", tensorflow)
    foreign = {
        module
        for module, owners in importlib.metadata.packages_distributions().items()
        if not {normal(owner) for owner in owners} & image
    }
    assert {"kfp", "sklearn", "kubernetes", "matplotlib"} <= foreign
    program = (
        "import runpy, sys\n"
        f"foreign = set({sorted(foreign)})\n"
        "class Refuse:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name.split('.')[0] in foreign:\n"
        "            raise ModuleNotFoundError(f'the image has no {name}', name=name)\n"
        "sys.meta_path.insert(0, Refuse())\n"
        "sys.argv = ['embedded', *sys.argv[1:]]\n"
        "try:\n"
        "    runpy.run_module('nightshift.serving.embedded', run_name='__main__')\n"
        "finally:\n"
        "    print('loaded', *(name for name in sys.modules if '.' not in name))\n"
    )
    command = [sys.executable, "-c", program, "--port=0", "--model_name=m", f"--model_base_path={publish(1).parent}"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        try:
            address = process.stdout.readline().split()[-1]
            with Client(address, retries=0) as client:
                assert client.predict("m", {"x": np.float32([2])}, label=None).outputs["y"].tolist() == [3.0]
            process.terminate()
            loaded = set(process.communicate(timeout=30)[0].split())
        finally:
            process.kill()
    assert "numpy" in loaded
    assert not loaded & {"tensorflow", "keras", "scipy", "h5py", "httpx"}
