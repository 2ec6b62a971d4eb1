"""The server as a process."""

import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pytest

from nightshift.errors import ConfigurationError
from nightshift.serving import embedded
from nightshift.serving.client import Client
from nightshift.serving.config import model_config, read_config, server_config

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
