"""Connecting to the API of a Kubeflow Pipelines: port-forwarded, in the cluster, or behind a token."""

import ipaddress
import json
import os
import re
import socket
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

import click
import kfp_server_api
import urllib3

from nightshift.errors import ConfigurationError, NightshiftError

IN_CLUSTER = "http://ml-pipeline.{}.svc:8888"
POD = Path("/var/run/secrets/kubernetes.io/serviceaccount")
PROJECTED_TOKEN = Path("/var/run/secrets/kubeflow/pipelines/token")
"""Where Kubeflow has Pods mount a service account token that its API takes."""

HOME = "kubeflow"
"""The namespace that Kubeflow Pipelines is installed in, as a rule."""

CONNECT_SECONDS, ANSWER_SECONDS = 5, 60
LONGEST_TOKEN = 65_536
LONGEST_ANSWER = 600
"""Characters of a refusal that are told."""

F = TypeVar("F", bound=Callable[..., Any])


class EndpointError(NightshiftError):
    """Kubeflow Pipelines did not answer, or refused; `status` is HTTP's, 0 without an answer."""

    def __init__(self, message: str, status: int = 0) -> None:
        super().__init__(message)
        self.status = status


@dataclass(frozen=True)
class Endpoint:
    """The services of one Kubeflow Pipelines.

    Attributes:
        url: of its API.
        namespace: profile that all requests name; empty where Kubeflow Pipelines has but one user.
        client: which all services share.
    """

    url: str
    namespace: str
    client: kfp_server_api.ApiClient

    @property
    def in_namespace(self) -> dict[str, str]:
        """What requests about something by its name say where there are profiles."""
        return {"namespace": self.namespace} if self.namespace else {}

    @property
    def pipelines(self) -> kfp_server_api.PipelineServiceApi:
        """Pipelines and their versions."""
        return kfp_server_api.PipelineServiceApi(self.client)

    @property
    def uploads(self) -> kfp_server_api.PipelineUploadServiceApi:
        """Packages."""
        return kfp_server_api.PipelineUploadServiceApi(self.client)

    @property
    def experiments(self) -> kfp_server_api.ExperimentServiceApi:
        """What runs are grouped by."""
        return kfp_server_api.ExperimentServiceApi(self.client)

    @property
    def runs(self) -> kfp_server_api.RunServiceApi:
        """Runs."""
        return kfp_server_api.RunServiceApi(self.client)

    @property
    def recurring_runs(self) -> kfp_server_api.RecurringRunServiceApi:
        """Schedules."""
        return kfp_server_api.RecurringRunServiceApi(self.client)


def endpoint_options(command: F) -> F:
    """--endpoint, --namespace and --token-file."""
    url = click.option(
        "--endpoint", default="", metavar="URL", help="API of Kubeflow Pipelines. [default: $KFP_ENDPOINT; in a Pod "
        f"{IN_CLUSTER.format('NAMESPACE')}]",
    )  # fmt: skip
    namespace = click.option(
        "--namespace", default="", help="Where runs happen. [default: the Pod's own, or what the endpoint has]"
    )
    token = click.option(
        "--token-file", default="", metavar="FILE", help="Holds a token. [default: $KFP_TOKEN is one, in a Pod its own]"
    )
    return url(namespace(token(command)))


def connect(url: str = "", namespace: str = "", token_file: str = "") -> Endpoint:
    """Find the API and ask it how it is.

    Args:
        url: of the API; empty: $KFP_ENDPOINT, or in a Pod the cluster's own.
        namespace: a profile's; empty: the Pod's. Without profiles, that of Kubeflow Pipelines, if the URL says so.
        token_file: read again for every request, since the kubelet renews it; empty: $KFP_TOKEN, or in a Pod the
            token that is mounted for Kubeflow Pipelines.

    Raises:
        ConfigurationError: there is no such address or token, a profile has to be named, or one is where there are
            none.
        EndpointError: the API does not answer, or refuses.
    """
    own = _own_namespace()
    address = _address(url or os.environ.get("KFP_ENDPOINT", "") or _in_cluster(namespace or own))
    configuration = kfp_server_api.Configuration(host=address)
    configuration.retries = urllib3.Retry(2, backoff_factor=0.5, redirect=False)
    configuration.ssl_ca_cert = os.environ.get("SSL_CERT_FILE") or None
    credentials = _credentials(configuration, address, token_file)
    client = _Client(configuration, credentials)
    health = kfp_server_api.HealthzServiceApi(client).healthz_service_get_healthz()
    if health.multi_user and not (namespace or own):
        raise ConfigurationError(f"--namespace: {address} has profiles; expected the namespace of one")
    if namespace and not health.multi_user:
        _check_only(namespace, address)
    return Endpoint(address, (namespace or own) if health.multi_user else "", client)


class _Client(kfp_server_api.ApiClient):
    """The SDK's, with time limits and with errors in words."""

    def __init__(self, configuration: kfp_server_api.Configuration, credentials: str) -> None:
        super().__init__(configuration)
        self._credentials = credentials

    def call_api(self, *arguments: Any, **options: Any) -> Any:
        """Make one request."""
        options["_request_timeout"] = options.get("_request_timeout") or (CONNECT_SECONDS, ANSWER_SECONDS)
        host = self.configuration.host
        try:
            answer = super().call_api(*arguments, **options)
        except kfp_server_api.ApiException as error:
            raise self._refusal(error) from error
        except urllib3.exceptions.HTTPError as error:
            reason = getattr(error, "reason", None) or error
            raise EndpointError(f"{host}: Kubeflow Pipelines does not answer: {reason}") from error
        kind = self.last_response.getheader("content-type") or ""
        if "json" not in kind and options.get("_preload_content", True):
            found = kind or "nothing"
            raise EndpointError(
                f"{host}: found {found}, expected JSON; is that the API, and {self._credentials} enough?"
            )
        return answer

    def _refusal(self, error: kfp_server_api.ApiException) -> EndpointError:
        host, said = self.configuration.host, _message(error.body)
        if error.status in (401, 403) or error.status // 100 == 3:
            text = f"{host}: refused ({error.status}) with {self._credentials}: {said}"
        elif error.status == 0:
            text = f"{host}: {error.reason}"
        else:
            text = f"{host}: {said} ({error.status})"
        return EndpointError(text, error.status)


def _message(body: str | None) -> str:
    """What a refusal says."""
    try:
        content = json.loads(body or "")
    except ValueError:
        content = body
    if isinstance(content, dict):
        content = content.get("message") or content.get("error_message") or content.get("error") or body
    return " ".join(str(content or "no reason given").split())[:LONGEST_ANSWER]


def _address(url: str) -> str:
    """The URL without what a copy from a browser brings along."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ConfigurationError(f"--endpoint: found {url!r}, expected http://HOST:PORT or https://HOST/PATH")
    if parts.username or parts.password or parts.query:
        raise ConfigurationError("--endpoint: found a name, a password or a query in the URL; give a token instead")
    return f"{parts.scheme}://{parts.netloc}{parts.path.rstrip('/')}"


def _own_namespace() -> str:
    file = POD / "namespace"
    return file.read_text().strip() if file.exists() else ""


def _in_cluster(namespace: str) -> str:
    """The API's address as Pods know it; profiles use one that is elsewhere."""
    if not POD.exists():
        raise ConfigurationError(
            "no endpoint: give --endpoint or set KFP_ENDPOINT, as in `kubectl -n kubeflow port-forward "
            "svc/ml-pipeline 8888` and http://localhost:8888"
        )
    for each in (namespace, HOME):
        try:
            socket.getaddrinfo(f"ml-pipeline.{each}.svc", 8888)
        except OSError:
            continue
        return IN_CLUSTER.format(each)
    raise ConfigurationError(f"no endpoint: no service ml-pipeline in {namespace} or {HOME}; set KFP_ENDPOINT")


def _check_only(namespace: str, address: str) -> None:
    """Refuse a namespace that runs would not be in: without profiles, all are where Kubeflow Pipelines is installed."""
    # The API does not say where that is; its name in the cluster does.
    there = re.fullmatch(r"ml-pipeline\.([a-z0-9-]+)(\.svc(\..+)?)?", urlsplit(address).hostname or "")
    if not there or there[1] != namespace:
        where = f"{there[1]!r}, where it is installed" if there else "the namespace that it is installed in"
        raise ConfigurationError(
            f"--namespace: found {namespace!r}, but {address} has no profiles and runs everything in {where}; expected "
            "no --namespace"
        )


def _credentials(configuration: kfp_server_api.Configuration, address: str, token_file: str) -> str:
    """Have requests carry the token if there is one; returns in words what that is."""
    own = Path(os.environ.get("KF_PIPELINES_SA_TOKEN_PATH") or PROJECTED_TOKEN)
    file = Path(token_file) if token_file else own if own.exists() and not os.environ.get("KFP_TOKEN") else None
    token = _read_token(file) if file else os.environ.get("KFP_TOKEN", "").strip()
    if not token:
        return "no token"
    parts = urlsplit(address)
    if parts.scheme != "https" and not _is_near(parts.hostname or ""):
        raise ConfigurationError(f"--endpoint: found {address} and a token, which only https may carry there")
    configuration.api_key_prefix["authorization"] = "Bearer"
    configuration.api_key["authorization"] = token
    if file:
        configuration.refresh_api_key_hook = lambda each: each.api_key.update(authorization=_read_token(file))
    return f"the token in {file}" if file else "the token in KFP_TOKEN"


def _read_token(file: Path) -> str:
    with open(file) as handle:
        token = handle.read(LONGEST_TOKEN).strip()
    if not token or not token.isprintable() or " " in token:
        raise ConfigurationError(f"{file}: expected a token, one line")
    return token


def _is_near(host: str) -> bool:
    """Loopback, a private address, or a name that only the cluster knows."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return "." not in host or host.endswith((".localhost", ".svc", ".cluster.local"))
    return address.is_loopback or address.is_private
