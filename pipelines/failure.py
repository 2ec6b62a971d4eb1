"""Why a step failed: Kubeflow's API says only which one did, the error stands at the end of its Pod's log."""

import contextlib
import re
from collections import deque

from pipelines.endpoint import Endpoint, EndpointError
from pipelines.runs import Run

LOG = "/apis/v1alpha1/runs/{run_id}/nodes/{node_id}/log"
PODS = ("system-container-impl", "retry-system-container-impl")
"""Stand in the name of a step's Pod, not in that of its node."""

NO_LOG = '{"error_message"'
"""Begins an answer that has HTTP's status 200 and is none."""

CHUNK, CHUNKS_KEPT, CHUNKS_READ = 65_536, 4, 1_024
LONGEST = 500
LAUNCHER = re.compile(r"^(?:[IWEF]\d{4} \d\d:\d\d:\d\d|time=\S+ level=|Error: exit status)")
"""Lines of Kubeflow and Argo around those of the step."""

ENDED = re.compile(r"Component failed to execute successfully: (.+)")
"""Kubeflow's own word, such as `signal: killed`, which is what the step leaves that needs too much memory."""

TRACEBACK = "Traceback (most recent call last):"


def reason(endpoint: Endpoint, run: Run) -> str:
    """The error of the step that failed, empty if no log tells."""
    for node in run.failed_nodes:
        found = error_in(_log(endpoint, run.run_id, node))
        if found:
            return found
    return ""


def error_in(log: str) -> str:
    """The last line of the last traceback, or else the step's last line about an error, or else how it ended."""
    lines = log.splitlines()
    starts = [number for number, line in enumerate(lines) if line.startswith(TRACEBACK)]
    if starts:
        ends = (line for line in lines[starts[-1] + 1 :] if line[:1].strip() and not LAUNCHER.match(line))
        return next(ends, "")[:LONGEST]
    own = (line.strip() for line in reversed(lines) if not LAUNCHER.match(line))
    ended = ENDED.search(log)
    return next((line for line in own if re.search(r"\berror\b|Error:|Killed", line)), ended[1] if ended else "")[
        :LONGEST
    ]


def _log(endpoint: Endpoint, run_id: str, node: str) -> str:
    """The end of a log: what Argo has archived, or that of the Pod while it is there; empty where neither is."""
    workflow, _, number = node.rpartition("-")
    for name in (node, *(f"{workflow}-{pod}-{number}" for pod in PODS)):
        # That a log is gone is no error of the run: the reason stays unknown.
        with contextlib.suppress(EndpointError):
            log = _read(endpoint, run_id, name)
            if not log.startswith(NO_LOG):
                return log
    return ""


def _read(endpoint: Endpoint, run_id: str, node: str) -> str:
    response = endpoint.client.call_api(
        LOG,
        "GET",
        path_params={"run_id": run_id, "node_id": node},
        query_params=[("follow", "false")],
        auth_settings=["Bearer"],
        _preload_content=False,
        _return_http_data_only=True,
    )
    kept: deque[bytes] = deque(maxlen=CHUNKS_KEPT)
    for _ in range(CHUNKS_READ):
        chunk = response.read(CHUNK)
        if not chunk:
            break
        kept.append(chunk)
    response.release_conn()
    return b"".join(kept).decode(errors="replace")
