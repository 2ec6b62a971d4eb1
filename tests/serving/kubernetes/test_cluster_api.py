"""The API's answers, from a server of a few lines on loopback: refusals, absences, watches that end."""

import contextlib
import itertools
import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

import pytest

from nightshift.errors import ConfigurationError
from nightshift.kubernetes.asking import ClusterError
from nightshift.kubernetes.cluster import CONFLICT, connect

SILENCE = (None, "")
"""An answer that does not come while anybody waits for it."""


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def answer(self):
        split = urlsplit(self.path)
        length = int(self.headers.get("Content-Length") or 0)
        body = json.loads(self.rfile.read(length)) if length else None
        query = {key: values[0] for key, values in parse_qs(split.query).items()}
        self.server.asked.append((self.command, split.path, query, body, self.headers.get("Content-Type")))
        status, text = self.server.answers.pop(0)
        if status is None:
            time.sleep(1.5)
            return
        text = (text if isinstance(text, str) else json.dumps(text)).encode()
        self.send_response(status)
        if query.get("watch"):
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            for part in (text[:7], text[7:]) if text else ():  # an event may come in pieces
                self.wfile.write(f"{len(part):x}\r\n".encode() + part + b"\r\n")
            self.wfile.write(b"0\r\n\r\n")
        else:
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

    def log_message(self, *args):
        pass


for method in ("GET", "POST", "PATCH", "PUT", "DELETE"):
    setattr(Handler, f"do_{method}", Handler.answer)


@pytest.fixture
def api(tmp_path, monkeypatch):
    """A server with a list of answers to give, (status, body), and one of what it was asked."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.answers, server.asked = [], []
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "c",
        "clusters": [{"name": "c", "cluster": {"server": f"http://127.0.0.1:{server.server_port}"}}],
        "users": [{"name": "u", "user": {"token": "t"}}],
        "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
    }
    file = tmp_path / "kubeconfig"
    file.write_text(json.dumps(config))
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    monkeypatch.setenv("KUBECONFIG", str(file))
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def namespace(api):
    with connect("serving", patience=0.6) as found:
        yield found


def refusal(status, message):
    return status, {"kind": "Status", "message": message, "code": status}


def item(name, version="1"):
    return {"metadata": {"name": name, "resourceVersion": version}}


def test_objects_are_read_by_path(api, namespace):
    api.answers += [(200, item("m"))]
    assert namespace.get("deployments", "m") == item("m")
    assert api.asked[0][:2] == ("GET", "/apis/apps/v1/namespaces/serving/deployments/m")


def test_what_is_not_there_is_none_and_deleting_it_is_done(api, namespace):
    api.answers += [refusal(404, 'services "m" not found')] * 2
    assert namespace.get("services", "m") is None
    namespace.delete("services", "m")
    assert api.asked[1][3] == {"apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": "Background"}


def test_deleting_one_state_of_an_object_says_which(api, namespace):
    api.answers += [refusal(409, "Precondition failed: ResourceVersion in precondition: 7")]
    with pytest.raises(ClusterError) as error:
        namespace.delete("trainjobs", "m", "7")
    assert error.value.status == CONFLICT
    assert api.asked[0][3]["preconditions"] == {"resourceVersion": "7"}
    assert api.asked[0][3]["propagationPolicy"] == "Background", "a body takes the place of what the query says"


def test_a_list_says_what_its_items_are(api, namespace):
    api.answers += [(200, {"kind": "ServiceList", "items": [item("n"), item("m")]})]
    found = namespace.find("services", "a=b")
    assert [(one["kind"], one["metadata"]["name"]) for one in found] == [("Service", "m"), ("Service", "n")]
    assert api.asked[0][2] == {"labelSelector": "a=b"}


def test_creating_what_is_there_gives_none(api, namespace):
    api.answers += [(201, item("m")), refusal(409, "already exists")]
    assert namespace.create("configmaps", item("m")) == item("m")
    assert namespace.create("configmaps", item("m")) is None
    assert api.asked[0][2] == {"fieldManager": "nightshift", "fieldValidation": "Strict"}


def test_a_dry_run_is_one(api, namespace):
    api.answers += [(201, item("m"))]
    namespace.create("configmaps", item("m"), dry_run=True)
    assert api.asked[0][2]["dryRun"] == "All"


def test_a_patch_merges_under_our_name(api, namespace):
    api.answers += [(200, item("m"))]
    namespace.patch("services", "m", {"spec": {"selector": {"a": None}}})
    method, _, query, body, kind = api.asked[0]
    assert (method, query, kind) == ("PATCH", {"fieldManager": "nightshift"}, "application/merge-patch+json")
    assert body == {"spec": {"selector": {"a": None}}}


@pytest.mark.parametrize("status", [401, 403, 409, 422])
def test_a_refusal_is_told_in_the_servers_words_and_not_repeated(api, namespace, status):
    api.answers += [refusal(status, "because I say so")]
    with pytest.raises(ClusterError, match="PATCH services m in namespace serving: because I say so") as error:
        namespace.patch("services", "m", {})
    assert error.value.status == status
    assert not error.value.passing
    assert len(api.asked) == 1


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_server_that_is_busy_is_asked_again(api, namespace, status):
    api.answers += [refusal(status, "later"), (200, item("m"))]
    assert namespace.get("services", "m") == item("m")


def test_a_server_that_stays_busy_is_given_up(api, namespace):
    api.answers += [(503, "<html>gateway</html>")] * 20
    with pytest.raises(ClusterError, match=r"503 .*gateway") as error:
        namespace.get("services", "m")
    assert error.value.passing


def test_no_server_at_all(api, namespace):
    api.shutdown()
    api.server_close()
    server = f"http://127.0.0.1:{api.server_port}"
    with pytest.raises(ClusterError, match=f"the API server {server} does not answer: Connection refused$") as error:
        namespace.get("services", "m")
    assert error.value.passing


def test_a_server_that_takes_connections_and_says_nothing_is_asked_once(api, namespace):
    api.answers += [SILENCE] * 4
    with pytest.raises(ClusterError, match=r"does not answer: nothing came in time$"):
        namespace.get("services", "m")
    assert len(api.asked) == 1, "the client library asks again by itself"


def test_logs_are_bounded_and_may_be_anything(api, namespace):
    api.answers += [(200, '{"not": "decoded"}'), refusal(400, "no such container yet"), refusal(403, "forbidden")]
    assert namespace.logs("p", "server", previous=True) == '{"not": "decoded"}'
    assert api.asked[0][2] == {"container": "server", "tailLines": "12", "limitBytes": "4000", "previous": "true"}
    assert namespace.logs("p", "server", previous=False) == ""
    with pytest.raises(ClusterError, match="forbidden"):
        namespace.logs("p", "server", previous=False)


def events(*pairs):
    return 200, "".join(json.dumps({"type": kind, "object": one}) + "\n" for kind, one in pairs)


def listed(*items, version="10"):
    return 200, {"kind": "PodList", "metadata": {"resourceVersion": version}, "items": list(items)}


def follow(namespace, count):
    with contextlib.closing(namespace.follow("pods", "a=b", tick=1)) as following:
        return [sorted(one["metadata"]["name"] for one in found) for found in itertools.islice(following, count)]


def test_following_tells_every_change_and_every_tick(api, namespace):
    api.answers += [
        listed(item("p")),
        events(("ADDED", item("q", "11")), ("BOOKMARK", item("", "12")), ("DELETED", item("p", "13"))),
        events(),
        events(("MODIFIED", item("q", "14"))),
    ]
    assert follow(namespace, 6) == [["p"], ["p", "q"], ["q"], ["q"], ["q"], ["q"]]
    watches = [query for _, _, query, _, _ in api.asked if "watch" in query]
    assert [query["resourceVersion"] for query in watches] == ["10", "13", "13"]
    assert {query["timeoutSeconds"] for query in watches} == {"1"}


@pytest.mark.parametrize("gone", [(410, "gone"), events(("ERROR", {"kind": "Status", "code": 410}))])
def test_following_begins_anew_when_the_server_has_forgotten(api, namespace, gone):
    api.answers += [listed(item("p")), gone, listed(item("r"), version="90"), events()]
    assert follow(namespace, 2) == [["p"], ["r"]]


def test_without_a_cluster_that_is_said(tmp_path, monkeypatch):
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "none"))
    with (
        pytest.raises(ConfigurationError, match="kubernetes:serving: no cluster: this is not a Pod"),
        connect("serving"),
    ):
        pass
