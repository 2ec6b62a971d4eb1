"""The message to a chat, sent to a real HTTP server on loopback."""

import json
import logging
import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

import pytest
from example_run import STARTED, write_evaluate, write_run, write_status

from nightshift.errors import ConfigurationError
from nightshift.report import webhook
from nightshift.report.webhook import LONGEST, WebhookError, message, payload, post
from nightshift.steps.report import report

SECRET = "T000-B000-s3cr3t"


class Chat(ThreadingHTTPServer):
    """Takes messages; answers with `status` and repeats the path, as the page of an error may."""

    status = 200
    headers = {}

    def __init__(self):
        super().__init__(("127.0.0.1", 0), _Handler)
        self.got = []

    @property
    def address(self):
        return f"http://127.0.0.1:{self.server_port}/services/{SECRET}"


class _Handler(BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.got.append((self.path, self.headers["Content-Type"], json.loads(body)))
        self.send_response(self.server.status, f"about {self.path}")
        for name, value in self.server.headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(f"about {self.path}".encode())

    def log_message(self, *arguments):
        pass


@pytest.fixture
def chat():
    with Chat() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def address(chat, monkeypatch):
    monkeypatch.setenv("NIGHTSHIFT_WEBHOOK", chat.address)
    return chat.address


def form(address, text="released <b> & more"):
    return payload(urlsplit(address), text)


def status_of_report(run):
    return json.loads((run.path / "report" / "status.json").read_text())


def test_without_an_address_nothing_is_sent(run, monkeypatch):
    monkeypatch.delenv("NIGHTSHIFT_WEBHOOK", raising=False)
    assert post(run) == ""


def test_a_report_posts_one_message(run, chat, address):
    report(run)
    ((path, kind, content),) = chat.got
    assert path == f"/services/{SECRET}"
    assert kind.startswith("application/json")
    assert "pets: Released version 20260728010203" in content["text"]
    assert "told 127.0.0.1" in status_of_report(run)["message"]


def test_the_message_has_the_outcome_the_figures_and_the_run(run):
    lines = message(run).splitlines()
    assert "pets: Released version 20260728010203" in lines[0]
    assert lines[1] == "answered its golden batch over gRPC"
    assert "accuracy 0.9712, loss 0.0911, calibration_error 0.0123" in lines
    assert lines[-1] == "run nightly-1"


def test_the_message_links_to_the_run_page_where_the_ui_is_known(run, monkeypatch):
    monkeypatch.setenv("NIGHTSHIFT_UI", "https://kubeflow.example.org/pipeline/")
    assert message(run).splitlines()[-1] == "https://kubeflow.example.org/pipeline/#/runs/details/nightly-1"


def test_a_version_that_is_kept_is_told_with_the_reason(run):
    (run.path / "deploy" / "status.json").unlink()
    write_evaluate(run.path / "evaluate", ["cat", "dog"], (28, 28, 1), blessed=False)
    assert "Kept version 20260101000000" in message(run)
    assert "recall of dog 0.81" in message(run)


def test_a_night_without_news_is_told(run):
    for step in ("train", "evaluate", "export", "deploy"):
        (run.path / step / "status.json").unlink()
    figures = {
        "task": "pets",
        "train": False,
        "serving_version": 7,
        "reason": "nothing to do: version 7 of pets serves",
    }
    write_status(run.path / "prepare_data", figures=figures)
    assert "pets: Nothing to do: version 7 serves" in message(run)


def test_a_failure_is_told_with_its_step_and_error(run):
    error = "Traceback (most recent call last):\n  File ...\nValueError: the loss is nan in epoch 3"
    write_status(run.path / "train", 65, state="failed", error=error)
    lines = message(run).splitlines()
    assert "pets: Failed at train" in lines[0]
    assert lines[1] == "ValueError: the loss is nan in epoch 3"
    assert lines[2] == "Version 20260101000000 goes on serving."


def test_a_message_can_be_made_of_nothing(tmp_path):
    from nightshift.workspace import Run

    assert "Nothing has run" in message(Run(tmp_path / "empty"))


@pytest.mark.parametrize("status", [400, 403, 404, 500])
def test_a_refusal_is_told_and_the_report_succeeds(run, chat, address, status):
    chat.status = status
    page = report(run)
    assert page.exists()
    recorded = status_of_report(run)
    assert recorded["state"] == "succeeded"
    assert f"no message was sent: NIGHTSHIFT_WEBHOOK: 127.0.0.1 refused the message ({status})" in recorded["message"]


def test_a_chat_that_is_not_there_is_told(run, monkeypatch):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    monkeypatch.setenv("NIGHTSHIFT_WEBHOOK", f"http://127.0.0.1:{port}/{SECRET}")
    with pytest.raises(WebhookError, match="ConnectionRefusedError"):
        post(run)


def test_a_chat_that_is_silent_is_given_up(run, monkeypatch):
    monkeypatch.setattr(webhook, "SECONDS", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setenv("NIGHTSHIFT_WEBHOOK", f"http://127.0.0.1:{silent.getsockname()[1]}/{SECRET}")
        with pytest.raises(WebhookError, match="did not answer"):
            post(run)


def test_a_redirection_is_not_followed(run, chat, address):
    chat.status, chat.headers = 302, {"Location": f"http://127.0.0.1:{chat.server_port}/elsewhere"}
    with pytest.raises(WebhookError, match="302"):
        post(run)
    assert len(chat.got) == 1


@pytest.mark.parametrize("status", [200, 404])
def test_the_address_is_neither_printed_nor_stored_nor_logged(run, chat, address, status, capsys, caplog):
    chat.status = status
    with caplog.at_level(logging.DEBUG):
        report(run)
    assert len(chat.got) == 1
    printed = capsys.readouterr()
    assert SECRET not in printed.out + printed.err + caplog.text
    for file in run.path.rglob("*"):
        assert file.is_dir() or SECRET.encode() not in file.read_bytes(), file


@pytest.mark.parametrize(
    "address",
    [
        "hooks.slack.com/services/s3cr3t",
        "ftp://hooks.slack.com/s3cr3t",
        "http://hooks.slack.com/services/s3cr3t",
        "http://10.0.0.7/s3cr3t",
        "http://localhost.example.org/s3cr3t",
        "http://169.254.169.254/s3cr3t",
        "https://",
        "https://chat:0/s3cr3t",
        "https://chat:99999/s3cr3t",
        "https://[::1/s3cr3t",
        "https://chat/s3cr3t\r\nHost: elsewhere",
        "file:///etc/s3cr3t",
    ],
)
def test_an_address_that_would_give_the_secret_away_is_refused_without_repeating_it(run, monkeypatch, address):
    monkeypatch.setenv("NIGHTSHIFT_WEBHOOK", address)
    with pytest.raises(ConfigurationError) as error:
        post(run)
    assert "s3cr3t" not in str(error.value)


@pytest.mark.parametrize("host", ["127.0.0.1", "[::1]", "localhost", "chat.tools.svc", "chat.tools.svc.cluster.local"])
def test_http_will_do_inside_the_machine_and_the_cluster(host):
    assert webhook._checked(f"http://{host}:8065/hooks/x").path == "/hooks/x"


@pytest.mark.parametrize(
    "address",
    [
        "https://hooks.slack.com/services/x",
        "https://mattermost.example.org/hooks/x",
        "https://discord.com/api/1/x/slack",
    ],
)
def test_slack_and_those_like_it_get_text_in_which_nothing_calls_anybody(address):
    assert form(address, "<!channel> & <b>") == {"text": "&lt;!channel&gt; &amp; &lt;b&gt;"}


def test_discord_gets_content_that_mentions_nobody():
    assert form("https://discord.com/api/webhooks/1/x") == {
        "content": "released <b> & more",
        "allowed_mentions": {"parse": []},
    }


def test_google_chat_gets_text_without_commands():
    text = form("https://chat.googleapis.com/v1/spaces/x/messages?key=k", "<users/all> & more")["text"]
    assert text == "\u2039users/all\u203a & more"


@pytest.mark.parametrize(
    "host", ["x.webhook.office.com", "prod-1.westeurope.logic.azure.com", "x.y.environment.api.powerplatform.com"]
)
def test_teams_gets_an_adaptive_card(host):
    content = form(f"https://{host}/workflows/x", "title\nwhy\nlink")
    (attachment,) = content["attachments"]
    assert content["type"] == "message"
    assert attachment["contentType"] == "application/vnd.microsoft.card.adaptive"
    assert [block["text"] for block in attachment["content"]["body"]] == ["title", "why", "link"]


@pytest.mark.parametrize("host", ["x.webhook.office.com.example.org", "notdiscord.com", "chat.googleapis.com.nl"])
def test_a_host_that_only_looks_like_one_gets_the_common_form(host):
    assert form(f"https://{host}/x").keys() == {"text"}


def test_a_long_error_is_cut(tmp_path):
    run = write_run(tmp_path / "long")
    write_status(run.path / "train", STARTED, state="failed", error="x" * 100_000)
    assert len(message(run)) < LONGEST
    assert len(form("https://discord.com/api/webhooks/1/x", "y" * 5_000)["content"]) == LONGEST
