"""Where sampling hangs: in the embedded server, or in a client of a server that cannot."""

import json
import urllib.request

import numpy as np
import pytest
from click.testing import CliRunner

from nightshift.serving.client import Client, ServerRefusedError
from nightshift.serving.config import model_config, server_config
from nightshift.serving.embedded.command import main
from nightshift.serving.samples import Sampler, recent
from nightshift.serving.tensors import to_array


def config_of(version):
    return server_config([model_config("m", version.parent)])


def test_the_server_keeps_what_it_answered(launch, publish, tmp_path):
    sampler = Sampler(str(tmp_path / "samples"), 1.0)
    server, client = launch(config_of(publish(1)), sampler=sampler)
    client.predict("m", {"x": np.array([4.0], np.float32)}, label=None)
    with pytest.raises(ServerRefusedError):
        client.predict("m", {"z": np.array([5.0], np.float32)}, label=None)
    client.predict("m", {"x": np.array([6.0], np.float32)}, version=1)
    server.stop()
    (log,) = recent(str(tmp_path / "samples"), "m", 9, version=1)
    assert to_array(log.predict_log.request.inputs["x"]) == [4.0]
    assert to_array(log.predict_log.response.outputs["y"]) == [4.0]


def test_nothing_is_kept_unless_somebody_asks_for_it(launch, publish, tmp_path):
    server, client = launch(config_of(publish(1)))
    client.predict("m", {"x": np.array([4.0], np.float32)}, label=None)
    server.stop()
    assert not [path for path in tmp_path.rglob("*") if "tfrecord" in path.name or path.name == "samples"]


def test_a_client_keeps_what_it_asked_where_the_server_cannot(launch, publish, tmp_path):
    server, _ = launch(config_of(publish(1)))
    with (
        Sampler(str(tmp_path / "samples"), 1.0) as sampler,
        Client(f"127.0.0.1:{server.port}", sampler=sampler) as client,
    ):
        client.predict("m", {"x": np.array([4.0], np.float32)}, label=None)
    (log,) = recent(str(tmp_path / "samples"), "m", 9)
    assert log.log_metadata.model_spec.version.value == 1


def test_rest_is_sampled_too(launch, publish, tmp_path):
    sampler = Sampler(str(tmp_path / "samples"), 1.0)
    server, _ = launch(config_of(publish(1)), sampler=sampler, rest_port=0)
    url = f"http://127.0.0.1:{server.rest_port}/v1/models/m:predict"
    with urllib.request.urlopen(urllib.request.Request(url, b'{"instances": [7.0]}')) as answer:
        assert json.load(answer) == {"predictions": [5.5]}
    server.stop()
    (log,) = recent(str(tmp_path / "samples"), "m", 9, version=1)
    assert to_array(log.predict_log.request.inputs["x"]) == [7.0]
    assert to_array(log.predict_log.response.outputs["y"]) == [5.5]


def test_the_commands_flags_name_place_and_rate(tmp_path):
    arguments = ["--port=0", f"--model_base_path={tmp_path}", "--sample_requests_to=s3://bucket", "--sample_rate=0.5"]
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 1
    assert "samples: found 's3://bucket', expected a folder or gs://BUCKET/PREFIX" in str(result.exception)
    result = CliRunner().invoke(main, [*arguments[:-1], "--sample_rate=0"])
    assert result.exit_code == 2
