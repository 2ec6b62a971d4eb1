"""Where things are, from the environment: the one place that reads it.

A cluster sets these for every step with one ConfigMap, a laptop not at all; a parameter of the same meaning wins.
"""

import os
import re
from dataclasses import dataclass
from pathlib import Path

from nightshift.errors import ConfigurationError

DEFAULT_WORKSPACE = "workspace"
DEFAULT_SERVER = "127.0.0.1:8500"
KUBERNETES = "kubernetes:"


@dataclass(frozen=True)
class Settings:
    """What the environment says; the field's name in capitals behind NIGHTSHIFT_ is the variable."""

    workspace: str
    server: str
    store: str
    run_id: str


def settings() -> Settings:
    """Read the environment."""
    return Settings(
        workspace=os.environ.get("NIGHTSHIFT_WORKSPACE", DEFAULT_WORKSPACE),
        server=os.environ.get("NIGHTSHIFT_SERVER", DEFAULT_SERVER),
        store=os.environ.get("NIGHTSHIFT_STORE", ""),
        run_id=os.environ.get("NIGHTSHIFT_RUN_ID", ""),
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
