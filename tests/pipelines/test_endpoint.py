"""Connecting to Kubeflow Pipelines: by whatever way, and what is said where that does not work."""

import socket

import pytest
from kubeflow_api import serving

from nightshift.errors import ConfigurationError
from pipelines import endpoint, page
from pipelines.endpoint import EndpointError, connect


@pytest.fixture(autouse=True)
def outside_of_a_pod(monkeypatch, tmp_path):
    for name in ("KFP_ENDPOINT", "KFP_TOKEN", "KFP_UI", "KF_PIPELINES_SA_TOKEN_PATH", "SSL_CERT_FILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(endpoint, "POD", tmp_path / "no-pod")
    monkeypatch.setattr(endpoint, "PROJECTED_TOKEN", tmp_path / "no-token")
    page._has_ui.cache_clear()


def no_answer_at():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{probe.getsockname()[1]}"


def test_the_api_is_where_it_is_said_to_be(monkeypatch):
    with serving() as api:
        assert connect(api.url).url == api.url
        monkeypatch.setenv("KFP_ENDPOINT", f"{api.url}/")
        assert connect().url == api.url
        assert {path for path, _ in api.asked} == {"/apis/v2beta1/healthz"}


def test_the_api_may_stand_below_a_path():
    with serving() as api:
        assert connect(f"{api.url}/pipeline/").url == f"{api.url}/pipeline"
        assert api.asked == [("/pipeline/apis/v2beta1/healthz", "")]


@pytest.mark.parametrize("url", ["localhost:8888", "ftp://localhost", "http://", "https:///x", "//x"])
def test_what_is_no_address_is_refused(url):
    with pytest.raises(ConfigurationError, match="--endpoint: found"):
        connect(url)


def test_a_password_in_the_address_is_refused_and_not_repeated():
    with pytest.raises(ConfigurationError) as error:
        connect("https://me:s3cr3t@kubeflow.example.org")
    assert "s3cr3t" not in str(error.value)


def test_without_an_address_a_way_to_get_one_is_told():
    with pytest.raises(ConfigurationError, match=r"KFP_ENDPOINT.*port-forward"):
        connect()


def test_an_api_that_is_not_there_is_told():
    url = no_answer_at()
    with pytest.raises(EndpointError, match=f"{url}: Kubeflow Pipelines does not answer") as error:
        connect(url)
    assert error.value.status == 0


def test_a_token_goes_along(monkeypatch, tmp_path):
    file = tmp_path / "token"
    file.write_text("from-a-file\n")
    with serving(token="from-a-file") as api:
        connect(api.url, token_file=str(file))
        monkeypatch.setenv("KFP_TOKEN", "other")
        connect(api.url, token_file=str(file))
        monkeypatch.setenv("KFP_TOKEN", "from-a-file")
        connect(api.url)


def test_a_token_in_a_file_is_read_again_since_it_is_renewed(tmp_path):
    file = tmp_path / "token"
    file.write_text("old")
    with serving() as api:
        kubeflow = connect(api.url, token_file=str(file))
        file.write_text("new")
        kubeflow.runs.run_service_list_runs()
        assert [given for _, given in api.asked] == ["Bearer old", "Bearer new"]


def test_a_pod_uses_its_own_token_and_the_service_of_the_cluster(monkeypatch, tmp_path):
    (tmp_path / "no-pod").mkdir()
    (tmp_path / "no-pod" / "namespace").write_text("alice")
    (tmp_path / "no-token").write_text("projected")
    with serving(answer={"multi_user": True}, token="projected") as api:
        monkeypatch.setattr(endpoint, "IN_CLUSTER", f"{api.url}/{{}}")
        asked = []

        def resolve(host, port):
            asked.append(host)
            if host != "ml-pipeline.kubeflow.svc":
                raise socket.gaierror("no such name")

        with monkeypatch.context() as names:
            names.setattr(endpoint, "socket", type("Socket", (), {"getaddrinfo": staticmethod(resolve)}))
            kubeflow = connect()
        assert asked == ["ml-pipeline.alice.svc", "ml-pipeline.kubeflow.svc"]
        assert kubeflow.url == f"{api.url}/kubeflow"
        assert kubeflow.namespace == "alice"


def test_a_refusal_names_the_token_and_not_what_it_is(monkeypatch, tmp_path):
    with serving(token="right") as api:
        with pytest.raises(EndpointError, match=r"refused \(401\) with no token: who are you\?") as error:
            connect(api.url)
        assert error.value.status == 401
        monkeypatch.setenv("KFP_TOKEN", "wr0ng")
        with pytest.raises(EndpointError, match="the token in KFP_TOKEN") as error:
            connect(api.url)
        assert "wr0ng" not in str(error.value)


@pytest.mark.parametrize("content", ["", "two words", "two\nlines", "x " * 70_000])
def test_a_file_that_holds_no_token_is_refused(tmp_path, content):
    file = tmp_path / "token"
    file.write_text(content)
    with pytest.raises(ConfigurationError, match="expected a token"):
        connect("http://localhost:1", token_file=str(file))


def test_a_token_does_not_travel_in_the_clear(monkeypatch):
    monkeypatch.setenv("KFP_TOKEN", "s3cr3t")
    with pytest.raises(ConfigurationError, match="only https may carry") as error:
        connect("http://kubeflow.example.org")
    assert "s3cr3t" not in str(error.value)


def test_a_login_page_is_not_taken_for_the_api():
    page = {"answer": "<html>log in</html>", "kind": "text/html"}
    with serving(**page) as api, pytest.raises(EndpointError, match="found text/html, expected JSON"):
        connect(api.url)


def test_a_redirection_to_a_login_page_is_told():
    with serving(status=302) as api, pytest.raises(EndpointError, match=r"refused \(302\)"):
        connect(api.url)


def test_where_there_are_profiles_one_has_to_be_named():
    with serving(answer={"multi_user": True}) as api:
        with pytest.raises(ConfigurationError, match="has profiles"):
            connect(api.url)
        assert connect(api.url, "alice").in_namespace == {"namespace": "alice"}


def test_where_there_are_none_requests_name_none():
    with serving() as api:
        assert connect(api.url).in_namespace == {}


def test_a_namespace_that_runs_would_not_be_in_is_refused():
    with serving() as api, pytest.raises(ConfigurationError, match=r"--namespace: found 'alice'.*expected no --namesp"):
        connect(api.url, "alice")


@pytest.mark.parametrize("host", ["ml-pipeline.ml", "ml-pipeline.ml.svc", "ml-pipeline.ml.svc.cluster.local"])
def test_a_namespace_that_the_address_names_is_where_runs_go(host):
    endpoint._check_only("ml", f"http://{host}:8888")
    with pytest.raises(ConfigurationError, match=r"found 'kubeflow'.* in 'ml', where it is installed"):
        endpoint._check_only("kubeflow", f"http://{host}:8888")


def test_the_namespace_of_a_pod_is_no_mistake_where_there_are_no_profiles(monkeypatch, tmp_path):
    (tmp_path / "no-pod").mkdir()
    (tmp_path / "no-pod" / "namespace").write_text("alice")
    with serving() as api:
        assert connect(api.url).in_namespace == {}


def test_links_lead_to_the_ui_where_that_is_known(monkeypatch):
    with serving() as api:
        kubeflow = connect(api.url)
        monkeypatch.setenv("KFP_UI", "https://ui.example.org/")
        assert page.run_page(kubeflow, "1-2") == "https://ui.example.org/#/runs/details/1-2"
        assert page.shown_at(kubeflow, "1-2") == page.run_page(kubeflow, "1-2")
        assert (
            page.run_page(kubeflow, "1-2", "https://other.example.org")
            == "https://other.example.org/#/runs/details/1-2"
        )


def test_where_no_ui_is_known_the_way_to_a_link_is_told():
    with serving() as api:
        kubeflow = connect(api.url)
        assert page.run_page(kubeflow, "1-2") == ""
        assert page.shown_at(kubeflow, "1-2") == "run 1-2 (set KFP_UI to the UI's address for a link)"


def test_an_endpoint_that_is_the_ui_too_is_what_links_lead_to():
    with serving() as api:
        kubeflow = connect(api.url)
        api.kind, api.answer = "text/html; charset=utf-8", "<html>"
        assert page.run_page(kubeflow, "1-2") == f"{api.url}/#/runs/details/1-2"
