"""`nightshift serve` as a process: REST, metrics and TLS by a flag each."""

import re
import subprocess
import sys
import urllib.request

import pytest
from certificates import Authority
from prometheus_client.parser import text_string_to_metric_families

from nightshift.serving.channel import Tls
from nightshift.serving.client import Client, ServerUnavailableError

SERVE = [sys.executable, "-m", "nightshift.cli", "serve", "--port", "0", "--until-stdin-closes"]


@pytest.fixture
def serve(tmp_path):
    """Starts the command, and gives what it printed until it was ready."""
    processes = []

    def run(*arguments):
        command = [*SERVE, "--workspace", str(tmp_path / "w"), *arguments]
        pipe = subprocess.PIPE
        processes.append(subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True))
        lines = []
        while not lines or (lines[-1] and not lines[-1].startswith("serving on")):
            lines.append(processes[-1].stdout.readline())
        return "".join(lines) or processes[-1].stderr.read()

    yield run
    for process in processes:
        process.communicate("", timeout=60)


def test_one_flag_gives_rest_and_its_metrics(serve):
    port = re.search(r"REST on port (\d+)", serve("--rest-port", "0"))[1]
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(f"http://127.0.0.1:{port}/v1/models/m", timeout=30)
    assert refused.value.code == 404
    refused.value.close()
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/monitoring/prometheus/metrics", timeout=30) as response:
        names = {family.name for family in text_string_to_metric_families(response.read().decode())}
    assert ":tensorflow:serving:request_count" in names


def test_a_flag_gives_tls(serve, tmp_path):
    authority = Authority()
    pair = authority.sign("127.0.0.1")
    key, certificate = (pem.decode().replace("\n", "\\n") for pem in (pair.key, pair.certificate))
    file = tmp_path / "ssl.config"
    file.write_text(f'server_key: "{key}"\nserver_cert: "{certificate}"\n')
    target = serve("--ssl-config-file", str(file)).split()[-1]
    with Client(target, tls=Tls(authority.certificate), retries=0) as client:
        assert client.ready()
    with Client(target, tls=None, retries=0) as client, pytest.raises(ServerUnavailableError, match="if it speaks TLS"):
        client.status("m")


def test_a_file_that_is_none_is_told_in_words(serve, tmp_path):
    said = serve("--ssl-config-file", str(tmp_path / "missing"))
    assert f"Error: {tmp_path / 'missing'}: expected a SSLConfig in text form" in said
    assert "Traceback" not in said


def test_a_file_in_the_place_of_samples_is_told_at_the_start(serve, tmp_path):
    (tmp_path / "w").mkdir()
    (tmp_path / "w" / "samples").write_text("in the way")
    said = serve("--sample", "0.5")
    assert f"Error: samples: found a file at {tmp_path / 'w' / 'samples'}, expected a folder" in said
    assert "Traceback" not in said
