"""Where in the Kubeflow UI a run is shown."""

import os
from collections.abc import Callable
from functools import cache
from typing import Any, TypeVar

import click
import urllib3

from pipelines.endpoint import Endpoint

SECONDS = 5.0
F = TypeVar("F", bound=Callable[..., Any])


def ui_option(command: F) -> F:
    """--ui URL."""
    return click.option(
        "--ui", default="", metavar="URL", help="Kubeflow's UI, for links.  [default: $KFP_UI, or the endpoint's own]"
    )(command)


def run_page(endpoint: Endpoint, run_id: str, ui: str = "") -> str:
    """A link to the run's page, empty where no UI is known."""
    base = (ui or os.environ.get("KFP_UI", "")).rstrip("/") or (endpoint.url if _has_ui(endpoint.url) else "")
    return f"{base}/#/runs/details/{run_id}" if base else ""


def shown_at(endpoint: Endpoint, run_id: str, ui: str = "") -> str:
    """The link for people, or how to get one."""
    return run_page(endpoint, run_id, ui) or f"run {run_id} (set KFP_UI to the UI's address for a link)"


@cache
def _has_ui(url: str) -> bool:
    """Whether the API's address is the UI's, too: so behind Kubeflow's gateway, not at the API's own port."""
    try:
        answer = urllib3.request("GET", f"{url}/", timeout=SECONDS, retries=False, redirect=False)
    except urllib3.exceptions.HTTPError:
        return False
    return answer.status == 200 and "html" in answer.headers.get("content-type", "")
