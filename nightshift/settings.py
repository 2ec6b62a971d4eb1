"""Where things are, from the environment: the one place that reads it.

A cluster sets these for every step with one ConfigMap, a laptop not at all; a parameter of the same meaning wins.
"""

import math
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from nightshift.errors import ConfigurationError

DEFAULT_WORKSPACE = "workspace"
DEFAULT_SERVER = "127.0.0.1:8500"
KUBERNETES = "kubernetes:"
SAMPLE_RATE, BAKE_SECONDS, KEEP = "NIGHTSHIFT_SAMPLE_RATE", "NIGHTSHIFT_BAKE_SECONDS", "NIGHTSHIFT_KEEP"


@dataclass(frozen=True)
class Settings:
    """What the environment says; the field's name in capitals behind NIGHTSHIFT_ is the variable.

    Attributes:
        workspace: a folder.
        server: where models are served.
        store: of what is served; '' is the workspace's.
        run_id: of the pipeline.
        datasets: where prepared datasets are published, gs://BUCKET/PREFIX; '': they stay in the workspace.
        cache: folder of this node for shards of datasets in a bucket; '' is the workspace's.
        checkpoints: where those of trainings are, a folder or gs://BUCKET/PREFIX; '' is the workspace's.
        samples: where sampled requests are, a folder or gs://BUCKET/PREFIX; '' is the workspace's.
        numbers: the variables that hold numbers, as they are: a wrong one is an error only where it is needed.
        tls_ca: file of who signs the certificates of servers, or `system`; '': connections are not encrypted.
        tls_cert: file of a client's own certificate; '': it has none.
        tls_key: file of the private key for that.
        tls_name: that a server's certificate has to be for; '' is the host that is asked.
    """

    workspace: str
    server: str
    store: str
    run_id: str
    samples: str
    numbers: Mapping[str, str] = field(default_factory=dict)
    tls_ca: str = ""
    tls_cert: str = ""
    tls_key: str = ""
    tls_name: str = ""
    checkpoints: str = ""
    datasets: str = ""
    cache: str = ""

    @property
    def sample_rate(self) -> float:
        """Share of the requests that a client keeps; 0: none.

        Raises:
            ConfigurationError: it is no share.
        """
        text = self.numbers.get(SAMPLE_RATE) or "0"
        try:
            share = float(text)
        except ValueError:
            share = math.nan
        if not 0 <= share <= 1:
            raise ConfigurationError(f"{SAMPLE_RATE}: found {text!r}, expected a share from 0 to 1")
        return share

    @property
    def bake_seconds(self) -> float | None:
        """That a version is watched once it serves on a shared server; None: nothing is said.

        Raises:
            ConfigurationError: it is no such number.
        """
        text = self.numbers.get(BAKE_SECONDS, "")
        if text and not re.fullmatch(r"[0-9]{1,4}(\.[0-9]{1,3})?", text):
            raise ConfigurationError(f"{BAKE_SECONDS}: found {text!r}, expected a number of seconds below 10000")
        return float(text) if text else None

    @property
    def keep(self) -> int:
        """Versions of a model that stay in the store; 0: nothing is said.

        Raises:
            ConfigurationError: it is no such number.
        """
        text = self.numbers.get(KEEP, "")
        if text and not (re.fullmatch(r"[0-9]{1,6}", text) and int(text) >= 2):
            raise ConfigurationError(f"{KEEP}: found {text!r}, expected a number of versions of at least 2")
        return int(text or 0)


def settings() -> Settings:
    """Read the environment."""
    return Settings(
        workspace=os.environ.get("NIGHTSHIFT_WORKSPACE", DEFAULT_WORKSPACE),
        server=os.environ.get("NIGHTSHIFT_SERVER", DEFAULT_SERVER),
        store=os.environ.get("NIGHTSHIFT_STORE", ""),
        run_id=os.environ.get("NIGHTSHIFT_RUN_ID", ""),
        samples=os.environ.get("NIGHTSHIFT_SAMPLES", ""),
        numbers={name: os.environ.get(name, "") for name in (SAMPLE_RATE, BAKE_SECONDS, KEEP)},
        tls_ca=os.environ.get("NIGHTSHIFT_TLS_CA", ""),
        tls_cert=os.environ.get("NIGHTSHIFT_TLS_CERT", ""),
        tls_key=os.environ.get("NIGHTSHIFT_TLS_KEY", ""),
        tls_name=os.environ.get("NIGHTSHIFT_TLS_NAME", ""),
        checkpoints=os.environ.get("NIGHTSHIFT_CHECKPOINTS", ""),
        datasets=os.environ.get("NIGHTSHIFT_DATASETS", ""),
        cache=os.environ.get("NIGHTSHIFT_CACHE", ""),
    )


def workspace_path(parameter: str = "") -> Path:
    """The workspace's folder: the parameter, or else the environment's.

    Raises:
        ConfigurationError: it is a URL; steps on one machine share a folder.
    """
    name = parameter or settings().workspace
    if "://" in name:
        raise ConfigurationError(f"workspace: found {name!r}, expected the path of a folder")
    return Path(name).expanduser().resolve()


def address(text: str) -> str:
    """HOST:PORT, as given.

    Raises:
        ConfigurationError: it is not that, or the port is none.
    """
    host, _, port = text.rpartition(":")
    if not host or not (port.isascii() and port.isdigit()) or not 0 < int(port) < 1 << 16:
        raise ConfigurationError(f"server: found {text!r}, expected HOST:PORT with a port from 1 to 65535")
    return text


def namespace(server: str) -> str:
    """The namespace that `kubernetes:NAMESPACE` names, '' if the text is not of that form.

    Raises:
        ConfigurationError: it is, and that is no name of a namespace.
    """
    if not server.startswith(KUBERNETES):
        return ""
    name = server.removeprefix(KUBERNETES)
    if not re.fullmatch(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?", name):
        raise ConfigurationError(f"server: found {server!r}, expected HOST:PORT or {KUBERNETES}NAMESPACE")
    return name
