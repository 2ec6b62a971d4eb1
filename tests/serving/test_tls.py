"""TLS: the server's file, both ends' certificates, and what is said when they do not go together."""

import contextlib

import grpc
import numpy as np
import pytest
from certificates import Authority, encrypted
from rest import ask

from nightshift.errors import ConfigurationError
from nightshift.serving.channel import SYSTEM, Tls, environment_tls, read_tls
from nightshift.serving.client import Client, ServerUnavailableError
from nightshift.serving.config import model_config, server_config
from nightshift.serving.embedded import server as embedded
from nightshift.serving.embedded import tls as server_tls
from nightshift.serving.embedded.tls import ServerTls

ENVIRONMENT = ("CA", "CERT", "KEY", "NAME")


@pytest.fixture(scope="module")
def authority():
    return Authority()


@pytest.fixture(scope="module")
def other():
    return Authority("other")


@pytest.fixture(scope="module")
def pair(authority):
    """The server's, for loopback."""
    return authority.sign("localhost", "127.0.0.1")


@pytest.fixture(scope="module")
def own(authority):
    """A client's."""
    return authority.sign("client")


@pytest.fixture(autouse=True)
def no_environment(monkeypatch):
    for name in ENVIRONMENT:
        monkeypatch.delenv(f"NIGHTSHIFT_TLS_{name}", raising=False)


@pytest.fixture
def serve(saved_model, tmp_path):
    """Starts a server of version 1 of m with TLS, or without."""
    with contextlib.ExitStack() as stack:
        (tmp_path / "m").mkdir()
        (tmp_path / "m" / "1").symlink_to(saved_model)

        def run(tls, **options):
            config = server_config([model_config("m", tmp_path / "m")])
            server = embedded.start(config, options=embedded.ServerOptions(tls=tls, poll_seconds=0, **options))
            stack.callback(server.stop)
            return server

        yield run


def answer(server, tls, host="127.0.0.1"):
    with Client(f"{host}:{server.port}", retries=2, timeout=10, tls=tls) as client:
        return client.predict("m", {"x": np.float32([2])}, label=None).outputs["y"].tolist()


def of(pair, **options):
    return ServerTls(pair.key, pair.certificate, **options)


def test_a_client_that_knows_the_authority_is_answered(serve, authority, pair):
    server = serve(of(pair), rest_port=0)
    assert answer(server, Tls(authority.certificate)) == [3.0]
    assert answer(server, Tls(authority.certificate), "localhost") == [3.0]
    # REST has no TLS, as in TensorFlow Serving.
    assert ask(server, "/v1/models/m:predict", "POST", {"instances": [2]}) == (200, {"predictions": [3.0]})


def test_a_certificate_for_another_name_can_be_expected(serve, authority):
    server = serve(of(authority.sign("model-server")))
    with pytest.raises(ServerUnavailableError, match=r"not for 127\.0\.0\.1; .* NIGHTSHIFT_TLS_NAME"):
        answer(server, Tls(authority.certificate))
    assert answer(server, Tls(authority.certificate, name="model-server")) == [3.0]
    with pytest.raises(ServerUnavailableError, match="its certificate is not for another;"):
        answer(server, Tls(authority.certificate, name="another"))


def test_a_server_may_ask_clients_for_a_certificate(serve, authority, other, pair, own):
    server = serve(of(pair, authority=authority.certificate, verify_clients=True))
    assert answer(server, Tls(authority.certificate, own.certificate, own.key)) == [3.0]
    with pytest.raises(ServerUnavailableError, match="if it asks for a client's certificate, set NIGHTSHIFT_TLS_CERT"):
        answer(server, Tls(authority.certificate))
    stranger = other.sign("client")
    with pytest.raises(ServerUnavailableError, match="it may not accept the client's certificate"):
        answer(server, Tls(authority.certificate, stranger.certificate, stranger.key))
    with pytest.raises(ServerUnavailableError, match="if it speaks TLS, set NIGHTSHIFT_TLS_CA"):
        answer(server, None)


def test_a_server_of_another_authority_or_time_is_refused_at_once(serve, authority, other):
    server = serve(of(authority.sign("127.0.0.1", days=-1)))
    with pytest.raises(ServerUnavailableError, match=r"refused \(certificate has expired\)"):
        answer(server, Tls(authority.certificate))
    for tls in (Tls(other.certificate), Tls()):
        with pytest.raises(ServerUnavailableError, match=r"refused \(unable to get local issuer certificate\)"):
            answer(server, tls)


def test_a_refusal_is_not_tried_again(serve, other, pair, monkeypatch):
    server = serve(of(pair))
    monkeypatch.setattr("nightshift.serving.client.time.sleep", lambda seconds: pytest.fail("it tries again"))
    with pytest.raises(ServerUnavailableError):
        answer(server, Tls(other.certificate))


def test_a_server_without_tls_is_told_from_one_that_is_not_there(serve, authority):
    server = serve(None)
    with pytest.raises(ServerUnavailableError, match="it does not speak TLS; unset NIGHTSHIFT_TLS_CA"):
        answer(server, Tls(authority.certificate))
    server.stop()
    with pytest.raises(ServerUnavailableError, match="start one with `nightshift serve`"):
        answer(server, Tls(authority.certificate))


# The environment


@pytest.fixture
def files(tmp_path, authority, own, pair):
    """Paths of the authority, a client's certificate and key, the server's key, and of nothing that is any of them."""
    content = {
        "ca": authority.certificate,
        "cert": own.certificate,
        "key": own.key,
        "encrypted": encrypted(own.key),
        "other_key": pair.key,
        "text": b"text",
    }
    paths = {name: tmp_path / f"{name}.pem" for name in content}
    for name, path in paths.items():
        path.write_bytes(content[name])
    return {name: str(path) for name, path in paths.items()} | {"missing": str(tmp_path / "missing.pem")}


@pytest.fixture
def environment(monkeypatch, files):
    """Sets variables to paths of `files`."""

    def put(**variables):
        for name, file in variables.items():
            monkeypatch.setenv(f"NIGHTSHIFT_TLS_{name}", files.get(file, file))

    return put


def test_the_environment_tells_every_client(serve, authority, pair, environment):
    server = serve(of(pair, authority=authority.certificate, verify_clients=True))
    environment(CA="ca", CERT="cert", KEY="key")
    with Client(f"127.0.0.1:{server.port}", retries=0) as client:
        assert client.ready()
        assert client.status("m")[0].state == "AVAILABLE"


def test_nothing_in_the_environment_is_no_tls():
    assert environment_tls() is None


def test_the_system_s_authorities_can_be_meant(environment):
    environment(CA=SYSTEM, NAME="server")
    assert environment_tls() == Tls(name="server")


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        ({"CA": "missing"}, r"NIGHTSHIFT_TLS_CA: .*missing\.pem: cannot be read: No such file"),
        ({"CA": "text"}, r"NIGHTSHIFT_TLS_CA: .*text\.pem: expected certificates in PEM"),
        ({"CA": "ca", "CERT": "cert"}, "NIGHTSHIFT_TLS_CERT is set without NIGHTSHIFT_TLS_KEY"),
        ({"CA": "ca", "KEY": "key"}, "NIGHTSHIFT_TLS_KEY is set without NIGHTSHIFT_TLS_CERT"),
        ({"CA": "ca", "CERT": "cert", "KEY": "missing"}, r"NIGHTSHIFT_TLS_KEY: .*missing\.pem: cannot be read"),
        ({"CA": "ca", "CERT": "text", "KEY": "key"}, "NIGHTSHIFT_TLS_CERT and NIGHTSHIFT_TLS_KEY: .*expected a cert"),
        ({"CA": "ca", "CERT": "cert", "KEY": "other_key"}, "KEY_VALUES_MISMATCH"),
        ({"CA": "ca", "CERT": "cert", "KEY": "encrypted"}, "the private key for it, not encrypted"),
        ({"CERT": "cert", "KEY": "key"}, "NIGHTSHIFT_TLS_CERT is set without NIGHTSHIFT_TLS_CA"),
        ({"NAME": "server"}, "NIGHTSHIFT_TLS_NAME is set without NIGHTSHIFT_TLS_CA"),
    ],
)
def test_what_the_environment_cannot_mean_is_named(environment, variables, message):
    environment(**variables)
    with pytest.raises(ConfigurationError, match=message):
        Client("127.0.0.1:1")


def test_files_can_be_given_too(files, authority, own):
    assert read_tls(files["ca"], files["cert"], files["key"], "s") == Tls(
        authority.certificate, own.certificate, own.key, "s"
    )
    with pytest.raises(ConfigurationError, match="tls_CA"):
        read_tls(files["missing"])


# The server's file


def ssl_config(path, **fields):
    """An SSLConfig in text form."""
    lines = []
    for name, value in fields.items():
        if isinstance(value, bytes):
            text = value.decode().replace("\n", "\\n")
            value = f'"{text}"'
        lines.append(f"{name}: {value}")
    path.write_text("\n".join(lines))
    return path


def test_the_server_s_file_is_tensorflow_serving_s(serve, authority, pair, own, tmp_path):
    file = ssl_config(
        tmp_path / "ssl.config",
        server_key=pair.key,
        server_cert=pair.certificate,
        custom_ca=authority.certificate,
        client_verify="true",
    )
    tls = server_tls.read_tls(file)
    assert tls == ServerTls(pair.key, pair.certificate, authority.certificate, True)
    assert answer(serve(tls), Tls(authority.certificate, own.certificate, own.key)) == [3.0]


def test_keys_are_in_no_representation(pair, own, authority):
    secret = b"PRIVATE KEY"
    assert secret in pair.key
    assert secret.decode() not in repr(of(pair))
    assert secret.decode() not in repr(Tls(authority.certificate, own.certificate, own.key))
    assert secret.decode() not in repr(embedded.ServerOptions(tls=of(pair)))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"server_key": b""}, "server_key: found no PEM, expected the text of a PEM file"),
        ({"server_key": b"/etc/tls/key.pem"}, "server_key: found a path, expected the text of a PEM file"),
        ({"server_cert": b"text"}, "server_cert: found no PEM"),
        ({"server_cert": b"-----BEGIN CERTIFICATE-----\nAA\n"}, "server_cert and server_key: expected a certificate"),
        ({"custom_ca": b"text"}, "custom_ca: expected certificates in PEM"),
        ({"client_verify": "true"}, "custom_ca: found nothing, expected who signs clients, for client_verify"),
        ({"client_verify": "maybe"}, "expected a SSLConfig in text form: line 3"),
        ({"key": b"x"}, "expected a SSLConfig in text form: line 3"),
    ],
)
def test_a_file_that_is_none_is_named_with_what_is_wrong(pair, tmp_path, change, message):
    fields = {"server_key": pair.key, "server_cert": pair.certificate} | change
    with pytest.raises(ConfigurationError, match=message) as error:
        server_tls.read_tls(ssl_config(tmp_path / "ssl.config", **fields))
    assert "ssl.config" in str(error.value)
    assert "PRIVATE KEY" not in str(error.value)


def test_a_key_of_another_certificate_or_behind_a_password_is_refused(pair, own, tmp_path):
    for key in (own.key, encrypted(pair.key)):
        file = ssl_config(tmp_path / "ssl.config", server_key=key, server_cert=pair.certificate)
        with pytest.raises(ConfigurationError, match="server_cert and server_key: expected"):
            server_tls.read_tls(file)


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(ConfigurationError, match=r"ssl\.config: expected a SSLConfig in text form: No such file"):
        server_tls.read_tls(tmp_path / "ssl.config")


def test_nothing_that_is_not_encrypted_is_answered(serve, pair):
    server = serve(of(pair))
    with grpc.insecure_channel(f"127.0.0.1:{server.port}") as channel:
        call = channel.unary_unary("/tensorflow.serving.ModelService/GetModelStatus")
        with pytest.raises(grpc.RpcError) as error:
            call(b"", timeout=5)
    assert error.value.code() is grpc.StatusCode.UNAVAILABLE
